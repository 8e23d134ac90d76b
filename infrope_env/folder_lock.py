"""One process at a time writes into a folder. The lock ends with its process, however that ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

LOCK = ".infrope.lock"


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
