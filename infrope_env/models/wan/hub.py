"""Downloads released files from the Hugging Face hub, or finds them in the cache of the hub's client.

A file that is here is never requested again: without a network the client would try for half a minute. Files stay in
the client's own cache (`HF_HOME`), so a checkpoint that another program downloaded is found. A file with a known sha256
is found under any revision, because its content decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from infrope_env.errors import WeightsError
from infrope_env.models.wan.catalog import Checkpoint, Part
from infrope_env.models.wan.fetch import DISK_ERRORS, RemoteFile, ask, fetch, first_line, is_unreachable
from infrope_env.models.wan.pins import Pin, pin_of
from infrope_env.models.wan.store import (
    chosen_revision,
    find_converted,
    read_record,
    store_revision,
    stored_revision,
)

COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")

Release = Checkpoint | Part  # files that belong together in one repository


@dataclass(frozen=True)
class MissingFile:
    """A file of a release that is not here.

    Attributes:
        file: Path in the repository.
        commit: The commit that it is of.
        remote: The file as the hub describes it.
        blob: Its place in the client's cache.
    """

    file: str
    commit: str
    remote: RemoteFile
    blob: Path

    @property
    def bytes_left(self) -> int:
        """Bytes that are still to come."""
        return self.remote.bytes_left(self.blob)


def find(release: Release, revision: str | None = None) -> tuple[Path, ...] | None:
    """Return the files that are here, of the given or wanted revision; None unless they are complete."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        paths = _locate(release, revision)
    except LocalEntryNotFoundError:
        return None if revision else _find_by_digest(release)
    return paths if all(map(_has_known_length, _pins(release, revision), paths)) else None


def missing(release: Release, revision: str | None = None) -> tuple[MissingFile, ...]:
    """Ask the hub for every file of a release that is not here; WeightsError has the reason and the remedy."""
    try:
        return () if find(release, revision) else tuple(_describe(release, revision))
    except WeightsError:
        raise
    except Exception as error:  # of the network library of the client's version
        raise WeightsError(f"{release.name}: {_reason(release, error, asking=True)}") from error


def download(
    release: Release, revision: str | None = None, files: tuple[MissingFile, ...] | None = None
) -> tuple[Path, ...]:
    """Find or download all files of one revision, check them, and record the revision.

    An interrupted download is continued by the next one. WeightsError has the reason and the remedy if the hub gives no
    files or wrong ones.

    Args:
        release: The files.
        revision: As in `wanted_revision`.
        files: What `missing` returned, if it was called before.
    """
    files = missing(release, revision) if files is None else files
    try:
        for each in files:
            _remove_wrong(release, each)
            fetch(each.remote, each.blob)
            _link(release, each)
        paths = find(release, files[0].commit if files else revision)
    except WeightsError as error:
        raise WeightsError(f"{release.name}: {error}") from error
    except Exception as error:  # of the hub, the disk, or the network library of the client's version
        raise WeightsError(f"{release.name}: {_reason(release, error)}") from error
    assert paths is not None, release.name
    record(release, paths, revision)
    return paths


def record(release: Release, paths: tuple[Path, ...], revision: str | None = None) -> None:
    """Record which revision is here; one that was asked for stays the wanted one."""
    commit = commit_of(paths[0]) if revision else fixed_revision(release) or commit_of(paths[0])
    store_revision(release.name, release.repo, commit, chosen=revision is not None)


def wanted_revision(release: Release) -> str:
    """Return the fixed revision, else the one that was downloaded first, else the newest."""
    return fixed_revision(release) or stored_revision(release.name, release.repo) or "main"


def fixed_revision(release: Release) -> str | None:
    """Return the commit that was asked for with a download, else the pinned one, None without either."""
    return chosen_revision(release.name, release.repo) or release.revision


def commit_of(path: Path) -> str:
    """Return the commit of a file in the client's cache, 40 hex digits."""
    return next(part for part in reversed(path.parts) if COMMIT.fullmatch(part))


def known_sha256(path: Path) -> str | None:
    """Return the digest of a file without reading it: its name in the client's cache, or the record of a conversion."""
    stored_as, generator = path.resolve().name, path.parent.name
    if SHA256.fullmatch(stored_as):
        return stored_as
    return read_record(generator)["sha256"] if path == find_converted(generator) else None


def _locate(release: Release, revision: str | None) -> tuple[Path, ...]:
    """Return every file of the commit that the given or wanted revision means for the first one; none is requested."""
    from huggingface_hub import hf_hub_download

    paths: list[Path] = []
    for file in release.files:
        commit = commit_of(paths[0]) if paths else revision or wanted_revision(release)
        paths.append(Path(hf_hub_download(release.repo, file, revision=commit, local_files_only=True)))
    return tuple(paths)


