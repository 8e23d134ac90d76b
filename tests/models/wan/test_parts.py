"""Parts of Wan, known by their files."""

from pathlib import Path

import pytest

from infrope_env.models.wan.catalog import CHECKPOINTS
from infrope_env.models.wan.parts import generator_in
from tests.models.wan.released_files import touch


@pytest.mark.parametrize("row", CHECKPOINTS, ids=lambda row: row.name)
def test_every_released_generator_is_known_by_its_file(row, tmp_path: Path) -> None:
    found, paths = generator_in(touch(tmp_path, *row.files))
    assert found == row and paths == tuple(tmp_path / file for file in row.files)


def test_a_name_that_two_generators_share_is_not_taken_without_its_folder(tmp_path: Path) -> None:
    assert generator_in(touch(tmp_path, "causal_forcing.pt")) is None
    found, _ = generator_in(touch(tmp_path, "self_forcing_dmd.pt"))
    assert found.name == "self-forcing-dmd"
