"""Export while a fleet works: in the plan's order, whichever episode is finished first."""

import threading
from pathlib import Path

import pytest

from infrope_env.export.episode import Episode
from infrope_env.export.exporter import ExportError
from infrope_env.fleet.exporting import FleetExport
from tests.export.conftest import Studio, recorded_meta, studio  # noqa: F401  fixtures

NAMES = ("a", "bb", "ccc", "dddd")


class Target:
    """An exported folder that only remembers what was added, in order."""

    def __init__(self, out: Path) -> None:
        self.added: list[str] = []
        self.changed = threading.Event()

    def exported(self) -> dict[str, str]:
        return {}

    def add(self, episode: Episode, partial: Path) -> str:
        self.added.append(episode.folder.parent.name)
        if episode.folder.parent.name == "full":
            raise OSError(28, "No space left on device")
        self.changed.set()
        return ""


def test_episodes_are_exported_in_the_plans_order_without_those_that_failed(studio: Studio, tmp_path: Path) -> None:  # noqa: F811
    for name in NAMES:
        studio.record(name)
    target = Target(tmp_path)
    with FleetExport(studio.folder, NAMES, tmp_path / "out", lambda out: target) as exporting:
        exporting.settle("bb", made=True)
        exporting.settle("dddd", made=True)
        assert not target.changed.wait(0.1) and target.added == []
        exporting.settle("a", made=True)
        assert target.changed.wait(30)
        exporting.settle("ccc", made=False)
        outcome = exporting.finish()
    assert target.added == ["a", "bb", "dddd"] == [folder.parent.name for folder, _ in outcome.added]


def test_an_export_that_is_stopped_does_not_wait_for_episodes(studio: Studio, tmp_path: Path) -> None:  # noqa: F811
    target = Target(tmp_path)
    with FleetExport(studio.folder, NAMES, tmp_path / "out", lambda out: target) as exporting:
        exporting.settle("bb", made=True)
    assert target.added == [] and not (tmp_path / "out" / ".partial").exists()


def test_the_end_of_an_export_is_raised_where_the_fleet_looks(studio: Studio, tmp_path: Path) -> None:  # noqa: F811
    studio.record("full")
    with FleetExport(studio.folder, ("full", "a"), tmp_path / "out", Target) as exporting:
        exporting.check()
        exporting.settle("full", made=True)
        with pytest.raises(ExportError, match=r"No space left on device\. Episodes added before stay whole"):
            exporting.finish()
        with pytest.raises(ExportError):
            exporting.check()
