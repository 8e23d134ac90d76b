"""Downloads one file from a server: continued where it stopped, checked, and in place whole or not at all.

The hub client's `http_get` is the transport: progress with rate and time left, proxies, certificates, offline mode. Its
own downloads begin again after an interrupted one (version 2.4 removes what arrived), so the part is kept here.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeVar

from infrope_env.errors import WeightsError
from infrope_env.tensor_files import sha256_of

DOWNLOADS = 3  # of one file whose content is wrong
CONNECTIONS = 2  # in a row that bring nothing; the client itself tries each of them several times
QUESTIONS = 3  # about a file, while the server is too slow to answer
PAUSE_S = 1.0
MARGIN = 100_000_000  # bytes that a download leaves free
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
BUSY = (408, 425, 429)  # refusals that pass

T = TypeVar("T")

logger = logging.getLogger(__name__)

Check = Callable[[Path], None]
"""Raises WeightsError for a file that is not the wanted one."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as its server describes it.

    Attributes:
        name: Name for the progress bar and for errors.
        url: Address.
        bytes: Length.
        version: The server's name of the content: a part is continued with the same content only.
        sha256: Digest, None where it is not known.
        headers: Headers of the request.
    """

    name: str
    url: str
    bytes: int
    version: str
    sha256: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def part_of(self, path: Path) -> Path:
        """Return the file beside `path` that holds what arrived of this content."""
        return path.with_name(f"{path.name}.{hashlib.sha256(self.version.encode()).hexdigest()[:16]}.part")

    def bytes_left(self, path: Path) -> int:
        """Return how many bytes are still to come for `path`."""
        return 0 if path.is_file() else max(0, self.bytes - _size(self.part_of(path)))


def fetch(remote: RemoteFile, path: Path, check: Check | None = None) -> None:
    """Download a file to `path`, unless it is there; an interrupted download is continued by the next call.

    Length and digest are checked, then `check` runs on the file; one that is wrong is downloaded again.

    Raises:
        WeightsError: The content was wrong every time.
        Exception: Of the network or the disk, from the last try.
    """
    from huggingface_hub.utils import WeakFileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    part = remote.part_of(path)
    with WeakFileLock(part.with_suffix(".lock")):
        for download in range(1, DOWNLOADS + 1):
            if path.is_file():  # another process downloaded it meanwhile
                return
            _receive(remote, part)
            try:
                _check(remote, part)
                if check is not None:
                    check(part)
            except WeightsError as error:
                part.unlink()
                if download == DOWNLOADS:
                    raise WeightsError(
                        f"{remote.url}: {error} Downloaded {DOWNLOADS} times. Try again later, or get it elsewhere."
                    ) from error
                logger.warning("%s is downloaded again: %s", remote.name, error)
            else:
                os.replace(part, path)
    part.with_suffix(".lock").unlink(missing_ok=True)


def check_space(needs: Iterable[tuple[Path, int]]) -> None:
    """Raise WeightsError where folders lack room; `needs` has folder and bytes, and folders may share a disk."""
    disks: dict[int, tuple[Path, int]] = {}
    for folder, needed in needs:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
        place, sum_so_far = disks.get(existing.stat().st_dev, (existing, 0))
        disks[existing.stat().st_dev] = place, sum_so_far + needed
    for place, needed in disks.values():
        free = shutil.disk_usage(place).free
        if needed and needed + MARGIN > free:
            raise WeightsError(
                f"The disk of {place} has {free / 1e9:.1f} GB free, the download needs {needed / 1e9:.1f} GB. Free "
                "some, or name a folder on another disk: HF_HOME for the hub's files, INFROPE_CACHE for the others."
            )


def _receive(remote: RemoteFile, part: Path) -> None:
    """Append to a part until it has the file's length, over as many connections as bring something."""
    from huggingface_hub.file_download import http_get

    idle, headers = 0, {"Accept-Encoding": "identity", **remote.headers}
    while (here := _size(part)) < remote.bytes:
        if here:
            logger.info("%s: %.2f of %.2f GB are here", remote.name, here / 1e9, remote.bytes / 1e9)
        try:
            with part.open("ab") as file:
                stream: BinaryIO = file
                http_get(
                    remote.url,
                    stream,
                    resume_size=here,
                    headers=headers,
                    expected_size=remote.bytes,
                    displayed_filename=remote.name,
                )
        except Exception as error:  # the network library's, which differs among versions of the client
            idle = 0 if _size(part) > here else idle + 1
            if is_final(error) or idle == CONNECTIONS:
                raise
            time.sleep(PAUSE_S)


def is_final(error: Exception) -> bool:
    """Return whether another connection cannot help: the disk refused, or the server did for a lasting reason."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    status = getattr(getattr(error, "response", None), "status_code", None)
    refused = status is not None and 400 <= status < 500 and status not in BUSY
    return refused or isinstance(error, OfflineModeIsEnabled) or getattr(error, "errno", None) in DISK_ERRORS


def ask(question: Callable[[], T]) -> T:
    """Return the answer of a server, asked again when it was too slow."""
    for _ in range(QUESTIONS - 1):
        try:
            return question()
        except Exception as error:  # the network library's, which differs among versions of the client
            if not _kinds(error) & {"TimeoutException", "Timeout"}:
                raise
    return question()


def is_unreachable(error: Exception) -> bool:
    """Return whether the network, a proxy or the server did not answer, in the terms of requests, httpx or Python."""
    return bool(_kinds(error) & {"TransportError", "ConnectionError", "Timeout", "TimeoutError"})


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its kind where it has none."""
    return next((line.rstrip(" .") for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _check(remote: RemoteFile, part: Path) -> None:
    """Raise WeightsError where length or digest differ."""
    if (size := _size(part)) != remote.bytes:
        raise WeightsError(f"expected {remote.bytes:,} bytes, got {size:,}.")
    if remote.sha256 is not None:
        if remote.bytes > 1e9:
            logger.info("%s: checking sha256", remote.name)
        if (digest := sha256_of(part)) != remote.sha256:
            raise WeightsError(f"expected sha256 {remote.sha256[:16]}..., got {digest[:16]}....")


def _kinds(error: Exception) -> set[str]:
    """Return the names of an exception's classes: requests and httpx have none in common."""
    return {kind.__name__ for kind in type(error).__mro__}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
