"""Generators in several files."""

from pathlib import Path

import pytest
import torch

from infrope_env.errors import WeightsError
from infrope_env.models.resolve import resolve
from infrope_env.models.wan.generator import load_generator, locate_generator
from infrope_env.models.wan.shards import shards_of
from tests.models.wan.released_files import small_weights, touch, write

NAMES = [f"diffusion_pytorch_model-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]


def write_shards(folder: Path) -> dict[str, torch.Tensor]:
    weights = small_weights()
    for index, name in enumerate(NAMES):
        write(folder / name, {key: value for i, (key, value) in enumerate(weights.items()) if i % 3 == index})
    return weights


def test_any_shard_stands_for_the_whole_generator(tmp_path: Path) -> None:
    weights = write_shards(tmp_path)
    for name in NAMES:
        state = load_generator(tmp_path / name, dtype=torch.float32).transformer.state_dict()
        assert state.keys() == weights.keys() and all(state[key].equal(value) for key, value in weights.items())


def test_a_folder_as_diffusers_writes_it_holds_a_generator(tmp_path: Path) -> None:
    write_shards(tmp_path / "transformer")
    files = locate_generator(resolve(tmp_path))
    assert [path.name for path in files.paths] == NAMES
    (whole,) = locate_generator(resolve(touch(tmp_path / "b", "transformer/diffusion_pytorch_model.safetensors"))).paths
    assert whole.name == "diffusion_pytorch_model.safetensors"


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write_shards(tmp_path)
    (tmp_path / NAMES[1]).unlink()
    with pytest.raises(WeightsError, match=f"one of 3 files, {NAMES[1]} is not beside it"):
        load_generator(tmp_path / NAMES[0])


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    write_shards(tmp_path)
    write(tmp_path / NAMES[2], small_weights())
    with pytest.raises(WeightsError, match="is in another shard, too"):
        load_generator(tmp_path / NAMES[0])


@pytest.mark.parametrize("name", ["a-00000-of-00003.safetensors", "a-00004-of-00003.safetensors"])
def test_an_impossible_number_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WeightsError, match="expected one of 1 to 200 shards"):
        shards_of(tmp_path / name)
    assert shards_of(tmp_path / "whole.safetensors") == (tmp_path / "whole.safetensors",)
