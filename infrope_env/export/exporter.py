"""The loop over episodes: one process writes into a folder, each episode is added whole, and nothing is added twice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from infrope_env.export.episode import Episode
from infrope_env.export.selection import Refused, read_episode
from infrope_env.folder_lock import lock_folder, partial_folder


class Target(Protocol):
    """A folder in some format, to which episodes are added."""

    def exported(self) -> dict[str, str]:
        """Return the place of every episode in the folder, by its `chain`."""

    def add(self, episode: Episode, partial: Path) -> str:
        """Add an episode, all of it or nothing, and return its place in the folder.

        Args:
            episode: The episode.
            partial: An empty folder on the same disk for files that are not complete.

        Raises:
            OSError: The folder cannot be written to.
            Refused: The episode does not fit into the folder.
        """


class ExportError(RuntimeError):
    """The folder cannot be written to; the message is one sentence. Episodes that were added before stay whole."""


@dataclass
class Outcome:
    """Result of an export.

    Attributes:
        added: Folders of the episodes added, and the place of each.
        kept: Folders of episodes that the exported folder had already.
        refused: Folders of episodes left out, and the reason.
        remarks: Folders of episodes, and what is left out of them.
        seconds: Duration of the added videos.
    """

    added: list[tuple[Path, str]] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    refused: list[tuple[Path, str]] = field(default_factory=list)
    remarks: list[tuple[Path, str]] = field(default_factory=list)
    seconds: float = 0.0


Report = Callable[[int, Path], object]
"""Called before each episode with its number from 1, and its folder."""


def export(
    folders: Iterable[Path],
    out: Path,
    make_target: Callable[[Path], Target],
    tampered: bool = False,
    report: Report = lambda number, folder: None,
) -> Outcome:
    """Add episodes to a folder. Those it holds already are kept; one that cannot be exported is left out.

    Args:
        folders: Folders of episodes; they can come one by one.
        out: The exported folder; made when missing.
        make_target: Opens the folder in some format.
        tampered: Export episodes that were changed after they were written.
        report: Called before each episode.

    Raises:
        ExportError: The folder cannot be written to, or another process writes to it.
        ValueError: The folder holds something else.
    """
    outcome = Outcome()
    with _sentence(out), lock_folder(out):
        target = make_target(out)
        exported = target.exported()
        for number, folder in enumerate(folders, start=1):
            report(number, folder)
            try:
                _add(target, exported, read_episode(folder, tampered), out, outcome)
            except Refused as error:
                outcome.refused.append((folder, str(error)))
    return outcome


def _add(target: Target, exported: dict[str, str], episode: Episode, out: Path, outcome: Outcome) -> None:
    """Add one episode, also to `exported`, unless it is there; an episode that has grown since is refused."""
    if episode.chain in exported:
        outcome.kept.append(episode.folder)
        return
    for number, line in enumerate(episode.lines, start=1):
        if line.chain in exported:
            raise Refused(
                f"its first {number} blocks were exported before, to {exported[line.chain]}, and it has grown to "
                f"{len(episode.blocks)}: export it to another folder"
            )
    with partial_folder(out) as partial:
        place = exported[episode.chain] = target.add(episode, partial)
    outcome.added.append((episode.folder, place))
    outcome.seconds += episode.seconds
    outcome.remarks.extend((episode.folder, remark) for remark in episode.remarks)


@contextlib.contextmanager
def _sentence(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExportError(
            f"Exporting to {out} is not possible: {reason}. Episodes added before stay whole; "
            "the same command goes on with the others."
        ) from error
