"""Downloads released files from the Hugging Face hub, or finds them in the cache of the hub's client.

A file that is here is never requested again: without a network the client would try for half a minute. Files stay in
the client's own cache (`HF_HOME`), so a checkpoint that another program downloaded is found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from infrope_env.errors import WeightsError
from infrope_env.models.wan.catalog import Checkpoint
from infrope_env.models.wan.parts import Part
from infrope_env.models.wan.store import converted_sha256, store_revision, stored_revision

NEWEST = "main"
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")

Release = Checkpoint | Part
"""Files that belong together in one repository."""


@dataclass(frozen=True)
class Fetched:
    """Files of one revision on this disk.

    Attributes:
        files: Paths in the release's order.
        revision: Commit, 40 hex digits.
    """

    files: tuple[Path, ...]
    revision: str


def find(release: Release, revision: str | None = None) -> Fetched | None:
    """Return the files that are here, of the given or wanted revision; None unless they are complete."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return _fetch(release, revision or wanted_revision(release), local_files_only=True)
    except LocalEntryNotFoundError:
        return None


def download(release: Release, revision: str | None = None) -> Fetched:
    """Find or download all files of one revision, with the hub client's progress bar, and record the revision.

    The client resumes a broken connection; what an interrupted command leaves behind depends on its version.

    Raises:
        WeightsError: The hub did not give the files; the message has the reason and the remedy.
    """
    try:
        fetched = find(release, revision) or _fetch(release, revision or wanted_revision(release), False)
    except Exception as error:  # of the hub, the disk, or the network library of the client's version
        raise WeightsError(f"{release.name}: {_reason(release, error)}") from error
    store_revision(release.name, release.repo, fetched.revision)
    return fetched


def wanted_revision(release: Release) -> str:
    """Return the pinned revision, else the one downloaded first, else the newest."""
    return release.revision or stored_revision(release.name, release.repo) or NEWEST


def known_sha256(path: Path) -> str | None:
    """Return the digest of a file without reading it: its name in the client's cache, or the record of a conversion."""
    stored_as = path.resolve().name
    return stored_as if SHA256.fullmatch(stored_as) else converted_sha256(path)


def _fetch(release: Release, revision: str, local_files_only: bool) -> Fetched:
    """Fetch every file of the commit that the revision means for the first one."""
    from huggingface_hub import hf_hub_download

    files: list[Path] = []
    for file in release.files:
        path = hf_hub_download(release.repo, file, revision=revision, local_files_only=local_files_only)
        files.append(Path(path))
        revision = next(part for part in reversed(files[0].parts) if COMMIT.fullmatch(part))
    return Fetched(tuple(files), revision)


def _reason(release: Release, error: Exception) -> str:
    """Return why a download failed, and the remedy."""
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
