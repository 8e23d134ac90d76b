"""Fixtures for all tests, and how many processes run them."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from infrope_env.env import InfinityRopeEnv
from tests.tiny_world import tiny_world

MOST_WORKERS = 4
"""Processes that run the whole suite, at most: each takes a gigabyte of memory."""


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite in one process per core where pytest-xdist is installed, unless -n or --pdb is given.

    The tests of a file stay in one process: they share fixtures, and some continue from the test before.
    """
    if not config.pluginmanager.has_plugin("xdist") or hasattr(config, "workerinput"):
        return
    option, whole_suite = config.option, config.args == config.getini("testpaths")
    if whole_suite and option.numprocesses is None and not option.usepdb:
        option.numprocesses, option.dist, option.loadscopereorder = min(cores(), MOST_WORKERS), "loadfile", False


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Move files with a slow test to the front, so that no process is left alone with one of them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    torch.set_num_threads(1)
    yield


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world folder with a tiny random model, shared by all tests: read-only."""
    return tiny_world(tmp_path_factory.mktemp("worlds") / "tiny")


@pytest.fixture
def env(tiny_weights: Path) -> InfinityRopeEnv:
    """An environment of the tiny model."""
    return InfinityRopeEnv(weights=str(tiny_weights), device="cpu")
