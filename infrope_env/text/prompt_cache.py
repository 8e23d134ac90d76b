"""Every text is encoded once: embeddings are remembered in memory and, if a folder is given, on disk.

A large encoder is let go as soon as it has done its work. Knows no actions; what a text means is the encoder's
business.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from infrope_env.text.encoder import Releasable, TextEncoder
from infrope_env.text.prompt_files import EncoderId, read_embedding, write_embedding


class PromptCache:
    """Text to embedding, encoded at its first use."""

    def __init__(
        self,
        encoder: TextEncoder,
        folder: Path | None = None,
        *,
        device: torch.device | str = "cpu",
        capacity: int = 64,
        keep_encoder: bool = False,
    ) -> None:
        """Start empty.

        Args:
            encoder: asked once for each text; one that can be released is, after use.
            folder: embeddings are kept here between processes; made at the first write. None keeps nothing.
            device: where every embedding is handed out.
            capacity: embeddings kept in memory; the ones used longest ago go first. One of UMT5-XXL is 4 MB.
            keep_encoder: never release the encoder: the next new text is quicker, memory is fuller.
        """
        if capacity < 1:
            raise ValueError(f"expected capacity to be at least 1, got {capacity}")
        self.encoder, self.folder, self.device, self.capacity = encoder, folder, torch.device(device), capacity
        self.keep_encoder = keep_encoder
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
            ValueError: the encoder does not accept the text; TextEncoderAbsent, a ValueError, when there is none.
        """
        if not self._recall(text):
            self.encode_all([text])
        self._recent.move_to_end(text)
        return self._recent[text]

    def encode_all(self, texts: Iterable[str], report: Callable[[int, int], None] | None = None) -> None:
        """Encode texts ahead of play, so that no block waits for one of them.

        One by one: in a batch the last bits could differ, and with them the pixels of a replay.

        Args:
            texts: those encoded before are only looked up.
            report: called as report(done, total) before and after each text that has to be encoded.

        Raises:
            ValueError: as in `embedding`.
        """
        missing = [text for text in dict.fromkeys(texts) if not self._recall(text)]
        try:
            for done, text in enumerate(missing):
                if report is not None:
                    report(done, len(missing))
                self._encode(text)
            if report is not None and missing:
                report(len(missing), len(missing))
        finally:
            self._release(missing)

    def _recall(self, text: str) -> bool:
        """Whether the embedding is in memory, fetched from the disk if need be."""
        if text not in self._recent and self.folder is not None:
            kept = self._kept_encoder
            found = read_embedding(kept.file(self.folder, text), kept)
            if found is not None:
                self._remember(text, found)
        return text in self._recent

    def _encode(self, text: str) -> None:
        embedding = self.encoder([text])
        if self.folder is not None:
            kept = self._kept_encoder
            write_embedding(kept.file(self.folder, text), embedding, kept, text)
        self._remember(text, embedding)

    def _remember(self, text: str, embedding: Tensor) -> None:
        self._recent[text] = embedding.to(self.device)
        if len(self._recent) > self.capacity:
            self._recent.popitem(last=False)

    def _release(self, encoded: list[str]) -> None:
        if encoded and isinstance(self.encoder, Releasable) and not self.keep_encoder:
            self.encoder.release()

    @property
    def _kept_encoder(self) -> EncoderId:
        return EncoderId(self.encoder.fingerprint, self.encoder.text_len, self.encoder.text_dim)
