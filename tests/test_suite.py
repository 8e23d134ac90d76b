"""How the tests are run: in how many processes, and in which order."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import conftest


def chosen(args: list[str], installed: bool = True, worker: bool = False, **given: Any) -> SimpleNamespace:
    """Return pytest's options after the hook."""
    option = SimpleNamespace(**{"numprocesses": None, "usepdb": False, "dist": "no", "loadscopereorder": True, **given})
    config = SimpleNamespace(
        args=args,
        option=option,
        getini=lambda name: {"testpaths": ["tests"]}[name],
        pluginmanager=SimpleNamespace(has_plugin=lambda name: installed and name == "xdist"),
    )
    if worker:
        config.workerinput = {}
    conftest.pytest_cmdline_main(config)  # type: ignore[arg-type]
    return option


def test_the_whole_suite_runs_in_a_process_per_core_with_every_file_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, processes in ((1, 1), (2, 2), (64, conftest.MOST_WORKERS)):
        monkeypatch.setattr(conftest, "cores", lambda cores=cores: cores)
        option = chosen(["tests"])
        assert (option.numprocesses, option.dist) == (processes, "loadfile")


def test_one_process_runs_named_tests_and_what_the_command_line_asks_for_stays() -> None:
    assert chosen(["tests/test_suite.py"]).numprocesses is None
    assert chosen(["tests"], numprocesses=0).numprocesses == 0
    assert chosen(["tests"], usepdb=True).numprocesses is None
    assert chosen(["tests"], installed=False).numprocesses is None
    assert chosen(["tests"], worker=True).numprocesses is None


def test_files_with_a_slow_test_come_first_and_the_order_in_a_file_stays() -> None:
    def item(name: str, slow: bool = False) -> SimpleNamespace:
        return SimpleNamespace(path=Path(name[0]), name=name, get_closest_marker=lambda _: slow or None)

    items = [item("a1"), item("b1"), item("b2", slow=True), item("c1", slow=True), item("b3")]
    conftest.pytest_collection_modifyitems(items)  # type: ignore[arg-type]
    assert [each.name for each in items] == ["b1", "b2", "c1", "b3", "a1"]
