"""Small networks that name what a picture shows: subject and scene of a frame, motion of a block.

They have seen rendered frames only, never generated ones, so that they can judge a generator. Each may also answer
"none". They know neither prompts nor models; how they are trained is in train_detectors.py:

python -m examples.pocket_world.evaluate.detectors --out detectors.safetensors    (about ten minutes)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from examples.pocket_world.world.state import BLOCK_FRAMES, MOTIONS, SCENES, SUBJECTS

WEIGHTS: Path = Path(__file__).with_name("detectors.safetensors")
SIZE = (48, 80)
"""Height and width at which frames are looked at: half the pocket world's."""
NONE = "none"
"""What a detector says of a picture that shows none of what it knows, or two at once."""
MIDDLE, MIDDLE_WIDTH = slice(3, 7), 16
"""Columns, of eight pixels each, in which the subject is, and how many values are kept of each place there."""
SLIDES = (2, 0, -2)
"""Where a place was two frames ago, in pixels to the right at the detectors' size, in a walk right, in place, left."""
NAMES: dict[str, tuple[str, ...]] = {"subject": (*SUBJECTS, NONE), "scene": (*SCENES, NONE), "motion": (*MOTIONS, NONE)}


class Namer(nn.Module):
    """Names what a picture shows, by three convolutions.

    The answer rests on their mean and strongest values anywhere, and on a few values at each place in the middle
    columns, where the subject is.
    """

    def __init__(self, channels: int, names: Sequence[str], width: int) -> None:
        super().__init__()
        self.names = tuple(names)
        self.layers = nn.Sequential(
            _stage(channels, width, 5), _stage(width, 3 * width // 2), _stage(3 * width // 2, 2 * width)
        )
        self.middle = nn.Conv2d(2 * width, MIDDLE_WIDTH, 1)
        places = SIZE[0] // 8 * len(range(SIZE[1] // 8)[MIDDLE])
        self.answer = nn.Linear(4 * width + MIDDLE_WIDTH * places, len(names))

    def forward(self, frames: Tensor) -> Tensor:
        """Frames b t 3 h w in [0, 1] to logits b names."""
        features = self.layers(self.look(frames))  # b channels h w -> b c h/8 w/8
        middle = self.middle(features[..., MIDDLE]).flatten(1)
        return self.answer(torch.cat((features.mean((2, 3)), features.amax((2, 3)), middle), 1))

    def look(self, frames: Tensor) -> Tensor:
        """What the first layer sees, b channels h w: all frames at once."""
        return frames.flatten(1, 2) - 0.5


class MotionNamer(Namer):
    """Names what happens in a block. It also sees where the picture slides, which convolutions are slow to learn."""

    def __init__(self) -> None:
        super().__init__(3 * BLOCK_FRAMES + len(SLIDES), NAMES["motion"], 32)

    def look(self, frames: Tensor) -> Tensor:
        """All frames at once, and the mismatches."""
        return torch.cat((super().look(frames), mismatches(frames)), 1)


class Detectors(nn.Module):
    """One namer each for subject, scene and motion."""

    def __init__(self) -> None:
        super().__init__()
        self.subject = Namer(3, NAMES["subject"], 24)
        self.scene = Namer(3, NAMES["scene"], 16)
        self.motion = MotionNamer()

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> Self:
        """Trained ones; their scores are in the file's metadata."""
        detectors = cls()
        with safe_open(path, "pt") as file:
            detectors.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        return detectors.eval()

    @staticmethod
    def scores(path: Path = WEIGHTS) -> dict[str, dict[str, float]]:
        """Shares of blocks that the trained ones name rightly, by what was done to them; and how many blocks."""
        with safe_open(path, "pt") as file:
            return json.loads(file.metadata()["scores"])

    def name_subject(self, frames: np.ndarray) -> str:
        """Whom frames, t H W 3 in uint8 of any size, show: the likeliest on average."""
        return likeliest(self.subject, shrunk(frames)[:, None])

    def name_scene(self, frames: np.ndarray) -> str:
        """Where frames, t H W 3 in uint8 of any size, play: the likeliest on average."""
        return likeliest(self.scene, shrunk(frames)[:, None])

    def name_motion(self, block: np.ndarray) -> str:
        """What happens in a block, t H W 3 in uint8 of any size.

        Raises:
            ValueError: it has not 12 frames.
        """
        if len(block) != BLOCK_FRAMES:
            raise ValueError(f"expected a block of {BLOCK_FRAMES} frames, got {len(block)}")
        return likeliest(self.motion, shrunk(block)[None])


@torch.inference_mode()
def likeliest(namer: Namer, frames: Tensor) -> str:
    """The name that has most odds over all b of b t 3 h w."""
    return namer.names[int(namer(frames).softmax(1).mean(0).argmax())]


def shrunk(frames: np.ndarray) -> Tensor:
    """Frames t H W 3 in uint8, of any size, to t 3 h w in [0, 1] at the detectors' own."""
    video = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    return F.interpolate(video, SIZE, mode="area")


def mismatches(frames: Tensor) -> Tensor:
    """How badly every place agrees with itself two frames later if the picture has slid to the left, not, or right.

    Args:
        frames: b t 3 h w in [0, 1].

    Returns:
        b 3 h w: logarithms, so that faint and strong patterns count alike, of means over time and five pixels square.
    """
    before, after = frames[:, :-2].mean(2), frames[:, 2:].mean(2)  # b t 3 h w -> b t-2 h w
    padded = F.pad(before, (2, 2, 0, 0), mode="replicate")
    width = frames.shape[-1]
    errors = [(after - padded[..., 2 + slide : 2 + slide + width]).abs().mean(1) for slide in SLIDES]
    return F.avg_pool2d(torch.stack(errors, 1), 5, stride=1, padding=2).add(0.01).log() + 3


def _stage(channels_in: int, channels_out: int, kernel: int = 3) -> nn.Sequential:
    """Half the height and width."""
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride=2, padding=kernel // 2)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU())


if __name__ == "__main__":
    import tyro

    from examples.pocket_world.evaluate.train_detectors import Options, main

    main(tyro.cli(Options, description=__doc__))
