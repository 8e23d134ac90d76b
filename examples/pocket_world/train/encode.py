"""Play clips, encode them with the trained codec, keep the latents: what the generator is trained on.

python -m examples.pocket_world.train.encode --codec runs/codec --folder runs/clips    (goes on where it stopped)
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import tyro
from safetensors.torch import load_file, save_file
from torch import Tensor

from examples.pocket_world.train.codec import Codec, load_codec
from examples.pocket_world.train.run import rank, start_processes
from examples.pocket_world.world.play import Clip, play_clip
from infrope_env.control.actions import Transition


@dataclass(frozen=True)
class Options:
    """Settings of the run; with torchrun, processes share the shards.

    Attributes:
        single_prompt: clips in which nothing changes, for the control that shows what training on changes gives.
    """

    codec: Path = Path("runs/codec")
    folder: Path = Path("runs/clips")
    shards: int = 32
    clips_per_shard: int = 64
    seed: int = 1
    single_prompt: bool = False


WALK_WEIGHT = FIRST_WEIGHT = 3.5


def block_weight(caption: str) -> float:
    """How much a block counts in a loss: only walks go somewhere, and they are the hardest."""
    return WALK_WEIGHT if {"left", "right"} & {*caption.replace(",", " ").split()} else 1.0


@dataclass(frozen=True)
class Clips:
    """Encoded clips.

    Attributes:
        latents: clip f c h w, float16.
        captions: per clip, one for each block.
        transitions: the same.
        far: whether time passed unseen between block 0 and block 1 of a clip.
    """

    latents: Tensor
    captions: list[list[str]]
    transitions: list[list[Transition]]
    far: list[bool]

    @cached_property
    def importance(self) -> Tensor:
        """How much every block counts in a loss, clips blocks.

        0 for a block before which time has passed unseen, for nothing could foretell it; most for those in which the
        scenery moves, since they are the hardest, and for first ones, which alone have only the caption to go by.
        """
        weights = torch.tensor([[block_weight(text) for text in row] for row in self.captions])
        weights[:, 0] = FIRST_WEIGHT
        weights[[clip for clip, moved in enumerate(self.far) if moved], 1] = 0
        return weights

    def choose(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Numbers of some clips, those that teach more more often."""
        shares = self.importance.sum(1).double().numpy()
        return rng.choice(len(shares), count, replace=False, p=shares / shares.sum())


def main(options: Options) -> None:
    """Make every shard that is not there yet."""
    start_processes()
    codec = load_codec(options.codec)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    for shard in range(rank(), options.shards, processes):
        path = options.folder / f"clips_{shard:03d}.safetensors"
        if not path.exists():
            rng = np.random.default_rng([options.seed, shard])
            clips = [play_clip(rng, single_prompt=options.single_prompt) for _ in range(options.clips_per_shard)]
            _write_shard(path, codec, clips)
            print(f"shard {shard + 1} of {options.shards}", flush=True)


def load_clips(folder: Path) -> Clips:
    """All encoded clips of a folder."""
    paths = sorted(folder.glob("clips_*.safetensors"))
    if not paths:
        raise FileNotFoundError(f"no encoded clips in {folder}; run python -m examples.pocket_world.train.encode first")
    facts = [fact for path in paths for fact in json.loads(path.with_suffix(".json").read_text())]
    return Clips(
        latents=torch.cat([load_file(path)["latents"] for path in paths]),
        captions=[[block["caption"] for block in fact["blocks"]] for fact in facts],
        transitions=[[Transition(block["transition"]) for block in fact["blocks"]] for fact in facts],
        far=[fact["far"] for fact in facts],
    )


@torch.inference_mode()
def encode(codec: Codec, frames: np.ndarray) -> Tensor:
    """One clip's padded frames, t H W 3 uint8, to latents f c h w."""
    video = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float() / 255  # t H W c -> 1 t c H W
    return codec.encoder.encode_whole(video)[0]


def _write_shard(path: Path, codec: Codec, clips: list[Clip]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    latents = torch.stack([encode(codec, clip.frames).half() for clip in clips]).contiguous()
    path.with_suffix(".json").write_text(json.dumps([_facts(clip) for clip in clips]))
    partial = path.with_suffix(".partial")
    save_file({"latents": latents}, partial)
    os.replace(partial, path)


def _facts(clip: Clip) -> dict[str, object]:
    blocks = [{"caption": block.caption, "transition": block.transition.value} for block in clip.blocks]
    return {"far": clip.far, "blocks": blocks}


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
