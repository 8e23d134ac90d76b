"""Every released layout, from a file to latents."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from infrope_env.config import Sampler, Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.errors import WeightsError
from infrope_env.models.resolve import CatalogEntry
from infrope_env.models.wan.catalog import CHECKPOINTS, Checkpoint
from infrope_env.models.wan.generator import Generator, convert, load_generator, locate_generator
from tests.models.wan.released_files import (
    SMALL,
    prefixed,
    put_into_hub_cache,
    release,
    sharded,
    shrunk,
    small_weights,
    write,
)

ROWS = pytest.mark.parametrize("row", CHECKPOINTS, ids=lambda row: row.name)


def latents(model: CausalWanTransformer, window: Window, sampler: Sampler) -> Tensor:
    """Four blocks with a switch and a cut."""
    text = torch.randn(2, 1, model.config.text_len, SMALL.text_dim, generator=torch.Generator().manual_seed(3))
    rollout = Rollout(model, window, sampler)
    steps = ((0, Transition.START), (0, Transition.CONTINUE), (1, Transition.SWITCH), (0, Transition.CUT))
    return torch.cat([rollout.advance(text[index], transition).latents for index, transition in steps], dim=1)


def plain_model(weights: dict[str, Tensor]) -> CausalWanTransformer:
    """Without our loader."""
    model = CausalWanTransformer(SMALL)
    model.load_state_dict(weights)
    return model.eval()


def downloaded(row: Checkpoint, cache: Path) -> Checkpoint:
    """A small row whose files are here."""
    put_into_hub_cache(cache, row.repo, release(row.name).files)
    return shrunk(row)


def same_values(generator: Generator, expected: dict[str, Tensor], tolerance: float = 0.0) -> bool:
    state = generator.transformer.state_dict()
    return state.keys() == expected.keys() and all(
        torch.allclose(state[name].float(), value, rtol=0, atol=tolerance) for name, value in expected.items()
    )


@ROWS
def test_a_released_layout_plays_as_its_plain_state_dict(row: Checkpoint, hub_cache: Path) -> None:
    generator = load_generator(downloaded(row, hub_cache), dtype=torch.float32)
    assert (generator.window, generator.sampler) == (row.window, row.sampler)
    expected = plain_model(release(row.name).expected)
    ours = latents(generator.transformer, generator.window, generator.sampler)
    assert ours.isfinite().all() and ours.std() > 0.1
    assert torch.equal(ours, latents(expected, row.window, row.sampler))


@ROWS
def test_a_converted_generator_is_the_same_in_bfloat16(row: Checkpoint, hub_cache: Path) -> None:
    small = downloaded(row, hub_cache)
    direct = load_generator(small).transformer.state_dict()
    path = convert(small)
    assert {(name[:6], value.dtype) for name, value in load_file(path).items()} == {("model.", torch.bfloat16)}
    again = load_generator(small)
    assert locate_generator(CatalogEntry(small)).paths == (path,) and path.name == "generator.safetensors"
    assert all(value.equal(direct[name]) for name, value in again.transformer.state_dict().items())


def test_a_conversion_is_done_once(hub_cache: Path) -> None:
    row = downloaded(CHECKPOINTS[0], hub_cache)
    written = convert(row).stat().st_mtime_ns
    assert convert(row).stat().st_mtime_ns == written


def test_a_local_file_needs_no_row(tmp_path: Path) -> None:
    for name, entries in (
        ("plain.safetensors", small_weights()),
        ("prefixed.safetensors", prefixed(small_weights())),
        ("ema.pt", {"generator_ema": sharded(small_weights()), "generator": prefixed(small_weights(2))}),
        ("model.pt", {"model": {f"module.{name}": value for name, value in small_weights().items()}}),
        ("flat.pt", {f"_orig_mod.{name}": value for name, value in small_weights().items()}),
    ):
        generator = load_generator(write(tmp_path / name, entries), dtype=torch.float32, latent_size=(4, 6))
        assert generator.transformer.config == replace(SMALL, text_len=512)  # the one thing that no shape implies
        assert (generator.window, generator.sampler) == (Window(), Sampler())
        assert same_values(generator, small_weights())


def test_the_default_is_bfloat16_in_evaluation_mode(hub_cache: Path) -> None:
    row = downloaded(CHECKPOINTS[0], hub_cache)
    transformer = load_generator(row).transformer
    assert {parameter.dtype for parameter in transformer.parameters()} == {torch.bfloat16}
    assert not transformer.training and not any(parameter.requires_grad for parameter in transformer.parameters())
    assert {p.dtype for p in load_generator(row, dtype=torch.float32).transformer.parameters()} == {torch.float32}


def test_a_file_that_changes_later_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.safetensors", small_weights())
    generator = load_generator(path, dtype=torch.float32, latent_size=(4, 6))
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert same_values(generator, small_weights())


def test_loading_leaves_the_callers_random_numbers_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.safetensors", small_weights())
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load_generator(path)
    assert torch.rand(2).equal(expected)


def test_a_missing_generator_is_named_with_the_command_that_downloads_it() -> None:
    with pytest.raises(
        WeightsError, match=r"'self-forcing-dmd' is not here.*weights self-forcing-dmd --download.*5\.7 GB"
    ):
        load_generator("self-forcing-dmd")


def test_half_a_download_counts_as_missing(hub_cache: Path) -> None:
    row = next(row for row in CHECKPOINTS if row.lora)
    files = release(row.name).files
    put_into_hub_cache(hub_cache, row.repo, {row.file: files[row.file]})
    with pytest.raises(WeightsError, match="'longlive' is not here"):
        load_generator(shrunk(row))


def test_a_name_that_is_neither_released_nor_a_file_is_refused() -> None:
    with pytest.raises(
        WeightsError,
        match=r"No weights named 'selfforcing'; bundled: .*generators: wan, infinite-forcing, .*path",
    ):
        load_generator("selfforcing")
