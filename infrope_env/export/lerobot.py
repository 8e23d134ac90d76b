"""A LeRobot dataset, format v3.0: one video, one table of rows and one of metadata per episode.

An episode's files are renamed into their places first, where no reader looks at them; the rename of meta/info.json,
which has the number of episodes, adds it. Files of an episode that was not added are overwritten by the next one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from infrope_env.export.episode import Episode
from infrope_env.export.lerobot_tables import (
    VIDEO_KEY,
    EpisodeRow,
    features,
    place,
    read_episode_row,
    read_tasks,
    to_json,
    write_episode,
    write_rows,
    write_tasks,
)
from infrope_env.export.rows import ALIGNMENT, Column, make_columns
from infrope_env.export.selection import Refused
from infrope_env.export.statistics import PixelStatistics, Statistics, column_statistics, merge
from infrope_env.export.video_copy import copy_video

VERSION = "v3.0"
FILES_PER_CHUNK = 1000
INFO, STATS, TASKS, SOURCE, CARD = (
    "meta/info.json",
    "meta/stats.json",
    "meta/tasks.parquet",
    "meta/infrope.json",
    "README.md",
)
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
CARD_TEXT = """---
task_categories:
- robotics
tags:
- LeRobot
- world-model
configs:
- config_name: default
  data_files: data/*/*.parquet
---

Rollouts of a text-driven video world, recorded and exported by `infrope`. LeRobot format {version}.

{alignment}

`prompt` is the text in force; tasks are the prompts. `transition` is start, continue, switch or cut, that of the
frame's block. Actions by index: {actions}.
"""


class LeRobotFolder:
    """A dataset on disk, to which episodes are added."""

    def __init__(self, out: Path) -> None:
        """Open the dataset in a folder, or prepare to make one.

        Raises:
            ValueError: The folder holds something else.
        """
        self._out = out
        self._info: dict[str, Any] | None = None
        self._actions: list[str] = []
        self._tasks: list[str] = []
        self._rows: list[EpisodeRow] = []
        self._merged: dict[str, Statistics] = {}
        if (out / INFO).exists() and (out / SOURCE).exists():
            self._info = json.loads((out / INFO).read_text(encoding="utf-8"))
            self._actions = json.loads((out / SOURCE).read_text(encoding="utf-8"))["actions"]
            self._tasks = read_tasks(out / TASKS)
            self._rows = [read_episode_row(self._path(EPISODES_PATH, i)) for i in range(self._info["total_episodes"])]
            self._merged = _merge_all([row.statistics for row in self._rows])
        elif any(not path.name.startswith(".") for path in out.iterdir()) and not (out / SOURCE).exists():
            raise ValueError(f"{out} is not empty and was not made by an export to lerobot: choose another folder")

    def exported(self) -> dict[str, str]:
        """Return the episode in the dataset, by `chain`."""
        return {row.chain: f"episode {row.index}" for row in self._rows}

    def add(self, episode: Episode, partial: Path) -> str:
        """Write the files of an episode, and add it to the dataset."""
        index, pixels = len(self._rows), PixelStatistics()
        copy_video(episode, partial / "video.mp4", pixels.see)
        tasks = list(dict.fromkeys([*self._tasks, *episode.prompts]))
        columns = self._number(make_columns(episode), tasks)
        found = features(columns, pixels.frame_size, episode.meta.frame_rate)
        self._require_same(episode, found)
        statistics = {name: column_statistics(column) for name, column in columns.items() if column.dtype.kind != "O"}
        row = EpisodeRow(
            index=index,
            first_row=self._next_row,
            length=episode.frames,
            tasks=tuple(dict.fromkeys(episode.prompts)),
            chain=episode.chain,
            recording=str(episode.folder),
            seconds=episode.seconds,
            statistics={VIDEO_KEY: pixels.result(), **statistics},
        )
        write_rows(partial / "rows.parquet", columns)
        write_episode(partial / "episode.parquet", row, FILES_PER_CHUNK)
        self._commit(partial, row, tasks, found, episode)
        return f"episode {index}"

    @property
    def _next_row(self) -> int:
        return self._rows[-1].first_row + self._rows[-1].length if self._rows else 0

    def _path(self, pattern: str, index: int) -> Path:
        chunk, file = place(index, FILES_PER_CHUNK)
        return self._out / pattern.format(chunk_index=chunk, file_index=file, video_key=VIDEO_KEY)

    def _number(self, columns: dict[str, Column], tasks: list[str]) -> dict[str, Column]:
        """Return the columns with those that number rows in the dataset."""
        length, numbers = len(columns["prompt"]), {task: number for number, task in enumerate(tasks)}
        return columns | {
            "reward": columns["reward"].astype(np.float32),
            "episode_index": np.full(length, len(self._rows), dtype=np.int64),
            "index": np.arange(self._next_row, self._next_row + length, dtype=np.int64),
            "task_index": np.array([numbers[prompt] for prompt in columns["prompt"]], dtype=np.int64),
        }

    def _require_same(self, episode: Episode, found: dict[str, Any]) -> None:
        """Raise Refused when the episode has another frame size, frame rate or action set than the dataset."""
        if self._info is None:
            return
        expected, got = (_describe(each[VIDEO_KEY]) for each in (self._info["features"], found))
        if expected != got:
            raise Refused(f"its video is {got}, expected {expected} as in the dataset: export it to another folder")
        if list(episode.action_names) != self._actions:
            raise Refused("its actions are not those of the dataset: export it to another folder")

    def _commit(
        self, partial: Path, row: EpisodeRow, tasks: list[str], found: dict[str, Any], episode: Episode
    ) -> None:
        rows = [*self._rows, row]
        info = {
            "codebase_version": VERSION,
            "robot_type": None,
            "total_episodes": len(rows),
            "total_frames": row.first_row + row.length,
            "total_tasks": len(tasks),
            "chunks_size": FILES_PER_CHUNK,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": episode.meta.frame_rate,
            "splits": {"train": f"0:{len(rows)}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH,
            "features": found,
        }
        write_tasks(partial / "tasks.parquet", tasks)
        merged = _merge_all([self._merged, row.statistics] if self._merged else [row.statistics])
        _write_json(partial / "stats.json", to_json(merged))
        _write_json(partial / "infrope.json", {"alignment": ALIGNMENT, "actions": list(episode.action_names)})
        card = CARD_TEXT.format(version=VERSION, alignment=ALIGNMENT, actions=", ".join(episode.action_names))
        (partial / "card.md").write_text(card, encoding="utf-8")
        _write_json(partial / "info.json", info)
        for name, final in (
            ("infrope.json", self._out / SOURCE),  # first: it tells later exports that the folder is theirs
            ("video.mp4", self._path(VIDEO_PATH, row.index)),
            ("rows.parquet", self._path(DATA_PATH, row.index)),
            ("episode.parquet", self._path(EPISODES_PATH, row.index)),
            ("tasks.parquet", self._out / TASKS),
            ("card.md", self._out / CARD),
            ("stats.json", self._out / STATS),
            ("info.json", self._out / INFO),  # last: it adds the episode
        ):
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(partial / name, final)
        self._info, self._tasks, self._rows, self._actions = info, tasks, rows, list(episode.action_names)
        self._merged = merged


def _merge_all(parts: Sequence[Mapping[str, Statistics]]) -> dict[str, Statistics]:
    """Return the statistics of several episodes together, of every column; merged one by one, as they are added."""
    return {name: reduce(lambda a, b: merge([a, b]), (part[name] for part in parts)) for name in parts[0]}


def _describe(video: dict[str, Any]) -> str:
    """Return size and frame rate of a video feature: "160x96 at 16 frames a second"."""
    height, width, _ = video["shape"]
    return f"{width}x{height} at {video['info']['video.fps']} frames a second"


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
