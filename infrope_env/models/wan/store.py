"""The folder in which a checkpoint's revision is remembered and a generator converted once is kept.

One folder a checkpoint, `record.json` in it: repository, revision, and of each converted file its sha256 and the sha256
of the files it was made from. Files appear whole or not at all, the record last. Knows no hub.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from infrope_env.cache_dir import cache_dir
from infrope_env.errors import WeightsError
from infrope_env.models.tensor_files import sha256_of

RECORD = "record.json"
CONVERTED = "generator.safetensors"
PREFIX = "model."  # as released


def checkpoint_folder(name: str) -> Path:
    """Where a checkpoint's record and converted generator are; it may not exist."""
    return cache_dir() / "checkpoints" / name


def recall_revision(name: str, repo: str) -> str | None:
    """The revision that was downloaded from this repository; None if none was."""
    record = read_record(name)
    return record.get("revision") if record.get("repo") == repo else None


def remember_revision(name: str, repo: str, revision: str) -> None:
    """Write down which revision was downloaded; what was converted from another one no longer counts."""
    if recall_revision(name, repo) != revision:
        _write_record(name, {"repo": repo, "revision": revision})


def find_converted(name: str, revision: str | None = None) -> Path | None:
    """The converted generator if it is here; with a revision, only if it was made from that one."""
    record, path = read_record(name), checkpoint_folder(name) / CONVERTED
    made = record.get("sha256") is not None and path.is_file()
    return path if made and revision in (None, record.get("revision")) else None


def converted_sha256(path: Path) -> str | None:
    """The digest in the record beside a converted generator; None for any other file."""
    return read_record(path.parent.name).get("sha256") if path == find_converted(path.parent.name) else None


def keep_converted(name: str, values: Iterable[tuple[str, Tensor]], dtype: torch.dtype) -> Path:
    """Write a generator's named tensors in this dtype, one file of safetensors; its sha256 goes into the record.

    Raises:
        WeightsError: it cannot be written; nothing half written stays.
    """
    path = checkpoint_folder(name) / CONVERTED
    part = path.with_name(f"{CONVERTED}.part")
    prefixed = {PREFIX + key: tensor.to(dtype).contiguous() for key, tensor in values}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(prefixed, part)
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise WeightsError(f"{path}: cannot be written: {error}. INFROPE_CACHE names another folder.") from error
    _write_record(name, read_record(name) | {"sha256": sha256_of(path), "dtype": str(dtype).removeprefix("torch.")})
    return path


def read_record(name: str) -> dict[str, str]:
    """What is written down about a checkpoint; nothing if there is no record or it cannot be read."""
    try:
        record = json.loads((checkpoint_folder(name) / RECORD).read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return record if isinstance(record, dict) else {}


def _write_record(name: str, record: Mapping[str, str]) -> None:
    folder = checkpoint_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{RECORD}.part"
    part.write_text(json.dumps(dict(record), indent=2) + "\n")
    os.replace(part, folder / RECORD)
