"""Sizes of released files: measured where they are here, known from a pin, else computed from the tensors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infrope_env.models.wan.hub import Release, find
from infrope_env.models.wan.parts import TAEHV_BYTES
from infrope_env.models.wan.pins import pin_of
from infrope_env.models.wan.taehv_file import taehv_path


@dataclass(frozen=True)
class Size:
    """A size on disk.

    Attributes:
        bytes: The number.
        source: "measured", "known" or "computed".
        is_here: Whether the files are here.
    """

    bytes: int
    source: str
    is_here: bool = False

    def gb(self, digits: int = 2) -> str:
        """Return the number in GB, with a star where it is computed."""
        return f"{self.bytes / 1e9:.{digits}f}{'*' if self.source == 'computed' else ''}"


def size_of(release: Release) -> Size:
    """Return the size of all files of a release."""
    if paths := find(release):
        return _measured(*paths)
    pins = [pin_of(release.repo, file) for file in release.files]
    lengths = [pin.bytes for pin in pins if pin is not None and pin.bytes is not None]
    if len(lengths) == len(pins):
        return Size(sum(lengths), "known")
    return Size(release.disk_bytes, "computed")


def size_of_taehv() -> Size:
    """Return the size of taew2_1."""
    return _measured(taehv_path()) if taehv_path().is_file() else Size(TAEHV_BYTES, "computed")


def _measured(*paths: Path) -> Size:
    return Size(sum(path.stat().st_size for path in paths), "measured", is_here=True)
