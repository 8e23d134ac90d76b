"""One process at a time writes into a folder, whose incomplete files have a folder of their own.

The lock ends with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

LOCK = ".infrope.lock"

PARTIAL = ".partial"
"""Folder, inside another, of files that are not complete; exports do not look into it."""


class FolderInUse(RuntimeError):
    """Another process writes into the folder; the message is one sentence."""


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Make a folder when it is missing, and keep other processes from writing into it meanwhile.

    Raises:
        FolderInUse: Another process, or another part of this one, holds the lock.
        OSError: The folder cannot be made or written to.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise FolderInUse(f"Another process is writing to {folder}. Wait for it, or choose another folder.") from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def partial_folder(out: Path) -> Iterator[Path]:
    """Make an empty folder for files that are not complete, and remove it with what is left in it.

    Args:
        out: Folder of the complete ones, which no other process writes into.
    """
    folder = out / PARTIAL
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
