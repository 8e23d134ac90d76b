"""Text encoders without weights in memory: one reads them when a text needs them, one stands in for missing files.

Both have the encoder's fingerprint and sizes, which is enough to use embeddings on disk.
"""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from infrope_env.errors import WeightsError
from infrope_env.text.encoder import TextEncoderAbsent
from infrope_env.text.own_thread import processors, start_thread
from infrope_env.text.prompt_files import stored_encoders
from infrope_env.text.turns import EncodingStopped, Turns, interruptible
from infrope_env.text.umt5 import TEXT_LEN, UMT5TextEncoder, check_dtype, load_tokenizer, sentence_on_cut
from infrope_env.text.umt5_files import DOWNLOAD, UMT5Files, UMT5Sizes

AUTO, REFUSE = "auto", "refuse"
HEADROOM = 1.2  # free memory that encoding needs, as a multiple of what is computed
IN_PLAY_BYTES = 2_000_000_000  # free memory that background encoding leaves to the generator
BATCHES = {"cpu": 4, "cuda": 64}
"""Texts that share one journey of the weights: few on the CPU, so that a process that is killed loses little work."""
FLOAT32 = 4  # bytes

logger = logging.getLogger(__name__)


class LazyTextEncoder:
    """UMT5-XXL on demand: its files are opened when a text is to be encoded, closed by `release`.

    Every text is encoded in a thread of its own, with all processors, whatever the number of torch threads of play.

    Attributes:
        text_len: Rows of every embedding.
        text_dim: Width of every row.
        fingerprint: The same as the loaded encoder's.
        seconds_each: Seconds that the newest batch took per text; None before the first.
    """

    text_len = TEXT_LEN

    def __init__(self, folder: str | Path, *, device: str = AUTO, dtype: str = "bfloat16") -> None:
        """Read fingerprint and sizes from the files; load no weights.

        Args:
            folder: As in `UMT5TextEncoder.from_folder`.
            device: Device to encode on. "auto" is the GPU if a layer and a batch fit into its free memory at that time,
                else the CPU. "refuse" never encodes: a text without an embedding on disk is refused.
            dtype: As in `UMT5TextEncoder.from_folder`.

        Raises:
            WeightsError: Files are missing or damaged, or not UMT5's.
            ValueError: The dtype is unknown.
        """
        check_dtype(dtype)
        self.folder, self.device, self.dtype = Path(folder), device, dtype
        files = UMT5Files.find(folder)
        self._tokenizer_file, self._sizes = files.tokenizer, UMT5Sizes.of(files.tensors(), files.folder)
        self.text_dim = self._sizes.d_model
        self.fingerprint = files.fingerprint(dtype)
        self.seconds_each: float | None = None
        self._encoder: UMT5TextEncoder | None = None
        self.turns, self._one_caller, self._pid = Turns(), threading.Lock(), os.getpid()

    @property
    def loaded(self) -> bool:
        """True while the files are open."""
        return self._encoder is not None

    @property
    def available(self) -> bool:
        """Whether texts may be encoded at all."""
        return self.device != REFUSE

    @property
    def batch_size(self) -> int:
        """Number of texts that are best encoded together on the device that is free now."""
        return BATCHES["cuda" if self.on_gpu else "cpu"]

    @property
    def on_gpu(self) -> bool:
        """Whether a text that is encoded now is encoded on a GPU."""
        return self._pick_device() != "cpu"

    def __call__(self, texts: list[str], report: Callable[[float], None] = lambda fraction: None) -> Tensor:
        """Encode texts to b 512 text_dim now; encoding in the background waits meanwhile.

        Args:
            texts: Texts.
            report: Progress callback, which receives the fraction that is done.

        Raises:
            TextEncoderAbsent: The device is "refuse".
        """
        if not self.available:
            reason = "the text encoder is switched off (its device is 'refuse')"
            raise TextEncoderAbsent(texts, reason, "Take a prompt used before, or 'cpu', 'cuda' or 'auto'.")
        if os.getpid() != self._pid:
            self._encoder = None  # locks of the parent's threads mean nothing in a forked process
            self.turns, self._one_caller, self._pid = Turns(), threading.Lock(), os.getpid()
        with self.turns.urgent(), self._one_caller:
            device = self._pick_device()
            try:
                return self._encode(texts, device, report)
            except torch.OutOfMemoryError:
                if self.device != AUTO or device == "cpu":
                    raise
                logger.warning("the GPU has no room for the text encoder: encoding on the CPU")
                self._encoder = None
                return self._encode(texts, "cpu", report)

    def encode_in_background(
        self, texts: list[str], stopped: Callable[[], bool], report: Callable[[float], None]
    ) -> Tensor:
        """Encode texts to b 512 text_dim in the calling thread, which has its turn, and wait whenever a text is urgent.

        Args:
            texts: Texts.
            stopped: Returns whether to give up.
            report: As in `__call__`.

        Raises:
            EncodingStopped: `stopped` has returned True.
            torch.OutOfMemoryError: The device is "cuda" and the GPU has no room while the world plays.
        """

        def checkpoint(fraction: float) -> None:
            self.turns.give_way(stopped)
            report(fraction)

        device = self._pick_device(IN_PLAY_BYTES)
        if device != "cpu" and not self._fits(device, IN_PLAY_BYTES):
            raise torch.OutOfMemoryError("the GPU has no room for the text encoder while the world plays")
        encoder = UMT5TextEncoder.from_folder(self.folder, device=device, dtype=self.dtype)
        return encoder(texts, checkpoint)

    def cut_of(self, text: str) -> str | None:
        """Return a sentence on where a long text is cut; None if it is whole."""
        encoder = self._encoder  # another thread may release it meanwhile
        tokenizer = load_tokenizer(self._tokenizer_file) if encoder is None else encoder.tokenizer
        return sentence_on_cut(tokenizer, text)

    def release(self) -> None:
        """Close the files; the next text opens them again."""
        self._encoder = None
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()

    def _encode(self, texts: list[str], device: str, report: Callable[[float], None]) -> Tensor:
        """Encode in a thread of its own; an exception in the caller, such as Ctrl-C, ends that thread too."""
        with interruptible() as stopped:
            return self._encode_until(stopped, texts, device, report)

    def _encode_until(
        self, stopped: threading.Event, texts: list[str], device: str, report: Callable[[float], None]
    ) -> Tensor:
        def checkpoint(fraction: float) -> None:
            if stopped.is_set():
                raise EncodingStopped
            report(fraction)

        def task() -> Tensor:
            encoder = self._encoder
            if encoder is None or encoder.device != device:
                encoder = UMT5TextEncoder.from_folder(self.folder, device=device, dtype=self.dtype)
                self._encoder = encoder
            began_s = time.monotonic()
            rows = encoder(texts, checkpoint)
            self.seconds_each = (time.monotonic() - began_s) / len(texts)
            return rows

        encoding = start_thread(task, threads=processors(), name="infrope prompts")
        try:
            return encoding.result()
        except BaseException:
            stopped.set()
            encoding.exception()  # waits for its end, at most a product of a weight and a text
            raise

    def _pick_device(self, reserve_bytes: int = 0) -> str:
        if self.device != AUTO:
            return self.device
        return "cuda" if self._fits("cuda", reserve_bytes) else "cpu"

    def _fits(self, device: str, reserve_bytes: int) -> bool:
        return free_gpu_bytes(device) > HEADROOM * gpu_bytes_needed(self._sizes) + reserve_bytes


