"""Render clips of random play and encode them with the fitted codec: the training set of the generator.

    python -m examples.pocket_world.train.encode --codec runs/codec --folder runs/clips

Shards that exist are skipped, so an interrupted run continues.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from examples.pocket_world.train.codec import as_video, load_encoder
from examples.pocket_world.train.run import rank, require_same_data, start_processes
from examples.pocket_world.world.play import Clip, play_clip
from infrope_env.atomic_file import write_atomically
from infrope_env.control.actions import Transition
from infrope_env.output import run_program
from infrope_env.pixels.patch_codec import PatchEncoder


@dataclass(frozen=True)
class Options:
    """Settings of the training set. Processes started by torchrun share the shards.

    Attributes:
        codec: Run folder or world folder that holds the encoder.
        folder: Folder that receives the shards.
        shards: Number of shards.
        clips_per_shard: Number of clips in each shard.
        seed: Seed of the clips.
        single_prompt: Render clips in which motion and scene never change. A model trained on them is the control that
            shows what training on changes contributes.
        arrangements: Draw arrangements of the world and name them in the captions.
    """

    codec: Path = Path("runs/codec")
    folder: Path = Path("runs/clips")
    shards: int = 32
    clips_per_shard: int = 64
    seed: int = 1
    single_prompt: bool = False
    arrangements: bool = False


WALK_WEIGHT = FIRST_BLOCK_WEIGHT = 3.5


def block_weight(caption: str) -> float:
    """Return a block's weight in the loss: walks weigh most, because only in them the scenery moves."""
    return WALK_WEIGHT if {"left", "right"} & {*caption.replace(",", " ").split()} else 1.0


@dataclass(frozen=True)
class EncodedClips:
    """Training clips as latents.

    Attributes:
        latents: Latents, clip f c h w, float16.
        captions: Caption of every block, per clip.
        transitions: Transition of every block, per clip.
        time_skips: Whether a clip skips unseen time between its block 0 and its block 1.
    """

    latents: Tensor
    captions: list[list[str]]
    transitions: list[list[Transition]]
    time_skips: list[bool]

    @cached_property
    def block_weights(self) -> Tensor:
        """Weight of every block in the loss, clips blocks.

        A block after skipped time weighs 0: its context cannot determine it. Walks weigh more because moving scenery is
        hardest to predict, first blocks because they have no context but the caption.
        """
        weights = torch.tensor([[block_weight(text) for text in row] for row in self.captions])
        weights[:, 0] = FIRST_BLOCK_WEIGHT
        weights[[clip for clip, skips in enumerate(self.time_skips) if skips], 1] = 0
        return weights

    def sample(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draw indices of distinct clips, with probability proportional to the sum of their block weights."""
        shares = self.block_weights.sum(1).double().numpy()
        return rng.choice(len(shares), count, replace=False, p=shares / shares.sum())


def main(options: Options) -> None:
    """Render and encode every shard that does not exist yet."""
    start_processes()
    encoder = load_encoder(options.codec)
    kind = {"single_prompt": options.single_prompt, "arrangements": options.arrangements}
    require_same_data(options.folder, {**kind, "seed": options.seed, "clips_per_shard": options.clips_per_shard})
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    for shard in range(rank(), options.shards, processes):
        path = options.folder / f"clips_{shard:03d}.safetensors"
        if not path.exists():
            rng = np.random.default_rng([options.seed, shard])
            clips = [play_clip(rng, **kind) for _ in range(options.clips_per_shard)]
            write_shard(path, encoder, clips)
            print(f"shard {shard + 1} of {options.shards}", flush=True)


def load_clips(folder: Path) -> EncodedClips:
    """Load all encoded clips of a folder.

    Raises:
        FileNotFoundError: The folder holds no shard.
    """
    paths = sorted(folder.glob("clips_*.safetensors"))
    if not paths:
        raise FileNotFoundError(f"no encoded clips in {folder}; run python -m examples.pocket_world.train.encode first")
    metadata = [clip for path in paths for clip in json.loads(path.with_suffix(".json").read_text())]
    return EncodedClips(
        latents=torch.cat([load_file(path)["latents"] for path in paths]),
        captions=[[block["caption"] for block in clip["blocks"]] for clip in metadata],
        transitions=[[Transition(block["transition"]) for block in clip["blocks"]] for clip in metadata],
        time_skips=[clip["far"] for clip in metadata],
    )


@torch.inference_mode()
def encode(encoder: PatchEncoder, frames: np.ndarray) -> Tensor:
    """Encode one clip's padded frames, t H W 3 uint8, to latents f c h w."""
    return encoder.encode_whole(as_video(torch.from_numpy(frames)))[0]


def write_shard(path: Path, encoder: PatchEncoder, clips: list[Clip]) -> None:
    """Encode clips and write their latents to `path`, their captions and transitions to a .json file beside it."""
    latents = torch.stack([encode(encoder, clip.frames).half() for clip in clips]).contiguous()
    write_atomically(path.with_suffix(".json"), json.dumps([_metadata(clip) for clip in clips]).encode())
    write_atomically(path, lambda part: save_file({"latents": latents}, part))


def _metadata(clip: Clip) -> dict[str, object]:
    blocks = [{"caption": block.caption, "transition": block.transition.value} for block in clip.blocks]
    return {"far": clip.time_skip, "blocks": blocks}


if __name__ == "__main__":
    main(run_program(Options, description=__doc__))
