"""Files of strangers, opened with care: only regular files, and never more bytes than the caller expects."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

from infrope_env.errors import shown

MEGABYTE = 1_000_000
KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))


def as_path(given: object, what: str) -> Path:
    """Return a path with "~" expanded.

    Args:
        given: A string or a path.
        what: What the path is for, as the error names it: "an image".

    Raises:
        TypeError: It is neither.
        ValueError: It is empty, holds a null character, or "~name" names no user.
    """
    if not isinstance(given, str | os.PathLike) or not isinstance(text := os.fspath(given), str):
        raise TypeError(f"expected {what} to be a path, got {shown(given)}")
    if not text or "\0" in text:
        raise ValueError(f"expected {what} to be a path, got {shown(text)}")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"expected {what} to be a path, got {shown(text)}: there is no such user") from error


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file for reading; the caller closes it.

    A pipe without a writer does not block.

    Raises:
        OSError: The file cannot be opened, or is a folder, a pipe or a device; `strerror` has the reason.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            kind = next((name for is_kind, name in KINDS if is_kind(mode)), "a device")
            raise OSError(None, f"expected a regular file, it is {kind}")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Return the bytes of a file.

    Raises:
        OSError: As in `open_regular`, or the file has more than `most_bytes` bytes, of which no more are read.
    """
    with open_regular(path) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise OSError(None, f"expected at most {most_bytes / MEGABYTE:g} MB, it is larger")
    return data
