"""A tiny random UMT5 in the layouts of both released downloads. Importing transformers takes seconds."""

from pathlib import Path

import pytest

from infrope_env.text.umt5 import UMT5TextEncoder
from tests.text.tiny_umt5 import write_diffusers_folder, write_original_folder


@pytest.fixture(scope="session")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_diffusers_folder(tmp_path_factory.mktemp("Wan2.1-T2V-1.3B-Diffusers"))


@pytest.fixture(scope="session")
def original(twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_original_folder(tmp_path_factory.mktemp("Wan2.1-T2V-1.3B"), twin)


@pytest.fixture(scope="session")
def encoder(twin: Path) -> UMT5TextEncoder:
    return UMT5TextEncoder.from_folder(twin, dtype="float32")
