"""A computation in a thread of its own, which Ctrl-C ends as if it ran in the thread that waits for it."""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

Result = TypeVar("Result")

STOP_AGAIN_S = 0.5
"""Seconds after which an exception is raised once more in a thread that goes on: destructors swallow exceptions."""


@dataclass(frozen=True)
class ThreadSettings:
    """The settings of torch that belong to one thread, and that a computation depends on.

    Attributes:
        threads: Number of threads of an operation.
        grad: Whether gradients are recorded.
        inference: Whether inference mode is on.
        device: Device of new tensors.
        autocast: Types of devices with autocast, each with its dtype.
        stream: CUDA's current stream and with it the current GPU; None before CUDA was used.
    """

    threads: int
    grad: bool
    inference: bool
    device: torch.device
    autocast: tuple[tuple[str, torch.dtype], ...]
    stream: torch.cuda.Stream | None

    @classmethod
    def of_this_thread(cls) -> ThreadSettings:
        """Return the settings of the calling thread."""
        kinds = [kind for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)]
        return cls(
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.get_default_device(),
            tuple((kind, torch.get_autocast_dtype(kind)) for kind in kinds),
            torch.cuda.current_stream() if torch.cuda.is_initialized() else None,
        )

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """Compute under these settings."""
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        with contextlib.ExitStack() as contexts:
            contexts.enter_context(torch.inference_mode(self.inference))
            contexts.enter_context(torch.set_grad_enabled(self.grad))
            for kind, dtype in self.autocast:
                contexts.enter_context(torch.autocast(kind, dtype))
            if self.device != torch.get_default_device():
                contexts.enter_context(self.device)
            if self.stream is not None:
                contexts.enter_context(torch.cuda.stream(self.stream))
            yield


class Worker(Generic[Result]):
    """A computation in a thread of its own, under the settings and context variables of the thread that makes it.

    The thread is a new one each time: it then has the caller's number of torch threads and floating-point modes, and
    can be ended.

    Attributes:
        error: Exception that ended the computation; None before its end and after success.
        took_s: Seconds that the computation took; 0 before its end.
    """

    def __init__(self, compute: Callable[[], Result]) -> None:
        """Prepare to compute; `start` begins."""
        self._compute, self._settings = compute, ThreadSettings.of_this_thread()
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="infrope block", daemon=True)
        self._began, self._ended = threading.Event(), threading.Event()
        self._results: list[Result] = []  # one after success
        self.error: BaseException | None = None
        self._stopping = False
        self.took_s = 0.0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether the computation has ended, by its result or an error.

        `Thread.is_alive` does not tell: Python 3.11 takes a thread for ended when Ctrl-C interrupts its `join`.
        """
        return self._ended.is_set()

    def wait(self, timeout_s: float) -> None:
        """Wait until the computation has ended, `timeout_s` seconds at most."""
        self._ended.wait(timeout_s)

    def result(self) -> Result:
        """Wait for the result and return it; an error of the computation is raised here."""
        while not self.done:
            self.wait(STOP_AGAIN_S)  # a wait without end could not be interrupted on Windows
        if self.error is not None:
            raise self.error
        return self._results[0]

    def stop(self) -> None:
        """End the computation at its next line, as Ctrl-C would, and wait for that; another Ctrl-C changes nothing."""
        self._stopping = True  # for a thread that is about to begin
        while self._began.is_set() and not self.done and self._thread.ident in sys._current_frames():
            with contextlib.suppress(KeyboardInterrupt):
                thread = ctypes.c_ulong(self._thread.ident or 0)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(SystemExit))
                self.wait(STOP_AGAIN_S)

    def _run(self) -> None:
        self._began.set()
        began_s = time.perf_counter()
        try:
            if not self._stopping:
                with self._settings.in_force():
                    self._results.append(self._compute())
        except BaseException as error:  # raised again by `result`
            self.error = error
        finally:
            self.took_s = time.perf_counter() - began_s
            self._ended.set()
