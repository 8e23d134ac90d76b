"""Every text is encoded once: embeddings are remembered in memory and, if a folder is given, on disk.

Knows no actions; what a text means is the encoder's business.
"""

import hashlib
import os
import uuid
import warnings
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from infrope_env.control.text_encoder import TextEncoder


class PromptBank:
    """Text to embedding, encoded at its first use."""

    def __init__(
        self,
        encoder: TextEncoder,
        folder: Path | None = None,
        *,
        device: torch.device | str = "cpu",
        capacity: int = 64,
    ) -> None:
        """Start empty.

        Args:
            encoder: asked once for each text.
            folder: embeddings are kept here between processes; made at the first write. None keeps nothing.
            device: where every embedding is handed out.
            capacity: embeddings kept in memory; the ones used longest ago go first. One of UMT5-XXL is 4 MB.
        """
        if capacity < 1:
            raise ValueError(f"expected capacity to be at least 1, got {capacity}")
        self.encoder, self.folder, self.device, self.capacity = encoder, folder, torch.device(device), capacity
        self._recent: OrderedDict[str, Tensor] = OrderedDict()

    def __getitem__(self, text: str) -> Tensor:
        """Same as `embedding`."""
        return self.embedding(text)

    def __len__(self) -> int:
        """Embeddings in memory."""
        return len(self._recent)

    def embedding(self, text: str) -> Tensor:
        """The embedding [1, text_len, text_dim] of a text; shared, so not to be written to.

        Raises:
            ValueError: the encoder does not accept the text.
        """
        if text not in self._recent:
            self._recent[text] = self._find(text).to(self.device)
            if len(self._recent) > self.capacity:
                self._recent.popitem(last=False)
        self._recent.move_to_end(text)
        return self._recent[text]

    def encode_all(self, texts: Iterable[str]) -> None:
        """Encode texts ahead of play, so that no block waits for one of them.

        One by one: in a batch the last bits could differ, and with them the pixels of a replay.
        """
        for text in texts:
            self.embedding(text)

    def _find(self, text: str) -> Tensor:
        if self.folder is None:
            return self.encoder([text])
        path = self.folder / f"{_key(self.encoder.fingerprint, text)}.safetensors"
        shape = (1, self.encoder.text_len, self.encoder.text_dim)
        kept = _read(path, shape)
        if kept is not None:
            return kept
        embedding = self.encoder([text])
        _write(path, embedding)
        return embedding


def _key(fingerprint: str, text: str) -> str:
    return hashlib.sha256(f"{fingerprint}\n{text}".encode()).hexdigest()


def _checksum(embedding: Tensor) -> str:
    return hashlib.sha256(embedding.flatten().view(torch.uint8).numpy().tobytes()).hexdigest()


def _read(path: Path, shape: tuple[int, ...]) -> Tensor | None:
    """The embedding kept at `path`, or None when there is none or the file is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            embedding, metadata = file.get_tensor("embedding"), file.metadata() or {}
    except (OSError, SafetensorError):
        return None
    intact = tuple(embedding.shape) == shape and metadata.get("sha256") == _checksum(embedding)
    return embedding if intact else None


def _write(path: Path, embedding: Tensor) -> None:
    """Write beside the file and rename, so that no reader ever meets half of it; a full disk does not stop play."""
    kept = embedding.detach().cpu().contiguous()
    data = save({"embedding": kept}, metadata={"sha256": _checksum(kept)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, data)
    except OSError as error:
        warnings.warn(f"The embedding was not kept in {path.parent}: {error.strerror}.", stacklevel=2)


def _replace(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
