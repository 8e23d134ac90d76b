"""The cache folder of a released generator: which revision was downloaded, and the converted file.

One folder per generator. `record.json` holds repository and revision, and sha256 and dtype of the converted file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from infrope_env.atomic_file import write_atomically
from infrope_env.cache_dir import cache_dir
from infrope_env.errors import WeightsError
from infrope_env.tensor_files import sha256_of

RECORD = "record.json"
CONVERTED = "generator.safetensors"
PREFIX = "model."  # as in the releases


def checkpoint_folder(name: str) -> Path:
    """Return the folder of a generator's record and converted file. It may not exist."""
    return cache_dir() / "checkpoints" / name


def stored_revision(name: str, repo: str) -> str | None:
    """Return the revision that was downloaded from this repository, None if none was."""
    record = read_record(name)
    return record.get("revision") if record.get("repo") == repo else None


def store_revision(name: str, repo: str, revision: str) -> None:
    """Record the downloaded revision; a file converted from another one no longer counts."""
    if stored_revision(name, repo) != revision:
        _write_record(name, {"repo": repo, "revision": revision})


def find_converted(name: str, revision: str | None = None) -> Path | None:
    """Return the converted generator if it is here and, with a revision, was made from that one."""
    record, path = read_record(name), checkpoint_folder(name) / CONVERTED
    is_whole = record.get("sha256") is not None and path.is_file()
    return path if is_whole and revision in (None, record.get("revision")) else None


def converted_sha256(path: Path) -> str | None:
    """Return the recorded digest of a converted generator, None for any other file."""
    return read_record(path.parent.name).get("sha256") if path == find_converted(path.parent.name) else None


def store_converted(name: str, values: Iterable[tuple[str, Tensor]], dtype: torch.dtype) -> Path:
    """Write named tensors in this dtype as one .safetensors file and record its sha256.

    Raises:
        WeightsError: The file cannot be written. No partial file remains.
    """
    path = checkpoint_folder(name) / CONVERTED
    tensors = {PREFIX + key: tensor.to(dtype).contiguous() for key, tensor in values}
    try:
        write_atomically(path, lambda part: save_file(tensors, part))
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be written: {error}. INFROPE_CACHE names another folder.") from error
    _write_record(name, read_record(name) | {"sha256": sha256_of(path), "dtype": str(dtype).removeprefix("torch.")})
    return path


def read_record(name: str) -> dict[str, str]:
    """Return the record of a generator, empty if there is none or it cannot be read."""
    try:
        record = json.loads((checkpoint_folder(name) / RECORD).read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return record if isinstance(record, dict) else {}


def _write_record(name: str, record: Mapping[str, str]) -> None:
    write_atomically(checkpoint_folder(name) / RECORD, (json.dumps(dict(record), indent=2) + "\n").encode())
