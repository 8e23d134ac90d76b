"""Fixtures for all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from infrope_env.env import InfinityRopeEnv
from tests.tiny_world import tiny_world


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
