"""Opens checkpoint files: zipped .pt and .safetensors, told apart by their first bytes. Tensors only, never code.

What is opened is mapped, not read: a tensor's bytes come from the disk when it is copied.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from infrope_env.errors import WeightsError

ZIP, PICKLE = b"PK", b"\x80"


def open_checkpoint(path: Path) -> Mapping[str, object]:
    """The entries of a checkpoint file: tensors, or tables of them.

    Raises:
        WeightsError: the file is missing, truncated, of another kind, or holds what only running code could read.
    """
    start = _first_bytes(path)
    if start.startswith(ZIP):
        return _open_zip(path)
    if start[8:9] == b"{":  # after the length of a safetensors header
        return _open_safetensors(path)
    if start.startswith(PICKLE):
        raise WeightsError(
            f"{path}: a pickle in torch's format from before 1.6, which cannot be mapped and may carry code. "
            "Save its state dict again with today's torch.save, where you trust it, or as safetensors."
        )
    raise WeightsError(f"{path}: neither a .pt nor a .safetensors file. Get it again.")


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open_zip(path: Path) -> Mapping[str, object]:
    try:
        entries = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except UnpicklingError as error:
        raise WeightsError(
            f"{path}: holds more than tensors ({_foreign_names(path)}), which reading would have to run. "
            "Only tensors are read: save its state dict alone, where you trust it."
        ) from error
    except (RuntimeError, EOFError, KeyError, OSError) as error:
        raise WeightsError(f"{path}: truncated or damaged. Get it again.") from error
    if not isinstance(entries, Mapping):
        raise WeightsError(f"{path}: expected a table of tensors, got {type(entries).__name__}.")
    return entries


def _open_safetensors(path: Path) -> Mapping[str, object]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: truncated or damaged. Get it again. ({error})") from error


def _foreign_names(path: Path) -> str:
    """What a pickle asks for besides tensors, without running it."""
    names = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    return ", ".join(sorted(names)[:3]) or "unknown instructions"


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(9)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}.") from error
