"""Embeddings on disk: one subfolder for each encoder, in it one file for each text, which says what it is.

`<fingerprint, first 16 digits>/<sha256 of the text>.safetensors`. So embeddings outlive the encoder that made them.
"""

import hashlib
import json
import os
import uuid
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from infrope_env.cache_dir import cache_dir

NOTES = (
    "infrope"  # one entry, in JSON: the library writes several in any order, and equal files should have equal bytes
)
DAMAGE = (OSError, SafetensorError, KeyError, TypeError, ValueError)


def default_folder() -> Path:
    """Where embeddings are kept when nobody says otherwise."""
    return cache_dir() / "prompts"


@dataclass(frozen=True)
class EncoderId:
    """An encoder as its embeddings describe it."""

    fingerprint: str
    text_len: int
    text_dim: int

    def file(self, folder: Path, text: str) -> Path:
        """Where the embedding of a text belongs."""
        return folder / self.fingerprint[:16] / f"{hashlib.sha256(text.encode()).hexdigest()}.safetensors"


def stored_encoders(folder: Path) -> tuple[EncoderId, ...]:
    """The encoders that have embeddings in a folder, the one that added the newest first."""
    subfolders = sorted((path for path in folder.glob("*") if path.is_dir()), key=_age, reverse=True)
    described = (next(filter(None, map(_describe, sub.glob("*.safetensors"))), None) for sub in subfolders)
    return tuple(encoder for encoder in described if encoder is not None)


def read_embedding(path: Path, encoder: EncoderId) -> Tensor | None:
    """The embedding [1, text_len, text_dim] kept at `path`; None when there is none or the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            rows, notes = file.get_tensor("embedding"), _notes(file.metadata())
    except DAMAGE:
        return None
    fits = rows.ndim == 2 and rows.shape[1] == encoder.text_dim and notes["text_len"] == encoder.text_len
    if not fits or notes["sha256"] != _checksum(rows):
        return None
    embedding = rows.new_zeros(1, encoder.text_len, encoder.text_dim)
    embedding[0, : len(rows)] = rows
    return embedding


def write_embedding(path: Path, embedding: Tensor, encoder: EncoderId, text: str) -> None:
    """Keep the rows up to the last that is not zero: a long prompt fills a quarter of 512.

    Written beside the file and renamed, so that no reader ever meets half of it; a full disk does not stop play.

    Args:
        path: from `encoder.file`.
        embedding: [1, text_len, text_dim].
        encoder: noted in the file, like `text`.
        text: what was encoded.
    """
    rows = _without_zeros(embedding[0].detach().cpu())
    notes = {"text": text, "fingerprint": encoder.fingerprint, "text_len": encoder.text_len, "sha256": _checksum(rows)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, save({"embedding": rows}, metadata={NOTES: json.dumps(notes)}))
    except OSError as error:
        warnings.warn(f"The embedding was not kept in {path.parent}: {error.strerror}.", stacklevel=2)


def _age(path: Path) -> float:
    return path.stat().st_mtime


def _describe(path: Path) -> EncoderId | None:
    """Which encoder an embedding is of; None when the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            notes, (_, text_dim) = _notes(file.metadata()), file.get_slice("embedding").get_shape()
        return EncoderId(notes["fingerprint"], notes["text_len"], text_dim)
    except DAMAGE:
        return None


def _notes(metadata: dict[str, str]) -> dict[str, Any]:
    """What a file says of itself; KeyError, TypeError or ValueError when it says nothing."""
    notes = json.loads(metadata[NOTES])
    return {name: notes[name] for name in ("text", "fingerprint", "text_len", "sha256")}


def _without_zeros(rows: Tensor) -> Tensor:
    filled = rows.ne(0).any(dim=-1).nonzero()  # n text_dim -> m 1
    return rows[: int(filled.max()) + 1 if len(filled) else 0].contiguous()


def _checksum(rows: Tensor) -> str:
    return hashlib.sha256(rows.flatten().view(torch.uint8).numpy().tobytes()).hexdigest()


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