def _find_by_digest(release: Release) -> tuple[Path, ...] | None:
    """Return files of another revision whose digests are the known ones."""
    wanted = [pin and pin.sha256 for pin in _pins(release, None)]
    for snapshot in (_repository(release) / "snapshots").glob("*"):
        paths = tuple(snapshot / file for file in release.files)
        if None not in wanted and wanted == [known_sha256(path) for path in paths if path.is_file()]:
            return paths
    return None


def _describe(release: Release, revision: str | None) -> Iterator[MissingFile]:
    """Yield every file of one commit, as the hub describes it; the first one gives the commit."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    asked = revision or wanted_revision(release)
    for file, pin in zip(release.files, _pins(release, revision), strict=True):
        about = ask(partial(get_hf_file_metadata, hf_hub_url(release.repo, file, revision=asked)))
        if about.etag is None or about.size is None or about.commit_hash is None:
            raise WeightsError(f"{release.name}: {file} has no length, version or commit. Is a proxy between?")
        sha256 = about.etag if SHA256.fullmatch(about.etag) else pin.sha256 if pin else None
        _compare(release, file, pin, about.size, sha256)
        asked = about.commit_hash  # a branch may move while a file arrives
        url = hf_hub_url(release.repo, file, revision=asked)
        remote = RemoteFile(Path(file).name, url, about.size, about.etag, sha256, build_hf_headers())
        blob = _repository(release) / "blobs" / about.etag
        yield MissingFile(file, asked, remote, blob)


def _compare(release: Release, file: str, pin: Pin | None, size: int, sha256: str | None) -> None:
    """Raise WeightsError where the hub's length or digest is not the known one."""
    for name, known, given in (("bytes", pin and pin.bytes, size), ("sha256", pin and pin.sha256, sha256)):
        if known is not None and known != given:
            raise WeightsError(
                f"{release.name}: expected {file} of https://huggingface.co/{release.repo} to have {name} {known}, the "
                f"server has {given}. Nothing was downloaded. Is HF_ENDPOINT a mirror with other files?"
            )


def _remove_wrong(release: Release, each: MissingFile) -> None:
    """Remove a file that stands in the place of a missing one and has the wrong length."""
    for path in (each.blob, _repository(release) / "snapshots" / each.commit / each.file):
        if path.is_file() and path.stat().st_size != each.remote.bytes:
            path.unlink()


def _link(release: Release, each: MissingFile) -> None:
    """Let the client put a downloaded file in its place, by a link where the system has links."""
    from huggingface_hub import hf_hub_download

    path = Path(hf_hub_download(release.repo, each.file, revision=each.commit))
    if not path.is_symlink():
        each.blob.unlink(missing_ok=True)  # the client copied it


def _repository(release: Release) -> Path:
    """Return the folder of a repository in the client's cache."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=release.repo, repo_type="model")


def _pins(release: Release, revision: str | None) -> list[Pin | None]:
    """Return what is known of every file, nothing under another revision than the pinned one."""
    is_pinned = (revision or wanted_revision(release)) == release.revision
    return [pin_of(release.repo, file) if is_pinned else None for file in release.files]


def _has_known_length(pin: Pin | None, path: Path) -> bool:
    return pin is None or pin.bytes is None or path.stat().st_size == pin.bytes


def _reason(release: Release, error: Exception, asking: bool = False) -> str:
    """Return why a download failed, or the request before it, and the remedy."""
    from huggingface_hub import constants, errors

    page, again = f"https://huggingface.co/{release.repo}", f"'infrope weights {release.name} --download'"
    match error:
        case errors.GatedRepoError():
            return f"its authors ask you to accept their terms at {page}; then run 'hf auth login' and download again."
        case errors.RepositoryNotFoundError():
            return f"there is no {page}, or it is private. Pass a local file's path instead."
        case errors.RevisionNotFoundError():
            return f"{page} has no such revision. Leave --revision out, or give one of its commits."
        case errors.OfflineModeIsEnabled():
            return f"not here, and HF_HUB_OFFLINE forbids downloads. Unset it and run {again}."
        case errors.EntryNotFoundError():
            return f"{page} does not hold all of {', '.join(release.files)} (any more). Try an earlier --revision."
        case OSError() if error.errno in DISK_ERRORS:
            return f"{constants.HF_HUB_CACHE} cannot be written: {error.strerror}. HF_HOME names another folder."
    if asking and is_unreachable(error):
        return f"not here, and {page} cannot be reached ({first_line(error)}). Connect and run {again}."
    return (
        f"{page} did not give its files: {first_line(error)}. What arrived is kept: run the command again to continue."
    )
