"""Files of an episode, opened so that a stranger's folder can neither hang the process nor fill its memory."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

MEGABYTE = 2**20
KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class ReplayError(ValueError):
    """A recording cannot be replayed at all; the message is one sentence."""


def open_regular(folder: Path, name: str, most: int) -> BinaryIO:
    """Open a file of an episode for reading.

    Args:
        folder: The episode's folder.
        name: Name of the file.
        most: Largest size in bytes.

    Raises:
        OSError: The file is missing or cannot be read.
        ReplayError: It is no regular file, a link to a file outside the folder, or larger than `most`.
    """
    path = folder / name
    try:
        real = path.resolve(strict=True)
    except RuntimeError as error:  # Python before 3.13
        raise ReplayError(f"{path} is a link to itself.") from error
    if not real.is_relative_to(folder.resolve()):
        raise ReplayError(f"{path} is a link to a file outside of its episode and is not opened.")
    _require_regular(path, real.stat(), most)  # before it is opened, which can act on a device
    # Without O_NONBLOCK, a pipe put there since would wait for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(real, flags), "rb")
    try:
        _require_regular(path, os.fstat(file.fileno()), most)
    except ReplayError:
        file.close()
        raise
    return file


def read_regular(folder: Path, name: str, most: int) -> bytes:
    """Return the content of a file of an episode; errors as in `open_regular`."""
    with open_regular(folder, name, most) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise _too_large(folder / name, most)
    return data


def _require_regular(path: Path, found: os.stat_result, most: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "special file")
        raise ReplayError(f"{path}: expected a regular file, got a {kind}.")
    if found.st_size > most:
        raise _too_large(path, most)


def _too_large(path: Path, most: int) -> ReplayError:
    return ReplayError(f"{path}: expected a file of at most {most / MEGABYTE:.0f} MB, got a larger one.")