@dataclass(frozen=True)
class AbsentTextEncoder:
    """Stand-in for an encoder whose files are missing but whose embeddings are on disk. It refuses every new text.

    Two stand-ins for one encoder are equal, so that the cache of loaded models treats them as one.

    Attributes:
        folder: Folder of the embeddings.
        fingerprint: Fingerprint of the encoder that made them.
        text_len: Rows of every embedding.
        text_dim: Width of every row.
    """

    folder: Path
    fingerprint: str
    text_len: int
    text_dim: int

    @classmethod
    def of(cls, folder: Path) -> AbsentTextEncoder:
        """Return the stand-in for the encoder of the newest embedding in the folder of a `PromptCache`.

        Raises:
            WeightsError: There is no embedding.
        """
        newest = next(iter(stored_encoders(folder)), None)
        if newest is None:
            raise WeightsError(f"{folder} has no embeddings: prompts must be encoded once with {DOWNLOAD}.")
        return cls(folder, newest.fingerprint, newest.text_len, newest.text_dim)

    def __call__(self, texts: list[str]) -> Tensor:
        """Raise TextEncoderAbsent."""
        reason = f"{self.folder} has embeddings but no text encoder"
        raise TextEncoderAbsent(texts, reason, f"Take a prompt used before, or the text encoder of {DOWNLOAD}.")


def gpu_bytes_needed(sizes: UMT5Sizes, batch: int = BATCHES["cuda"]) -> int:
    """Return the bytes that encoding takes on a GPU, from shapes: 1.9e9 for UMT5-XXL and a batch of long texts."""
    inner = sizes.num_heads * sizes.d_kv
    layer = 4 * sizes.d_model * inner + 3 * sizes.d_model * sizes.d_ff
    travelling = sizes.d_model * max(inner, sizes.d_ff)
    texts = (batch + 4) * TEXT_LEN * sizes.d_model
    attention = 4 * sizes.num_heads * TEXT_LEN**2 + 4 * TEXT_LEN * inner
    return FLOAT32 * (layer + travelling + texts + attention + 3 * TEXT_LEN * sizes.d_ff)


def free_gpu_bytes(device: str = "cuda") -> int:
    """Return the free memory of a GPU, 0 where there is none."""
    return torch.cuda.mem_get_info(device)[0] if torch.cuda.is_available() else 0
