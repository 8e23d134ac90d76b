"""Encoding ahead while the world plays: one thread of low priority, which yields to every text that play waits for.

An embedding counts once its file is written, so a process that is killed loses the batch under way at most.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path

import torch

from infrope_env.forked import is_forked
from infrope_env.text.encoder import LargeTextEncoder
from infrope_env.text.own_thread import processors, start_thread
from infrope_env.text.progress import EncodingProgress
from infrope_env.text.prompt_files import EncoderId, store_embedding
from infrope_env.text.turns import EncodingStopped

LOG_EVERY_S = 60.0
TITLE = "encoding prompts while you play"

logger = logging.getLogger(__name__)


class BackgroundEncoding:
    """Encodes texts into a folder of embeddings, in the order of the newest request."""

    def __init__(self, encoder: LargeTextEncoder, folder: Path) -> None:
        """Prepare; `request` begins.

        Args:
            encoder: Encoder; several environments may share it, and take turns.
            folder: Folder of embeddings, as in `PromptCache`.
        """
        self._encoder, self._folder, self._id = encoder, folder, EncoderId.of(encoder)
        self._lock = threading.Lock()
        self._queue: deque[str] = deque()
        self._stored: set[str] = set()  # texts whose file was seen: a request asks the disk once for each
        self._active = self._failed = False
        self._stopping = threading.Event()
        self._thread: Future[None] | None = None

    @property
    def active(self) -> bool:
        """Whether texts are left that the thread will encode."""
        return self._active

    def request(self, texts: Iterable[str]) -> None:
        """Encode texts in this order; those of an earlier request that are not among them are dropped.

        Texts whose file exists are passed over. Nothing happens in a forked process, or after a failure.
        """
        missing = [text for text in dict.fromkeys(texts) if not self._is_stored(text)]
        with self._lock:
            self._queue = deque(missing)
            if not missing or self._active or self._failed or is_forked():
                return
            self._active = True
            self._stopping.clear()
        threads = max(1, processors() - torch.get_num_threads())  # the others generate
        self._thread = start_thread(self._run, threads=threads, background=True, name="infrope prompts ahead")
        atexit.register(self.stop)  # a thread that computes while Python ends can crash it

    def give_up(self) -> None:
        """Stop soon: after at most a product of a weight and a text."""
        self._stopping.set()
        self._encoder.turns.wake()

    def stop(self) -> None:
        """Stop, and wait for the end of the thread. The batch under way is dropped; a request begins again."""
        self.give_up()
        if self._thread is not None and not is_forked():
            self._thread.exception()
        atexit.unregister(self.stop)

    def _run(self) -> None:
        try:
            self._encode_queue()
        except EncodingStopped:
            pass
        except (RuntimeError, OSError, ValueError, ImportError) as error:
            self._failed = True
            logger.warning("the other prompts are encoded when they are first used: %s", error)
        finally:
            self._active = False

    def _encode_queue(self) -> None:
        progress = EncodingProgress(TITLE, self._encoder.seconds_each, every_s=LOG_EVERY_S, log=logger)
        done = 0
        while not self._failed:
            with self._encoder.turns.background(self._next_batch, self._stopping.is_set) as batch:
                if not batch:
                    return
                total = done + len(batch) + len(self._queue)
                progress.report(done, total)
                rows = self._encoder.encode_in_background(batch, self._stopping.is_set, lambda fraction: None)
                for text, embedding in zip(batch, rows.cpu().split(1), strict=True):
                    store_embedding(self._folder, self._encoder, text, embedding)
                self._failed = not self._is_stored(batch[-1])  # a full disk; a warning has the reason
                done += len(batch)
            progress.report(done, total)

    def _is_stored(self, text: str) -> bool:
        if text not in self._stored and self._id.path_of(self._folder, text).is_file():
            self._stored.add(text)
        return text in self._stored

    def _next_batch(self) -> list[str]:
        """Take the next texts that nobody has encoded meanwhile; without one, the thread has nothing left to do."""
        size, batch = self._encoder.batch_size, list[str]()
        with self._lock:
            while self._queue and len(batch) < size:
                if not self._is_stored(text := self._queue.popleft()):
                    batch.append(text)
            self._active = bool(batch)
        return batch
