"""Prompt embeddings on disk, one file per encoder and text. They can be used without the encoder's weights.

    <first 16 digits of the encoder's fingerprint>/<sha256 of the text>.safetensors

A file's metadata holds the text, the encoder's fingerprint and sizes, a checksum, and where a long text was cut. A
folder can be copied to another machine, which then plays these texts without the encoder.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from infrope_env.atomic_file import write_atomically
from infrope_env.cache_dir import cache_dir
from infrope_env.text.encoder import LargeTextEncoder, TextEncoder

METADATA_KEY = "infrope"
"""The only metadata entry, a JSON object: safetensors writes several in any order, and equal files need equal bytes."""
READ_ERRORS = (OSError, SafetensorError, KeyError, TypeError, ValueError)
"""Errors from a file that is missing or damaged."""


def default_folder() -> Path:
    """Return the folder of embeddings in the user's cache."""
    return cache_dir() / "prompts"


@dataclass(frozen=True)
class EncoderId:
    """Identity of an encoder, as stored with its embeddings.

    Attributes:
        fingerprint: Fingerprint of the weights, the tokenizer and the dtype of the weights. Embeddings of equal
            fingerprints are equal up to the last bits, which depend on the kind of processor or GPU that made them;
            play uses the file as it is.
        text_len: Rows of an embedding.
        text_dim: Width of a row.
    """

    fingerprint: str
    text_len: int
    text_dim: int

    @classmethod
    def of(cls, encoder: TextEncoder) -> Self:
        """Return the identity of an encoder."""
        return cls(encoder.fingerprint, encoder.text_len, encoder.text_dim)

    def path_of(self, folder: Path, text: str) -> Path:
        """Return the path of a text's embedding in a folder of embeddings."""
        return folder / self.fingerprint[:16] / f"{hashlib.sha256(text.encode()).hexdigest()}.safetensors"


def stored_encoders(folder: Path) -> tuple[EncoderId, ...]:
    """Return the encoders that have embeddings in a folder, the one with the newest embedding first."""
    subfolders = [path for path in folder.glob("*") if path.is_dir()]
    subfolders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    first_readable = (next(filter(None, map(_read_encoder_id, sub.glob("*.safetensors"))), None) for sub in subfolders)
    return tuple(encoder for encoder in first_readable if encoder is not None)


@dataclass(frozen=True)
class StoredEmbedding:
    """An embedding as its file has it.

    Attributes:
        rows: The embedding, 1 text_len text_dim.
        cut: Sentence on where the text was cut because it was too long; None if it was whole.
    """

    rows: Tensor
    cut: str | None


def read_embedding(path: Path, encoder: EncoderId) -> StoredEmbedding | None:
    """Return the embedding stored at `path`; None if the file is missing, damaged or misfits."""
    try:
        with safe_open(path, framework="pt") as file:
            rows, metadata = file.get_tensor("embedding"), _parse_metadata(file.metadata())
    except READ_ERRORS:
        return None
    fits = rows.ndim == 2 and rows.shape[1] == encoder.text_dim and metadata["text_len"] == encoder.text_len
    if not fits or metadata["sha256"] != _checksum(rows):
        return None
    embedding = rows.new_zeros(1, encoder.text_len, encoder.text_dim)
    embedding[0, : len(rows)] = rows
    return StoredEmbedding(embedding, metadata["cut"])


def write_embedding(path: Path, embedding: Tensor, encoder: EncoderId, text: str, cut: str | None = None) -> None:
    """Store the rows of an embedding up to the last nonzero one; even a long prompt fills only a quarter of 512 rows.

    The file is written whole or not at all. If it cannot be written, as on a full disk, a warning is issued and
    play continues.

    Args:
        path: Path from `EncoderId.path_of`.
        embedding: Embedding of the text, 1 text_len text_dim.
        encoder: Encoder that made it, for the metadata.
        text: Text that was encoded, for the metadata.
        cut: Sentence on where it was cut, for the metadata.
    """
    rows = _without_trailing_zeros(embedding[0].detach().cpu())
    metadata = {
        "text": text,
        "fingerprint": encoder.fingerprint,
        "text_len": encoder.text_len,
        "sha256": _checksum(rows),
    } | ({} if cut is None else {"cut": cut})
    try:
        write_atomically(path, save({"embedding": rows}, metadata={METADATA_KEY: json.dumps(metadata)}))
    except OSError as error:
        warnings.warn(f"The embedding was not kept in {path.parent}: {error.strerror}.", stacklevel=2)


def store_embedding(folder: Path, encoder: TextEncoder, text: str, embedding: Tensor) -> str | None:
    """Store the embedding, 1 text_len text_dim, that an encoder has just made.

    Returns:
        Sentence on where the text was cut; None if it was whole.
    """
    is_full = bool(embedding[0, -1].any())
    cut = encoder.cut_of(text) if is_full and isinstance(encoder, LargeTextEncoder) else None
    encoder_id = EncoderId.of(encoder)
    write_embedding(encoder_id.path_of(folder, text), embedding, encoder_id, text, cut)
    return cut


def _read_encoder_id(path: Path) -> EncoderId | None:
    """Return the encoder of a stored embedding; None if the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata, (_, text_dim) = _parse_metadata(file.metadata()), file.get_slice("embedding").get_shape()
        return EncoderId(metadata["fingerprint"], metadata["text_len"], text_dim)
    except READ_ERRORS:
        return None


def _parse_metadata(entries: dict[str, str]) -> dict[str, Any]:
    """Return text, fingerprint, text_len, sha256, and cut or None, from a file's metadata.

    Raises:
        KeyError, TypeError, ValueError: The metadata is incomplete or no JSON object.
    """
    metadata = json.loads(entries[METADATA_KEY])
    cut = metadata.get("cut")
    return {name: metadata[name] for name in ("text", "fingerprint", "text_len", "sha256")} | {
        "cut": cut if isinstance(cut, str) else None
    }


def _without_trailing_zeros(rows: Tensor) -> Tensor:
    nonzero = rows.ne(0).any(dim=-1).nonzero()  # n text_dim -> m 1
    return rows[: int(nonzero.max()) + 1 if len(nonzero) else 0].contiguous()


def _checksum(rows: Tensor) -> str:
    return hashlib.sha256(rows.flatten().view(torch.uint8).numpy().tobytes()).hexdigest()
