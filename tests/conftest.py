"""Fixtures that every test may use."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.tiny_world import tiny_world


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    torch.set_num_threads(1)
    yield


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world folder with a tiny random model; do not write to it."""
    return tiny_world(tmp_path_factory.mktemp("worlds") / "tiny")
