"""The layout of WBench: videos/case_<id>_combined.mp4, and turns.json with the pixel frame at which each turn begins.

An episode belongs to the case whose prompts it shows, turn by turn. Where several cases have the same prompts, the
recording's folder says which: it is named case_<id>.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infrope_env.atomic_file import write_atomically
from infrope_env.control.text_file import read_text
from infrope_env.control.wbench_case import case_prompts, is_case
from infrope_env.export.episode import Episode
from infrope_env.export.ledger import Ledger
from infrope_env.export.selection import Refused
from infrope_env.export.video_copy import copy_video

TURNS, VIDEOS = "turns.json", "videos"
CASE_ID = re.compile(r"\w{1,64}", re.ASCII)


@dataclass(frozen=True)
class Case:
    """A case of WBench.

    Attributes:
        id: Its id.
        prompts: The prompt of every turn.
    """

    id: str
    prompts: tuple[str, ...]

    def turn_frames(self, episode: Episode) -> list[int] | None:
        """Return the first pixel frame of each turn of an episode, and the end; None when it is not of this case."""
        per_turn, rest = divmod(len(episode.blocks), len(self.prompts))
        shown = [block.prompt for block in episode.blocks]
        if rest or shown != [prompt for prompt in self.prompts for _ in range(per_turn)]:
            return None
        return [*(line.first_frame for line in episode.lines[::per_turn]), episode.frames]


def read_cases(folder: Path) -> list[Case]:
    """Read the cases of WBench from their folder, data/cases.

    Raises:
        ValueError: There is none, or one has a mistake; the message begins with its path.
    """
    cases = [_read_case(path) for path in sorted(folder.glob("*.json"))]
    if not cases:
        raise ValueError(f"{folder}: expected WBench's case files, case_1.json and so on, found none")
    return cases


class WBenchFolder:
    """A folder in the layout of work_dirs/<model>."""

    def __init__(self, out: Path, cases: Sequence[Case]) -> None:
        """Open the folder; ValueError when it holds something else."""
        self._out, self._cases, self._ledger = out, cases, Ledger(out, "wbench")

    def exported(self) -> dict[str, str]:
        """Return the file of every exported episode, by `chain`."""
        return self._ledger.exported(self._out)

    def add(self, episode: Episode, partial: Path) -> str:
        """Write turns.json, then the video of the episode's case."""
        case, turn_frames = self._case_of(episode)
        name = f"{VIDEOS}/case_{case.id}_combined.mp4"
        if (self._out / name).exists():
            raise Refused(f"case {case.id} was exported before: export this one to another folder")
        copy_video(episode, partial / "video.part")
        self._write_turns(case, turn_frames, episode.meta.frame_rate)
        self._ledger.write(name, episode)
        (self._out / VIDEOS).mkdir(exist_ok=True)
        os.replace(partial / "video.part", self._out / name)
        return name

    def _case_of(self, episode: Episode) -> tuple[Case, list[int]]:
        found = [(case, frames) for case in self._cases if (frames := case.turn_frames(episode)) is not None]
        named = [match for match in found if f"case_{match[0].id}" in episode.folder.resolve().parts]
        if not found:
            raise Refused("its prompts are not those of a case, in turns of equal length")
        if len(named or found) > 1:
            ids = ", ".join(case.id for case, _ in found)
            raise Refused(f"its prompts are those of cases {ids}: record it in a folder named case_<id>")
        return (named or found)[0]

    def _write_turns(self, case: Case, turn_frames: list[int], frame_rate: int) -> None:
        path = self._out / TURNS
        content: dict[str, Any] = {"fps": frame_rate, "cases": {}}
        if path.exists():
            content = json.loads(path.read_text(encoding="utf-8"))
        if content["fps"] != frame_rate:
            raise Refused(f"it has {frame_rate} frames a second, expected {content['fps']} as the others")
        content["cases"][case.id] = {"turn_frames": turn_frames}
        write_atomically(path, json.dumps(content, indent=1).encode())


def _read_case(path: Path) -> Case:
    try:
        content = json.loads(read_text(path))
        if not is_case(content) or not CASE_ID.fullmatch(str(content.get("id"))):
            raise ValueError("expected a case of WBench with an id of letters, digits and underscores")
        return Case(str(content["id"]), case_prompts(content))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from error


def missing_cases(cases: Iterable[Case], out: Path) -> list[str]:
    """Return the ids of the cases that have no video in a folder."""
    return [case.id for case in cases if not (out / VIDEOS / f"case_{case.id}_combined.mp4").exists()]
