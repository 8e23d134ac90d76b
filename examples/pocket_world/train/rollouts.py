"""Record rollouts of the generator in random play with the frames that the world renders: the decoder's training set.

    python -m examples.pocket_world.train.rollouts --world runs/world --folder runs/rollouts

Scenery is deterministic, so the true frames of a generated block are known. Shards that exist are skipped, so an
interrupted run continues.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from examples.pocket_world.train.run import rank, require_same_data, start_processes
from examples.pocket_world.world.play import PlayedBlock, play_endlessly
from infrope_env.atomic_file import write_atomically
from infrope_env.control.actions import Transition
from infrope_env.dynamics.batch import RolloutBatch
from infrope_env.dynamics.rollout import Rollout
from infrope_env.models.options import LoadOptions
from infrope_env.models.world_folder import load_world
from infrope_env.models.world_model import WorldModel
from infrope_env.output import run_program

LEAST_BLOCKS, MOST_BLOCKS = 6, 40
"""Shortest and longest rollout of a row, before the next one begins."""


@dataclass(frozen=True)
class Options:
    """Settings of the recorded rollouts. Processes started by torchrun share the shards.

    Attributes:
        world: World folder of the generator.
        folder: Folder that receives the shards, 0.4 MB per row and step.
        shards: Number of shards.
        steps: Blocks of every row in a shard.
        rows: Rollouts that are made together.
        arrangements: Whether the prompts name arrangements of the world.
        seed: Seed of actions and noise.
        device: Device of the generator; None means the GPU if there is one.
    """

    world: Path = Path("runs/world")
    folder: Path = Path("runs/rollouts")
    shards: int = 12
    steps: int = 48
    rows: int = 8
    arrangements: bool = False
    seed: int = 3
    device: str | None = None


def main(options: Options) -> None:
    """Record every shard that does not exist yet."""
    start_processes()
    world = load_world(options.world, LoadOptions(device=options.device))
    kind = {name: getattr(options, name) for name in ("arrangements", "seed", "steps", "rows")}
    require_same_data(options.folder, kind)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    for shard in range(rank(), options.shards, processes):
        path = options.folder / f"rollouts_{shard:03d}.safetensors"
        if not path.exists():
            seed = [options.seed, shard]
            rows = RecordedRows(world, options.rows, np.random.default_rng(seed), options.arrangements)
            tensors = rows.record(options.steps)
            write_atomically(path, lambda part, tensors=tensors: save_file(tensors, part))  # type: ignore[misc]
            print(f"shard {shard + 1} of {options.shards}", flush=True)


class RecordedRows:
    """Rollouts in random play that are made together; each begins anew after some blocks."""

    def __init__(self, world: WorldModel, rows: int, rng: np.random.Generator, arrangements: bool = False) -> None:
        self._rng, self._prompts, self._arrangements = rng, world.make_prompt_cache(), arrangements
        rollouts = [Rollout(world.transformer, world.window, world.sampler) for _ in range(rows)]
        self._batch = RolloutBatch(rollouts)
        self._plays: list[Iterator[tuple[PlayedBlock, np.ndarray]]] = [iter(()) for _ in rollouts]

    def record(self, steps: int) -> dict[str, Tensor]:
        """Make blocks of all rows.

        Returns:
            latents: Generated latents, steps rows f c h w, float16.
            frames: Rendered frames, steps rows t H W 3 uint8; t = 4 f, of a first block with its first frame repeated.
            starts: Whether a block is the first of its rollout, steps rows.
        """
        made = [self._step() for _ in range(steps)]
        return {name: torch.stack([step[name] for step in made]) for name in made[0]}

    def _step(self) -> dict[str, Tensor]:
        blocks = [self._next_block(row) for row in range(len(self._plays))]
        requests = {
            row: (self._prompts.embedding(block.caption), block.transition) for row, (block, _) in enumerate(blocks)
        }
        made = self._batch.generate(requests)
        return {
            "latents": torch.cat([made[row].latents for row in requests]).half().cpu(),
            "frames": torch.from_numpy(np.stack([frames for _, frames in blocks])),
            "starts": torch.tensor([block.transition is Transition.START for block, _ in blocks]),
        }

    def _next_block(self, row: int) -> tuple[PlayedBlock, np.ndarray]:
        """Return a row's next block and its frames; a row whose rollout is over begins another one."""
        played = next(self._plays[row], None)
        if played is None:
            play = play_endlessly(np.random.default_rng(self._rng.integers(2**62)), arrangements=self._arrangements)
            length = int(self._rng.integers(LEAST_BLOCKS, MOST_BLOCKS))
            self._plays[row] = (block for _, block in zip(range(length), play, strict=False))
            self._batch.rollouts[row].reset(seed=int(self._rng.integers(2**31)))
            played = next(self._plays[row])
        return played


@dataclass(frozen=True)
class RecordedBlock:
    """One block of a recorded rollout.

    Attributes:
        latents: Generated latents, f c h w.
        previous: Latent frame before the block, c h w; zeros before a first block.
        frames: Rendered frames, t H W 3 uint8.
        frames_before: Last four rendered frames before the block, 4 H W 3 uint8; None before a first block.
    """

    latents: Tensor
    previous: Tensor
    frames: Tensor
    frames_before: Tensor | None


class RecordedRollouts:
    """The blocks of all shards of a folder, read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        """Open the shards.

        Raises:
            FileNotFoundError: The folder holds no shard.
        """
        paths = sorted(folder.glob("rollouts_*.safetensors"))
        if not paths:
            raise FileNotFoundError(
                f"no recorded rollouts in {folder}; run python -m examples.pocket_world.train.rollouts first"
            )
        self._files = [safe_open(path, "pt") for path in paths]
        self._starts = [file.get_tensor("starts") for file in self._files]

    def sample(self, rng: np.random.Generator) -> RecordedBlock:
        """Return a block drawn at random."""
        shard = int(rng.integers(len(self._files)))
        file, starts = self._files[shard], self._starts[shard]
        step, row = (int(rng.integers(size)) for size in starts.shape)
        latents, frames = file.get_slice("latents"), file.get_slice("frames")
        block, is_first = latents[step, row].float(), bool(starts[step, row])
        previous = torch.zeros_like(block[0]) if is_first else latents[step - 1, row, -1].float()
        before = None if is_first else frames[step - 1, row, -4:]
        return RecordedBlock(block, previous, frames[step, row], before)


if __name__ == "__main__":
    main(run_program(Options, description=__doc__))
