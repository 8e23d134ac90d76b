"""The cache folder of a released generator: which revision was downloaded, and the converted file.

One folder per generator. `record.json` holds repository and revision, and the sha256 of the converted file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from infrope_env.atomic_file import write_atomically
from infrope_env.cache_dir import cache_dir
from infrope_env.errors import WeightsError
from infrope_env.tensor_files import sha256_of

RECORD = "record.json"
CONVERTED = "generator.safetensors"


def checkpoint_folder(name: str) -> Path:
    """Return the folder of a generator's record and converted file. It may not exist."""
    return cache_dir() / "checkpoints" / name


def stored_revision(name: str, repo: str) -> str | None:
    """Return the revision that was downloaded from this repository, None if none was."""
    record = read_record(name)
    return record.get("revision") if record.get("repo") == repo else None


def chosen_revision(name: str, repo: str) -> str | None:
    """Return the revision that a download was asked for by its commit, None if none was."""
    return stored_revision(name, repo) if read_record(name).get("chosen") else None


def store_revision(name: str, repo: str, revision: str, chosen: bool = False) -> None:
    """Record the downloaded revision; a file converted from another one no longer counts.

    Args:
        name: Name of the release.
        repo: Its repository.
        revision: Commit.
        chosen: Whether this commit was asked for; a record that says so keeps it.
    """
    same = stored_revision(name, repo) == revision
    before = read_record(name) if same else {"repo": repo, "revision": revision}
    if not same or (chosen and not before.get("chosen")):
        write_json(checkpoint_folder(name) / RECORD, before | ({"chosen": True} if chosen else {}))


def find_converted(name: str, revision: str | None = None) -> Path | None:
    """Return the converted generator if it is here and, with a revision, was made from that one."""
    record, path = read_record(name), checkpoint_folder(name) / CONVERTED
    is_whole = "sha256" in record and path.is_file()
    return path if is_whole and revision in (None, record.get("revision")) else None


def store_converted(name: str, values: Iterable[tuple[str, Tensor]]) -> Path:
    """Write tensors as one .safetensors file in bfloat16, whole or not at all, and record its sha256."""
    path = checkpoint_folder(name) / CONVERTED
    tensors = {f"model.{key}": tensor.bfloat16().contiguous() for key, tensor in values}  # as in the releases
    try:
        write_atomically(path, lambda part: save_file(tensors, part))
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot be written: {error}. INFROPE_CACHE names another folder.") from error
    write_json(checkpoint_folder(name) / RECORD, read_record(name) | {"sha256": sha256_of(path)})
    return path


def read_record(name: str) -> dict[str, Any]:
    """Return the record of a generator, empty if there is none or it cannot be read."""
    return read_json(checkpoint_folder(name) / RECORD)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file of the cache, empty if there is none or it cannot be read."""
    try:
        content = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file of the cache, whole or not at all."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())
