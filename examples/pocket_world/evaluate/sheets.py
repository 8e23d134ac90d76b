"""Contact sheets of generated play: every subject in every motion, action changes, and cuts.

    python -m examples.pocket_world.evaluate.sheets --out build/sheets
    python -m examples.pocket_world.evaluate.sheets --readme examples/results/readme.png
    python -m examples.pocket_world.evaluate.sheets --weights runs/world --seed-sheet build/seeds.jpg

The first command writes three contact sheets, the second only the picture of the README, the third only the first
blocks of 24 seeds, for weights that know arrangements.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from examples.pocket_world.evaluate.contact_sheet import SHEET_PHASES
from examples.pocket_world.world.actions import action_set
from examples.pocket_world.world.captions import caption
from examples.pocket_world.world.state import HEIGHT, MOTIONS, SCENES, SUBJECTS, WIDTH
from infrope_env.env import InfinityRopeEnv
from infrope_env.output import run_program

GROUND, INK, FAINT = "#16171d", "#f4f4f6", "#9a9ca8"
AROUND_A_CHANGE = ((0, 5), (0, 11), (1, 0), (1, 2), (1, 5), (1, 8), (1, 11), (2, 5))
"""(block, frame) of the frames in a row: two before the change, five of the first block after it, one later."""
SEEDS, SEEDS_PER_ROW = 24, 4
"""Seeds of the picture of seeds, and those side by side."""


@dataclass(frozen=True)
class Options:
    """Settings of the sheets.

    Attributes:
        weights: Name of a bundled model, or a world folder.
        out: Folder that receives subjects.png, switches.png and cuts.png.
        readme: File that receives the README's picture; if given, only that picture is made.
        seed_sheet: File that receives the first blocks of 24 seeds in one scene; if given, only that picture is made.
        scene: Scene of that picture.
        seed: Seed of the first rollout.
    """

    weights: str = "pocket"
    out: Path = Path("build/sheets")
    readme: Path | None = None
    seed_sheet: Path | None = None
    scene: str = "meadow"
    seed: int = 20


@dataclass(frozen=True)
class SheetRow:
    """A row of a sheet: a title, frames H W 3 side by side, and a label under each."""

    title: str
    frames: list[np.ndarray]
    labels: list[str]


class FrameSource:
    """An environment that returns the blocks of short rollouts."""

    def __init__(self, weights: str, arrangements: bool = False) -> None:
        self.env: gymnasium.Env[Any, Any] = gymnasium.make(
            "infrope_env:infrope/PocketWorld-v0",
            weights=weights,
            actions=action_set(arrangements),
            disable_env_checker=True,
        )

    def start(self, seed: int, subject: str, scene: str) -> tuple[np.ndarray, str]:
        """Return the first block of a seed, t H W 3, and the words of its arrangement."""
        block = self.env.reset(seed=seed, options={"subject": subject, "scene": scene})[0]
        return block, self._inner.steering.variation

    def play(self, seed: int, subject: str, scene: str, motion: str, actions: Sequence[str]) -> list[np.ndarray]:
        """Play a rollout of the default arrangement; return its first block and one per action, t H W 3 each."""
        options = {"subject": subject, "scene": scene, "motion": motion, "variation": ""}
        blocks = [self.env.reset(seed=seed, options=options)[0]]
        return blocks + [self.env.step(self._inner.action_set.index(action))[0] for action in actions]

    @property
    def _inner(self) -> InfinityRopeEnv:
        assert isinstance(self.env.unwrapped, InfinityRopeEnv)
        return self.env.unwrapped


def main(options: Options) -> None:
    """Play the rollouts and write the pictures."""
    torch.set_num_threads(1)
    if options.seed_sheet is not None:
        starts = seed_rows(FrameSource(options.weights, arrangements=True), options.seed, options.scene)
        save(draw(starts, (WIDTH * 3 // 2, HEIGHT * 3 // 2), gap=6), options.seed_sheet)
        return
    source = FrameSource(options.weights)
    if options.readme is not None:
        save(draw(readme_rows(source, options.seed), (280, 168), gap=16), options.readme)
        return
    size = (2 * WIDTH, 2 * HEIGHT)
    for name, rows in (("subjects", subject_rows), ("switches", switch_rows), ("cuts", cut_rows)):
        save(draw(list(rows(source, options.seed)), size, gap=6), options.out / f"{name}.png")


def subject_rows(source: FrameSource, seed: int) -> Iterator[SheetRow]:
    """Yield a row per subject: the third block of every motion, in alternating scenes."""
    for row, subject in enumerate(SUBJECTS):
        scenes = [SCENES[(row + column) % len(SCENES)] for column in range(len(MOTIONS))]
        frames = [
            source.play(seed + row, subject, scene, motion, [motion, motion])[2][SHEET_PHASES[motion]]
            for motion, scene in zip(MOTIONS, scenes, strict=True)
        ]
        yield SheetRow(subject, frames, [f"{m}, {s}" for m, s in zip(MOTIONS, scenes, strict=True)])


def switch_rows(source: FrameSource, seed: int) -> Iterator[SheetRow]:
    """Yield changes of every motion to two others."""
    for number, motion in enumerate(MOTIONS):
        for further in (1, 3):
            after = MOTIONS[(number + further) % len(MOTIONS)]
            subject, scene = SUBJECTS[(number + further) % len(SUBJECTS)], SCENES[(number + further) % len(SCENES)]
            blocks = source.play(seed + number, subject, scene, motion, [motion, motion, after, after])
            yield transition_row(f"{subject}, {scene}: {motion} to {after}", blocks[-3:])


def cut_rows(source: FrameSource, seed: int) -> Iterator[SheetRow]:
    """Yield cuts from every scene to two others."""
    for number, scene in enumerate(SCENES):
        for further in (1, 3):
            after = SCENES[(number + further) % len(SCENES)]
            subject = SUBJECTS[(number + 2 * further) % len(SUBJECTS)]
            motion = MOTIONS[(number + further) % len(MOTIONS)]
            blocks = source.play(seed + number, subject, scene, motion, [motion, motion, f"cut_{after}", motion])
            yield transition_row(f"{subject}, {motion}: {scene} to {after}", blocks[-3:])


def transition_row(title: str, blocks: list[np.ndarray]) -> SheetRow:
    """Make the row of frames before and after a change, which begins block 1 of three."""
    frames = [blocks[block][frame] for block, frame in AROUND_A_CHANGE]
    labels = [f"{(block - 1) * 12 + frame:+d}" for block, frame in AROUND_A_CHANGE]
    return SheetRow(title, frames, labels)


def seed_rows(source: FrameSource, seed: int, scene: str) -> list[SheetRow]:
    """Return rows of the last frames of the first blocks of 24 seeds in a scene."""
    rows = []
    for first in range(seed, seed + SEEDS, SEEDS_PER_ROW):
        seeds = range(first, first + SEEDS_PER_ROW)
        starts = [source.start(each, SUBJECTS[each % len(SUBJECTS)], scene) for each in seeds]
        labels = [f"{each}: {words}" for each, (_, words) in zip(seeds, starts, strict=True)]
        rows.append(SheetRow(f"{scene}, seeds {first} to {seeds[-1]}", [block[-1] for block, _ in starts], labels))
    return rows


def readme_rows(source: FrameSource, seed: int) -> list[SheetRow]:
    """Return three rows of one rollout of the fox, and a row of the other subjects."""
    actions = ["walk_right"] * 4 + ["jump"] + ["walk_right"] * 2 + ["cut_city"] + ["walk_right"] * 2
    blocks = source.play(seed, "fox", "snow", "walk_right", actions)
    walk, jump, before, city, later = blocks[4], blocks[5], blocks[7], blocks[8], blocks[10]
    others = (
        ("penguin", "beach", "wave", 3),
        ("frog", "cave", "crouch", 8),
        ("wizard", "desert", "walk_left", 3),
        ("robot", "meadow", "jump", 5),
    )
    everyone = [source.play(seed + 1, *other[:3], [other[2]] * 2)[2][other[3]] for other in others]
    return [
        SheetRow("Right: a fox walks through the snow", [walk[0], walk[4], walk[8], walk[11]], _since(0, 4, 8, 11)),
        SheetRow("Space: it jumps, in the very next block", [jump[1], jump[4], jump[7], jump[11]], _since(1, 4, 7, 11)),
        SheetRow(
            "4: a cut to the city, from one pixel frame to the next",
            [before[11], city[0], city[6], later[6]],
            _since(-1, 0, 6, 30),
        ),
        SheetRow("Everyone, everywhere", everyone, [caption(*other[:3]) for other in others]),
    ]


def _since(*frames: int) -> list[str]:
    return [f"pixel frame {frame:+d}" for frame in frames]


def draw(rows: list[SheetRow], size: tuple[int, int], gap: int) -> Image.Image:
    """Draw rows below each other, every frame scaled to `size` (width, height), `gap` pixels apart."""
    columns = max(len(row.frames) for row in rows)
    row_height = size[1] + gap + 2 * LINE
    sheet = Image.new("RGB", (gap + columns * (size[0] + gap), gap + len(rows) * row_height), GROUND)
    pen = ImageDraw.Draw(sheet)
    for index, row in enumerate(rows):
        top = gap + index * row_height
        pen.text((gap, top), row.title, INK, font=_font(15))
        for column, (frame, label) in enumerate(zip(row.frames, row.labels, strict=True)):
            left = gap + column * (size[0] + gap)
            sheet.paste(
                Image.fromarray(np.ascontiguousarray(frame)).resize(size, Image.Resampling.BICUBIC), (left, top + LINE)
            )
            pen.text((left, top + LINE + size[1] + 3), label, FAINT, font=_font(11))
    return sheet


LINE = 22
"""Height of a line of text."""


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture, and print its path and size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, optimize=True)
    print(f"wrote {path}, {picture.width} x {picture.height}")


if __name__ == "__main__":
    main(run_program(Options, description=__doc__))
