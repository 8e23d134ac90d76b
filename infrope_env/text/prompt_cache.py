"""A cache of prompt embeddings, in host memory and, if it has a folder, on disk: every text is encoded once.

The rollout copies the embedding in force to its device when the prompt changes. An encoder that can be released is
released as soon as the new texts are encoded.
"""

from __future__ import annotations

import logging
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from torch import Tensor

from infrope_env.text.background import BackgroundEncoding
from infrope_env.text.encoder import LargeTextEncoder, Releasable, TextEncoder
from infrope_env.text.progress import EncodingProgress
from infrope_env.text.prompt_files import EncoderId, read_embedding, store_embedding

logger = logging.getLogger(__name__)


class PromptCache:
    """Embeddings by text, encoded at their first use; a full memory drops the least recently used."""

    def __init__(
        self,
        encoder: TextEncoder,
        folder: Path | None = None,
        *,
        pin: bool = False,
        capacity: int = 64,
        keep_encoder: bool = False,
    ) -> None:
        """Make an empty cache.

        Args:
            encoder: Encoder of new texts; a `Releasable` one is released after use.
            folder: Folder of embeddings on disk, made at the first write. Default None: embeddings are in memory only.
            pin: Whether embeddings are in pinned memory, from which a GPU copies fast. Default False.
            capacity: Number of embeddings in memory. One of UMT5-XXL takes 4 MB. Default 64.
            keep_encoder: Whether the encoder stays loaded after use, which takes memory and saves loading it again.

        Raises:
            ValueError: The capacity is below 1.
        """
        if capacity < 1:
            raise ValueError(f"expected capacity to be at least 1, got {capacity}")
        self.encoder, self.folder, self.capacity = encoder, folder, capacity
        self.keep_encoder = keep_encoder
        self._pin = pin
        self._embeddings: OrderedDict[str, Tensor] = OrderedDict()  # least recently used first
        self._background: BackgroundEncoding | None = None
        self._told: set[str] = set()  # texts whose cut was reported

    def __getitem__(self, text: str) -> Tensor:
        """Same as `embedding`."""
        return self.embedding(text)

    def __len__(self) -> int:
        """Return the number of embeddings in memory."""
        return len(self._embeddings)

    def embedding(self, text: str) -> Tensor:
        """Return the embedding of a text on the CPU, 1 text_len text_dim; it is shared, so do not write to it.

        Raises:
            ValueError: The encoder does not accept the text. `TextEncoderAbsent` is a ValueError.
        """
        if not self._load(text):
            self.encode_all([text])
        self._embeddings.move_to_end(text)
        return self._embeddings[text]

    def encode_all(self, texts: Iterable[str], report: Callable[[float, int], None] | None = None) -> None:
        """Encode texts ahead of play, so that encoding delays no block.

        No text changes the embedding of another: in a shared product the last bits could differ, and with them the
        pixels of a replay.

        Args:
            texts: Texts; those that were encoded before are only looked up.
            report: Progress callback, report(done, total), before, while and after new texts are encoded. By default a
                large encoder's progress is logged.

        Raises:
            ValueError: As in `embedding`.
        """
        missing = [text for text in dict.fromkeys(texts) if not self._load(text)]
        if not missing:
            return
        large = self.encoder if isinstance(self.encoder, LargeTextEncoder) else None
        if report is None:
            report = _ignore if large is None else EncodingProgress(seconds_each=large.seconds_each).report
        try:
            if large is None:
                for done, text in enumerate(missing):
                    report(done, len(missing))
                    self._keep(text, self.encoder([text]))
            else:
                self._encode_batches(large, missing, report)
            report(len(missing), len(missing))
        finally:
            if isinstance(self.encoder, Releasable) and not self.keep_encoder:
                self.encoder.release()

    def encode_in_background(self, texts: Iterable[str]) -> None:
        """Encode texts on disk while something else computes, in this order, instead of those asked for before.

        Only a large encoder and a folder make that worth while; otherwise texts are encoded when they are used.
        """
        encoder = self.encoder
        if self.folder is None or not isinstance(encoder, LargeTextEncoder) or not encoder.available:
            return
        if self._background is None:
            self._background = BackgroundEncoding(encoder, self.folder)
            weakref.finalize(self, self._background.give_up)
        self._background.request(text for text in texts if text not in self._embeddings)

    def stop_background(self) -> None:
        """Stop encoding in the background; `encode_in_background` begins again."""
        if self._background is not None:
            self._background.stop()

    def _load(self, text: str) -> bool:
        """Read an embedding from disk unless it is in memory; return whether it is in memory now."""
        if text not in self._embeddings and self.folder is not None:
            encoder = EncoderId.of(self.encoder)
            stored = read_embedding(encoder.path_of(self.folder, text), encoder)
            if stored is not None:
                self._insert(text, stored.rows, stored.cut)
        return text in self._embeddings

    def _encode_batches(
        self, encoder: LargeTextEncoder, missing: list[str], report: Callable[[float, int], None]
    ) -> None:
        """Encode texts in the batches of a large encoder; one that the background is encoding now is waited for."""
        size, total = encoder.batch_size, len(missing)
        for done in range(0, total, size):
            report(done, total)
            encoder.turns.wait_for(missing[done : done + size])
            batch = [text for text in missing[done : done + size] if not self._load(text)]
            rows = encoder(batch, partial(_report_part, report, done, len(batch), total)) if batch else ()
            for text, embedding in zip(batch, rows, strict=True):
                self._keep(text, embedding[None].clone())

    def _keep(self, text: str, embedding: Tensor) -> None:
        """Keep a new embedding, on disk and in memory."""
        embedding = embedding.cpu()
        cut = None
        if self.folder is not None:
            cut = store_embedding(self.folder, self.encoder, text, embedding)
        self._insert(text, embedding, cut)

    def _insert(self, text: str, embedding: Tensor, cut: str | None) -> None:
        if cut is not None and text not in self._told:
            self._told.add(text)
            logger.warning("%s", cut)
        self._embeddings[text] = embedding.pin_memory() if self._pin else embedding
        if len(self._embeddings) > self.capacity:
            self._embeddings.popitem(last=False)


def _ignore(done: float, total: int) -> None:
    """Report nothing."""


def _report_part(report: Callable[[float, int], None], before: int, batch: int, total: int, fraction: float) -> None:
    """Report that a fraction of a batch is done."""
    report(before + fraction * batch, total)
