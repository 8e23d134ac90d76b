"""Downloads releases and taew2_1 as one plan: ask what is missing, check that the disks have room, then begin."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infrope_env.models.wan import hub, taehv_file
from infrope_env.models.wan.catalog import ALIAS, CHECKPOINTS, DEFAULT
from infrope_env.models.wan.fetch import RemoteFile, check_space
from infrope_env.models.wan.parts import PARTS, TAEHV_NAME, TAEHV_URL, parts_folder

GB = 1e9
TAEHV_LICENCE = "MIT"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Download:
    """Files of one release that are not here.

    Attributes:
        title: The release in words.
        release: The release.
        revision: Commit that was asked for.
        files: Its missing files, none if all are here.
    """

    title: str
    release: hub.Release
    revision: str | None
    files: tuple[hub.MissingFile, ...]

    @classmethod
    def of(cls, title: str, release: hub.Release, revision: str | None = None) -> Download:
        """Ask the hub what is missing; WeightsError as from `hub.missing`."""
        return cls(title, release, revision, hub.missing(release, revision))

    @property
    def bytes_left(self) -> int:
        """Bytes that are still to come."""
        return sum(each.bytes_left for each in self.files)

    def announce(self) -> Iterator[str]:
        """Yield size, source, place and licence."""
        size = _size(sum(each.remote.bytes for each in self.files), self.bytes_left)
        place = f"https://huggingface.co/{self.release.repo} into {_hub_cache()}"
        yield f"{self.title}, {size} from {place}"
        yield f"licence of the weights: {self.release.licence}"

    def run(self) -> Iterator[str]:
        """Download and check the files; yield revision and paths."""
        paths = hub.download(self.release, self.revision, self.files)
        yield f"revision {hub.commit_of(paths[0])}"
        yield from map(str, paths)


def download_generator(release: hub.Release, revision: str | None = None) -> Iterator[str]:
    """Download one generator; yield what is done."""
    yield from _run([Download.of(release.name, release, revision)], None)


def download_parts(name: str) -> Iterator[str]:
    """Download one part by its name, or for "wan" the default generator and all parts; yield what is done."""
    wanted = [Download.of(f"{part.name}: {part.description}", part) for part in PARTS if name in (ALIAS, part.name)]
    if name == ALIAS:
        wanted = [Download.of(DEFAULT, CHECKPOINTS[0]), *wanted]
    has_taehv = name in (ALIAS, TAEHV_NAME)
    is_missing = has_taehv and not taehv_file.taehv_path().is_file()
    yield from _run(wanted, taehv_file.describe_remote() if is_missing else None)
    if has_taehv:
        yield str(taehv_file.taehv_path())


def _run(wanted: list[Download], taehv: RemoteFile | None) -> Iterator[str]:
    """Announce everything, check the disks, then download one after another."""
    for each in wanted:
        yield from each.announce()
    needs = [(_hub_cache(), sum(each.bytes_left for each in wanted))]
    if taehv is not None:
        left = taehv.bytes_left(taehv_file.taehv_path())
        needs.append((parts_folder(), left))
        yield f"{TAEHV_NAME}, {_size(taehv.bytes, left)} from {TAEHV_URL} into {parts_folder()}"
        yield f"licence of the weights: {TAEHV_LICENCE}"
    check_space(needs)
    try:
        if taehv is not None:
            yield from taehv_file.download_taehv(taehv)
        for each in wanted:
            yield from each.run()
    except KeyboardInterrupt:
        logger.warning("interrupted; what arrived is kept, and the same command continues")
        raise


def _hub_cache() -> Path:
    """Return the folder of the hub client's cache."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def _size(whole: int, left: int) -> str:
    """Return the length of files in words, and how much of it is here."""
    if not whole:
        return "all here,"
    return f"{whole / GB:.2f} GB" if left == whole else f"{whole / GB:.2f} GB ({left / GB:.2f} to come)"
