"""Classifiers of pixel frames: the subject and the scene of a frame, the motion of a block.

They are trained on rendered frames only, never on generated ones, so that they can score a generator. Each has the
additional label "none". The training is in train_detectors.py:

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
from safetensors.torch import load_file
from torch import Tensor, nn

from examples.pocket_world.world.state import BLOCK_FRAMES, MOTIONS, SCENES, SUBJECTS

WEIGHTS: Path = Path(__file__).with_name("detectors.safetensors")
INPUT_SIZE = (48, 80)
"""Height and width of the classifiers' input: half the pocket world's."""
NONE = "none"
"""Label of frames that show none of the known labels, or two at once."""
MIDDLE, MIDDLE_WIDTH = slice(3, 7), 16
"""Feature columns of the subject, eight pixels wide each, and the number of features kept per position there."""
SLIDE_OFFSETS = (2, 0, -2)
"""Offset of a point two frames earlier, in input pixels to the right: in a walk right, in place, in a walk left."""
LABELS: dict[str, tuple[str, ...]] = {
    "subject": (*SUBJECTS, NONE),
    "scene": (*SCENES, NONE),
    "motion": (*MOTIONS, NONE),
}


class Classifier(nn.Module):
    """A classifier of frames with three strided convolutions.

    The last layer reads the mean and the maximum of every feature, and a few features at each position of the middle
    columns, where the subject is.
    """

    def __init__(self, channels: int, labels: Sequence[str], width: int) -> None:
        super().__init__()
        self.labels = tuple(labels)
        self.layers = nn.Sequential(
            _strided(channels, width, 5), _strided(width, 3 * width // 2), _strided(3 * width // 2, 2 * width)
        )
        self.middle = nn.Conv2d(2 * width, MIDDLE_WIDTH, 1)
        positions = INPUT_SIZE[0] // 8 * len(range(INPUT_SIZE[1] // 8)[MIDDLE])
        self.answer = nn.Linear(4 * width + MIDDLE_WIDTH * positions, len(labels))

    def forward(self, frames: Tensor) -> Tensor:
        """Compute logits, b labels, from frames b t 3 h w in [0, 1]."""
        features = self.layers(self.channels_of(frames))  # b channels h w -> b c h/8 w/8
        middle = self.middle(features[..., MIDDLE]).flatten(1)
        return self.answer(torch.cat((features.mean((2, 3)), features.amax((2, 3)), middle), 1))

    def channels_of(self, frames: Tensor) -> Tensor:
        """Stack all frames as input channels, b channels h w."""
        return frames.flatten(1, 2) - 0.5


class MotionClassifier(Classifier):
    """A classifier of blocks; slide errors are additional input channels, since convolutions learn motion slowly."""

    def __init__(self) -> None:
        super().__init__(3 * BLOCK_FRAMES + len(SLIDE_OFFSETS), LABELS["motion"], 32)

    def channels_of(self, frames: Tensor) -> Tensor:
        """Stack all frames and the slide errors as input channels, b channels h w."""
        return torch.cat((super().channels_of(frames), slide_errors(frames)), 1)


class Detectors(nn.Module):
    """One classifier each for subject, scene and motion."""

    def __init__(self) -> None:
        super().__init__()
        self.subject = Classifier(3, LABELS["subject"], 24)
        self.scene = Classifier(3, LABELS["scene"], 16)
        self.motion = MotionClassifier()

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> Self:
        """Load trained classifiers; `scores` reads how good they are from the same file."""
        detectors = cls()
        detectors.load_state_dict(load_file(path))
        return detectors.eval()

    @staticmethod
    def scores(path: Path = WEIGHTS) -> dict[str, dict[str, float]]:
        """Return the shares of rendered blocks classified right, by condition, and the number of blocks."""
        return json.loads(read_metadata(path)["scores"])

    def name_subject(self, frames: np.ndarray) -> str:
        """Name the subject of frames, t H W 3 uint8 of any size: the most probable on average."""
        return most_probable(self.subject, downscale(frames)[:, None])

    def name_scene(self, frames: np.ndarray) -> str:
        """Name the scene of frames, t H W 3 uint8 of any size: the most probable on average."""
        return most_probable(self.scene, downscale(frames)[:, None])

    def name_motion(self, block: np.ndarray) -> str:
        """Name the motion of a block, t H W 3 uint8 of any size.

        Raises:
            ValueError: The block does not have 12 frames.
        """
        if len(block) != BLOCK_FRAMES:
            raise ValueError(f"expected a block of {BLOCK_FRAMES} frames, got {len(block)}")
        return most_probable(self.motion, downscale(block)[None])


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a weights file: scores and settings of the training, as JSON."""
    with safe_open(path, "pt") as file:
        return file.metadata()


@torch.inference_mode()
def most_probable(classifier: Classifier, frames: Tensor) -> str:
    """Return the label with the highest mean probability over the batch, b t 3 h w."""
    return classifier.labels[int(classifier(frames).softmax(1).mean(0).argmax())]


def downscale(frames: np.ndarray) -> Tensor:
    """Convert frames, t H W 3 uint8 of any size, to the classifiers' input, t 3 h w in [0, 1]."""
    video = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    return F.interpolate(video, INPUT_SIZE, mode="area")


def slide_errors(frames: Tensor) -> Tensor:
    """Measure how well each position matches itself two frames later under the offsets of `SLIDE_OFFSETS`.

    Args:
        frames: b t 3 h w in [0, 1].

    Returns:
        Log of the mean error over time and five pixels square, b 3 h w. The logarithm makes faint and strong patterns
        count alike.
    """
    before, after = frames[:, :-2].mean(2), frames[:, 2:].mean(2)  # b t 3 h w -> b t-2 h w
    padded = F.pad(before, (2, 2, 0, 0), mode="replicate")
    width = frames.shape[-1]
    errors = [(after - padded[..., 2 + offset : 2 + offset + width]).abs().mean(1) for offset in SLIDE_OFFSETS]
    return F.avg_pool2d(torch.stack(errors, 1), 5, stride=1, padding=2).add(0.01).log() + 3


def _strided(channels_in: int, channels_out: int, kernel: int = 3) -> nn.Sequential:
    """Make a convolution that halves height and width, with batch norm and ReLU."""
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride=2, padding=kernel // 2)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels_out), nn.ReLU())


if __name__ == "__main__":
    from examples.pocket_world.evaluate.train_detectors import Options, main
    from infrope_env.output import run_program

    main(run_program(Options, description=__doc__))
