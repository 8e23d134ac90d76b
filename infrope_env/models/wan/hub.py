"""Gets a release's files from the Hugging Face hub, or finds them where the hub's client keeps them.

What is here is never asked for again: without a network the client would try for half a minute. Files live in the
client's own cache (`HF_HOME`), so a checkpoint that another program downloaded is found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infrope_env.errors import WeightsError
from infrope_env.models.wan.store import converted_sha256, recall_revision, remember_revision

NEWEST = "main"
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")


class Release(Protocol):
    """Files that belong together in one repository; a generator's `Checkpoint` is one, and so is a `Part` of Wan."""

    @property
    def name(self) -> str:
        """Under which `infrope weights` knows it."""
        ...

    @property
    def repo(self) -> str:
        """On the hub."""
        ...

    @property
    def files(self) -> tuple[str, ...]:
        """Their paths in the repository."""
        ...

    @property
    def revision(self) -> str | None:
        """40 hex digits to download; None takes the newest the first time, then the one taken then."""
        ...


@dataclass(frozen=True)
class Fetched:
    """Files of one revision on this disk.

    Attributes:
        files: in the release's order.
        revision: 40 hex digits.
    """

    files: tuple[Path, ...]
    revision: str


def find(release: Release, revision: str | None = None) -> Fetched | None:
    """What is here already, of the asked, pinned, remembered or newest revision; None unless it is complete."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return _fetch(release, revision or wanted_revision(release), local_files_only=True)
    except LocalEntryNotFoundError:
        return None


def download(release: Release, revision: str | None = None) -> Fetched:
    """Find or download all files of one revision, with the hub client's progress bar, and remember the revision.

    A connection that breaks is resumed by the client; what an interrupted command leaves depends on its version.

    Raises:
        WeightsError: says why the hub did not give them.
    """
    here = find(release, revision)
    try:
        fetched = here or _fetch(release, revision or wanted_revision(release), local_files_only=False)
    except Exception as error:  # of the hub, the disk, or whichever network library the client's version uses
        raise WeightsError(f"{release.name}: {_reason(release, error)}") from error
    remember_revision(release.name, release.repo, fetched.revision)
    return fetched


def wanted_revision(release: Release) -> str:
    """The pinned revision, else the one taken the first time, else the newest."""
    return release.revision or recall_revision(release.name, release.repo) or NEWEST


def known_sha256(path: Path) -> str | None:
    """The digest that the hub gave for a file, which names it in the client's cache, or that its conversion kept."""
    stored_as = path.resolve().name
    return stored_as if SHA256.fullmatch(stored_as) else converted_sha256(path)


def _fetch(release: Release, revision: str, local_files_only: bool) -> Fetched:
    """The first file says which commit the revision is; the others are taken of that commit."""
    from huggingface_hub import hf_hub_download

    files: list[Path] = []
    for file in release.files:
        got = hf_hub_download(release.repo, file, revision=revision, local_files_only=local_files_only)
        files.append(Path(got))
        revision = next(part for part in reversed(files[0].parts) if COMMIT.fullmatch(part))
    return Fetched(tuple(files), revision)


def _reason(release: Release, error: Exception) -> str:
    """Why there is no file, and what to do."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{release.repo}"
    if isinstance(error, errors.GatedRepoError):
        return f"its authors ask you to accept their terms at {page}; then run 'hf auth login' and download again."
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"there is no {page}, or it is private. Pass a local file's path instead."
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{page} has no such revision. Leave --revision out, or give one of its commits."
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(error, errors.LocalEntryNotFoundError):
        return f"{page} does not hold all of {', '.join(release.files)} (any more). Try an earlier --revision."
    if isinstance(error, errors.LocalEntryNotFoundError | ConnectionError | TimeoutError):
        return f"not here, and {page} cannot be reached. Connect and run 'infrope weights {release.name} --download'."
    return f"{page} did not give its files: {error}. Run the command again."
