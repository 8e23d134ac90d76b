"""The subject at six times its size, in two worlds and as rendered: what a change of the decoder did.

    python -m examples.pocket_world.evaluate.zoom --before runs/linear --weights runs/world --out build/zoom.jpg

Both worlds play the same seeded rollouts. Where they differ in their decoder alone, so do the pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from examples.pocket_world.evaluate.sheets import FrameSource, SheetRow, draw, save
from examples.pocket_world.world.state import HEIGHT, MOTIONS, SCENES, SUBJECTS, WIDTH, advance, render_block, spawn
from infrope_env.output import run_program

ZOOM = 6
ROWS, COLUMNS = slice(HEIGHT - 58, HEIGHT - 4), slice(WIDTH // 2 - 24, WIDTH // 2 + 24)
"""Pixels that are shown."""
FRAME = 7
"""Pixel frame of the second block that is shown."""


@dataclass(frozen=True)
class Options:
    """Settings of the comparison.

    Attributes:
        before: World folder to compare with.
        weights: Name of a bundled model, or a world folder.
        out: File of the picture.
        seed: Seed of the first rollout.
    """

    before: Path
    weights: str = "pocket"
    out: Path = Path("build/zoom.jpg")
    seed: int = 40


def main(options: Options) -> None:
    """Play every subject in every scene in both worlds, and write the picture."""
    torch.set_num_threads(1)
    sources = FrameSource(str(options.before)), FrameSource(options.weights)
    rows = list(comparisons(sources, options.seed))
    size = (ZOOM * (COLUMNS.stop - COLUMNS.start), ZOOM * (ROWS.stop - ROWS.start))
    save(draw(rows, size, gap=6), options.out)


def comparisons(sources: tuple[FrameSource, FrameSource], seed: int) -> Iterator[SheetRow]:
    """Yield a row per subject and pair of scenes: before, after and rendered, in changing motions."""
    for number, subject in enumerate(SUBJECTS):
        for first in range(0, len(SCENES), 2):
            frames, labels = list[np.ndarray](), list[str]()
            for place in (first, first + 1):
                scene, motion = SCENES[place], MOTIONS[(number + place) % len(MOTIONS)]
                made = [each.play(seed + number, subject, scene, motion, [motion])[1] for each in sources]
                rendered = render_block(advance(spawn(subject, scene, motion)))
                frames += [block[FRAME, ROWS, COLUMNS] for block in (*made, rendered)]
                labels += [f"{scene}, {motion}: {name}" for name in ("before", "after", "rendered")]
            yield SheetRow(subject, frames, labels)


if __name__ == "__main__":
    main(run_program(Options, description=__doc__))
