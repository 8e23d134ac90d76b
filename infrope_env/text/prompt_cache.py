"""A cache of prompt embeddings, in memory and, if it has a folder, on disk: every text is encoded once.

An encoder that can be released is released as soon as the new texts are encoded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from infrope_env.text.encoder import Releasable, TextEncoder
from infrope_env.text.prompt_files import EncoderId, read_embedding, write_embedding


class PromptCache:
    """Embeddings by text, encoded at their first use; a full memory drops the least recently used."""

    def __init__(
        self,
        encoder: TextEncoder,
        folder: Path | None = None,
        *,
        device: torch.device | str = "cpu",
        capacity: int = 64,
        keep_encoder: bool = False,
    ) -> None:
        """Make an empty cache.

        Args:
            encoder: Encoder of new texts; a `Releasable` one is released after use.
            folder: Folder of embeddings on disk, made at the first write. Default None: embeddings are in memory only.
            device: Device of every returned embedding. Default "cpu".
            capacity: Number of embeddings in memory. One of UMT5-XXL takes 4 MB. Default 64.
            keep_encoder: Whether the encoder stays loaded after use, which takes memory and saves loading it again.

        Raises:
            ValueError: The capacity is below 1.
        """
        if capacity < 1:
            raise ValueError(f"expected capacity to be at least 1, got {capacity}")
        self.encoder, self.folder, self.device, self.capacity = encoder, folder, torch.device(device), capacity
        self.keep_encoder = keep_encoder
        self._embeddings: OrderedDict[str, Tensor] = OrderedDict()  # least recently used first

    def __getitem__(self, text: str) -> Tensor:
        """Same as `embedding`."""
        return self.embedding(text)

    def __len__(self) -> int:
        """Return the number of embeddings in memory."""
        return len(self._embeddings)

    def embedding(self, text: str) -> Tensor:
        """Return the embedding of a text, 1 text_len text_dim; the tensor is shared, so do not write to it.

        Raises:
            ValueError: The encoder does not accept the text. `TextEncoderAbsent` is a ValueError.
        """
        if not self._load(text):
            self.encode_all([text])
        self._embeddings.move_to_end(text)
        return self._embeddings[text]

    def encode_all(self, texts: Iterable[str], report: Callable[[int, int], None] | None = None) -> None:
        """Encode texts ahead of play, so that encoding delays no block.

        Texts are encoded one by one: in a batch the last bits could differ, and with them the pixels of a replay.

        Args:
            texts: Texts; those that were encoded before are only looked up.
            report: Progress callback, report(done, total), before each new text and after the last.

        Raises:
            ValueError: As in `embedding`.
        """
        missing = [text for text in dict.fromkeys(texts) if not self._load(text)]
        try:
            for done, text in enumerate(missing):
                if report is not None:
                    report(done, len(missing))
                self._encode(text)
            if report is not None and missing:
                report(len(missing), len(missing))
        finally:
            if missing and isinstance(self.encoder, Releasable) and not self.keep_encoder:
                self.encoder.release()

    def _load(self, text: str) -> bool:
        """Read an embedding from disk unless it is in memory; return whether it is in memory now."""
        if text not in self._embeddings and self.folder is not None:
            encoder = EncoderId.of(self.encoder)
            embedding = read_embedding(encoder.path_of(self.folder, text), encoder)
            if embedding is not None:
                self._insert(text, embedding)
        return text in self._embeddings

    def _encode(self, text: str) -> None:
        embedding = self.encoder([text])
        if self.folder is not None:
            encoder = EncoderId.of(self.encoder)
            write_embedding(encoder.path_of(self.folder, text), embedding, encoder, text)
        self._insert(text, embedding)

    def _insert(self, text: str, embedding: Tensor) -> None:
        self._embeddings[text] = embedding.to(self.device)
        if len(self._embeddings) > self.capacity:
            self._embeddings.popitem(last=False)
