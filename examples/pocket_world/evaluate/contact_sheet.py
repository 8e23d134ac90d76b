"""A contact sheet of the rendered world."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from examples.pocket_world.world.arrangement import Arrangement
from examples.pocket_world.world.state import MOTIONS, SCENES, SUBJECTS, WorldState, render_block

LABEL_HEIGHT = 16
SHEET_PHASES = {"stand": 0, "walk_left": 3, "walk_right": 3, "jump": 5, "crouch": 8, "wave": 3}
SHEET_ARRANGEMENTS = (
    Arrangement(),
    Arrangement("red", south=True),
    Arrangement("blue", autumn=True),
    Arrangement("grey", rain=True),
    Arrangement("clear", south=True, autumn=True, rain=True),
    Arrangement("red", autumn=True),
)


def contact_sheet() -> Image.Image:
    """Draw every motion (columns) of every subject (rows), then every scene at six positions, at twice the size."""
    rows = [_subject_row(number, subject) for number, subject in enumerate(SUBJECTS)]
    rows += [_scene_row(number, scene) for number, scene in enumerate(SCENES)]
    return Image.fromarray(np.concatenate(rows))


def arrangement_sheet() -> Image.Image:
    """Draw every scene (rows) in six arrangements, at the size of the picture."""
    rows = []
    for number, scene in enumerate(SCENES):
        subjects = [SUBJECTS[(number + column) % len(SUBJECTS)] for column in range(len(SHEET_ARRANGEMENTS))]
        states = [
            WorldState(subject, scene, "stand", 0, 0, arrangement=arrangement)
            for subject, arrangement in zip(subjects, SHEET_ARRANGEMENTS, strict=True)
        ]
        rows.append(np.concatenate([render_block(state, [0])[0] for state in states], axis=1))
    return Image.fromarray(np.concatenate(rows))


def _subject_row(number: int, subject: str) -> np.ndarray:
    scenes = [SCENES[(number + column) % len(SCENES)] for column in range(len(MOTIONS))]
    cells = [_cell(WorldState(subject, scene, motion, 40, 0)) for scene, motion in zip(scenes, MOTIONS, strict=True)]
    return np.concatenate(cells, axis=1)


def _scene_row(number: int, scene: str) -> np.ndarray:
    subject = SUBJECTS[number % len(SUBJECTS)]
    cells = [_cell(WorldState(subject, scene, "stand", 56 * column, 0)) for column in range(len(MOTIONS))]
    return np.concatenate(cells, axis=1)


def _cell(state: WorldState) -> np.ndarray:
    """Draw one frame below its label, uint8 (rows, columns, 3)."""
    frame = Image.fromarray(render_block(state, [SHEET_PHASES[state.motion]])[0])
    frame = frame.resize((2 * frame.width, 2 * frame.height), Image.Resampling.NEAREST)
    cell = Image.new("RGB", (frame.width + 4, frame.height + LABEL_HEIGHT), "#202028")
    cell.paste(frame, (2, LABEL_HEIGHT))
    label = f"{state.subject}  {state.motion}  {state.scene}  scroll {state.scroll}"
    ImageDraw.Draw(cell).text((4, 3), label, fill="#ffffff")
    return np.asarray(cell)
