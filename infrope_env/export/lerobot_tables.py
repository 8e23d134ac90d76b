"""The tables of a LeRobot dataset, format v3.0, as parquet: rows, episodes, tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infrope_env.export.rows import Column
from infrope_env.export.statistics import KEYS, Statistics

VIDEO_KEY = "observation.image"
TYPES = {"i": pa.int64(), "b": pa.bool_(), "O": pa.string(), "f": pa.float32()}
"""Column types by NumPy's kind of dtype."""
DTYPES = {"i": "int64", "b": "bool", "O": "string", "f": "float32"}
"""The same as LeRobot names them."""
NAMES = {"action": ["index of the action that made this frame; -1 is a reset"]}
"""Names of the values of a column, where they say more than the column's."""


@dataclass(frozen=True)
class EpisodeRow:
    """A row of the table of episodes.

    Attributes:
        index: Index of the episode in the dataset.
        first_row: Index of its first row.
        length: Number of its rows.
        tasks: Its prompts, each once.
        chain: `Episode.chain`.
        recording: Folder of the recording, as it was given.
        seconds: Duration of its video.
        statistics: By column, and of the pixels.
    """

    index: int
    first_row: int
    length: int
    tasks: tuple[str, ...]
    chain: str
    recording: str
    seconds: float
    statistics: Mapping[str, Statistics]


def place(index: int, files_per_chunk: int) -> tuple[int, int]:
    """Return chunk and file of an episode: one file each."""
    return divmod(index, files_per_chunk)


def features(columns: Mapping[str, Column], frame_size: tuple[int, int], frame_rate: int) -> dict[str, Any]:
    """Return the features of info.json: those of the columns, and the video."""
    found: dict[str, Any] = {
        name: {"dtype": DTYPES[column.dtype.kind], "shape": [1], "names": NAMES.get(name)}
        for name, column in columns.items()
    }
    height, width = frame_size
    video = {"height": height, "width": width, "codec": "h264", "pix_fmt": "yuv420p", "is_depth_map": False}
    info = {f"video.{key}": value for key, value in (video | {"fps": frame_rate, "channels": 3}).items()}
    shape = {"dtype": "video", "shape": [height, width, 3], "names": ["height", "width", "channels"]}
    return {VIDEO_KEY: shape | {"info": info | {"has_audio": False}}} | found


def write_rows(path: Path, columns: Mapping[str, Column]) -> None:
    """Write the rows of an episode."""
    arrays = {name: pa.array(column, type=TYPES[column.dtype.kind]) for name, column in columns.items()}
    pq.write_table(pa.table(arrays), path)


def write_tasks(path: Path, tasks: Sequence[str]) -> None:
    """Write the prompts and their indices, with the prompts as the index of a pandas table, as LeRobot reads it."""
    column = {"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object", "metadata": None}
    named = [column | {"name": name, "field_name": name} for name in ("task_index", "task")]
    named[0] |= {"pandas_type": "int64", "numpy_type": "int64"}
    index = {"index_columns": ["task"], "column_indexes": [column], "columns": named, "pandas_version": "2.0.0"}
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks, pa.string())})
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(index)}), path)


def read_tasks(path: Path) -> list[str]:
    """Inverse of `write_tasks`."""
    tasks: list[str] = pq.read_table(path)["task"].to_pylist()
    return tasks


def write_episode(path: Path, row: EpisodeRow, files_per_chunk: int) -> None:
    """Write the table of one episode."""
    chunk, file = place(row.index, files_per_chunk)
    values: dict[str, Any] = {
        "episode_index": row.index,
        "tasks": list(row.tasks),
        "length": row.length,
        "dataset_from_index": row.first_row,
        "dataset_to_index": row.first_row + row.length,
        "data/chunk_index": chunk,
        "data/file_index": file,
        f"videos/{VIDEO_KEY}/chunk_index": chunk,
        f"videos/{VIDEO_KEY}/file_index": file,
        f"videos/{VIDEO_KEY}/from_timestamp": 0.0,
        f"videos/{VIDEO_KEY}/to_timestamp": row.seconds,
        "meta/episodes/chunk_index": chunk,
        "meta/episodes/file_index": file,
        "recording/chain": row.chain,
        "recording/folder": row.recording,
    }
    for name, statistics in row.statistics.items():
        values |= {f"stats/{name}/{key}": array.tolist() for key, array in statistics.items()}
    pq.write_table(pa.table({key: pa.array([value]) for key, value in values.items()}), path)


def read_episode_row(path: Path) -> EpisodeRow:
    """Inverse of `write_episode`."""
    (values,) = pq.read_table(path).to_pylist()
    statistics: dict[str, Statistics] = {}
    for key, value in values.items():
        if key.startswith("stats/"):
            _, name, statistic = key.split("/")
            statistics.setdefault(name, {})[statistic] = np.array(value)
    return EpisodeRow(
        index=values["episode_index"],
        first_row=values["dataset_from_index"],
        length=values["length"],
        tasks=tuple(values["tasks"]),
        chain=values["recording/chain"],
        recording=values["recording/folder"],
        seconds=values[f"videos/{VIDEO_KEY}/to_timestamp"],
        statistics=statistics,
    )


def to_json(statistics: Mapping[str, Statistics]) -> dict[str, Any]:
    """Return the content of stats.json."""
    return {name: {key: values[key].tolist() for key in (*KEYS, "count")} for name, values in statistics.items()}
