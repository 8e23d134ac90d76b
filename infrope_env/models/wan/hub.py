"""Downloads released files from the Hugging Face hub, or finds them in the cache of the hub's client.

A file that is here is never requested again: without a network the client would try for half a minute. Files stay in
the client's own cache (`HF_HOME`), so a checkpoint that another program downloaded is found.
"""

from __future__ import annotations

import re
from pathlib import Path

from infrope_env.errors import WeightsError
from infrope_env.models.wan.catalog import Checkpoint, Part
from infrope_env.models.wan.store import find_converted, read_record, store_revision, stored_revision

COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")

Release = Checkpoint | Part  # files that belong together in one repository


def find(release: Release, revision: str | None = None) -> tuple[Path, ...] | None:
    """Return the files that are here, of the given or wanted revision; None unless they are complete."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return _fetch(release, revision, local_files_only=True)
    except LocalEntryNotFoundError:
        return None


def download(release: Release, revision: str | None = None) -> tuple[Path, ...]:
    """Find or download all files of one revision, with the hub client's progress bar, and record the revision.

    The client resumes a broken connection. WeightsError has the reason and the remedy if the hub gives no files.
    """
    try:
        paths = find(release, revision) or _fetch(release, revision, local_files_only=False)
    except Exception as error:  # of the hub, the disk, or the network library of the client's version
        raise WeightsError(f"{release.name}: {_reason(release, error)}") from error
    store_revision(release.name, release.repo, commit_of(paths[0]))
    return paths


def wanted_revision(release: Release) -> str:
    """Return the pinned revision, else the one that was downloaded first, else the newest."""
    return release.revision or stored_revision(release.name, release.repo) or "main"


def commit_of(path: Path) -> str:
    """Return the commit of a file in the client's cache, 40 hex digits."""
    return next(part for part in reversed(path.parts) if COMMIT.fullmatch(part))


def known_sha256(path: Path) -> str | None:
    """Return the digest of a file without reading it: its name in the client's cache, or the record of a conversion."""
    stored_as, generator = path.resolve().name, path.parent.name
    if SHA256.fullmatch(stored_as):
        return stored_as
    return read_record(generator)["sha256"] if path == find_converted(generator) else None


def _fetch(release: Release, revision: str | None, local_files_only: bool) -> tuple[Path, ...]:
    """Fetch every file of the commit that the given or wanted revision means for the first one."""
    from huggingface_hub import hf_hub_download

    paths: list[Path] = []
    for file in release.files:
        commit = commit_of(paths[0]) if paths else revision or wanted_revision(release)
        paths.append(Path(hf_hub_download(release.repo, file, revision=commit, local_files_only=local_files_only)))
    return tuple(paths)


def _reason(release: Release, error: Exception) -> str:
    """Return why a download failed, and the remedy."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{release.repo}"
    match error:
        case errors.GatedRepoError():
            return f"its authors ask you to accept their terms at {page}; then run 'hf auth login' and download again."
        case errors.RepositoryNotFoundError():
            return f"there is no {page}, or it is private. Pass a local file's path instead."
        case errors.RevisionNotFoundError():
            return f"{page} has no such revision. Leave --revision out, or give one of its commits."
        case errors.LocalEntryNotFoundError() | ConnectionError() | TimeoutError():
            return (
                f"not here, and {page} cannot be reached. Connect and run 'infrope weights {release.name} --download'."
            )
        case errors.EntryNotFoundError():
            return f"{page} does not hold all of {', '.join(release.files)} (any more). Try an earlier --revision."
    return f"{page} did not give its files: {error}. Run the command again."
