"""A folder of PNG files per episode, one per pixel frame, and a table of what made each."""

from __future__ import annotations

import json
import os
from pathlib import Path

from infrope_env.export.episode import Episode
from infrope_env.export.ledger import Ledger
from infrope_env.export.rows import make_columns
from infrope_env.export.video_copy import decode_video
from infrope_env.pixels.picture import to_png

ROWS = "frames.jsonl"


class FramesFolder:
    """An exported folder: `<name>/000000.png`, ..., and a row per pixel frame in `<name>/frames.jsonl`."""

    def __init__(self, out: Path) -> None:
        """Open the folder; ValueError when it holds something else."""
        self._out, self._ledger = out, Ledger(out, "frames")

    def exported(self) -> dict[str, str]:
        """Return the folder of every exported episode, by `chain`."""
        return self._ledger.exported(self._out)

    def add(self, episode: Episode, partial: Path) -> str:
        """Write the files of an episode, then rename their folder."""
        name = episode.chain[:12]
        folder = partial / name
        folder.mkdir()
        for number, frame in enumerate(decode_video(episode)):
            (folder / _file(number)).write_bytes(to_png(frame))
        (folder / ROWS).write_text(_rows(episode), encoding="utf-8")
        self._ledger.write(name, episode)
        os.replace(folder, self._out / name)
        return name


def _rows(episode: Episode) -> str:
    """Return a line of JSON per pixel frame, with its file."""
    columns = {"file": [_file(i) for i in range(episode.frames)]}
    columns |= {name: column.tolist() for name, column in make_columns(episode).items()}
    rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _file(number: int) -> str:
    return f"{number:06d}.png"
