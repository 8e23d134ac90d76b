"""stdout and stderr of a command. What cannot be written is dropped, so a recording outlives its progress lines."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO, TypeVar, cast

MIN_COLUMNS = 40

Result = TypeVar("Result")


class OutputError(OSError):
    """The output of a command, which is its result, cannot be written."""


class LossyStream:
    """A text stream that drops what it cannot write, because its reader is gone, its disk is full or it is closed.

    Characters that its encoding lacks are written as escapes. Everything else is the wrapped stream's.

    Attributes:
        error: The error by which text was lost first; None while all text was written.
    """

    def __init__(self, stream: TextIO | None) -> None:
        """Wrap a stream; None is a stream that was closed before the process began."""
        self.error: OSError | None = None
        self._is_closed = stream is None
        self._stream = open(os.devnull, "w", encoding="utf-8") if stream is None else stream  # noqa: SIM115

    def write(self, text: str) -> int:
        """Write text or drop it; return its length."""
        if self._is_closed and text:
            self._lose(OSError(errno.EBADF, os.strerror(errno.EBADF)))
        try:
            self._stream.write(text)
        except UnicodeEncodeError as error:
            return self.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        except OSError as error:
            self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Write the buffered text or drop it."""
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _lose(self, error: OSError) -> None:
        """Keep the first error, and connect the stream to nothing: its buffer would fail again when Python exits."""
        self.error = self.error or error
        with contextlib.suppress(OSError, ValueError):  # a stream without a descriptor has nothing to connect
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self._stream.fileno())
            os.close(nothing)


@contextlib.contextmanager
def lossy_output() -> Iterator[None]:
    """Make stdout and stderr lossy streams, and write their buffers at the end."""
    _occupy_standard_descriptors()
    streams = LossyStream(sys.stdout), LossyStream(sys.stderr)
    with contextlib.redirect_stdout(cast(TextIO, streams[0])), contextlib.redirect_stderr(cast(TextIO, streams[1])):
        try:
            yield
        finally:
            for stream in streams:
                stream.flush()


def require_output() -> None:
    """Raise OutputError if text on stdout was lost: for commands whose result is that text."""
    stream = sys.stdout
    stream.flush()
    if isinstance(stream, LossyStream) and stream.error is not None:
        raise OutputError(stream.error.errno, f"the output cannot be written: {stream.error.strerror}")


@contextlib.contextmanager
def readable_width() -> Iterator[None]:
    """Let a narrower terminal count as MIN_COLUMNS wide: tyro's help never ends in one of a few columns."""
    if shutil.get_terminal_size().columns >= MIN_COLUMNS:
        yield
        return
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(MIN_COLUMNS)
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        os.environ |= {} if before is None else {"COLUMNS": before}


def run_program(target: Callable[..., Result], description: str | None = None) -> Result:
    """Call a function, or make a dataclass, with the arguments of the command line; its help ends in every terminal."""
    import tyro

    with readable_width():
        return tyro.cli(target, description=description)


def _occupy_standard_descriptors() -> None:
    """Open nothing where stdin, stdout or stderr is closed: a video that took its number would get what is printed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
