"""The meaning of a weights string."""

from pathlib import Path

import pytest

from infrope_env.config import Sampler
from infrope_env.errors import WeightsError
from infrope_env.models.options import LoadOptions
from infrope_env.models.resolve import CatalogEntry, LocalFile, PartsFolder, WorldFolder, load_model, resolve
from infrope_env.models.wan.catalog import CHECKPOINTS, DEFAULT, find_checkpoint
from infrope_env.models.wan.generator import load_generator
from infrope_env.models.world_folder import BUNDLED
from tests.models.wan.released_files import touch


def test_a_bundled_name_and_a_folder_with_a_card_are_world_folders(tiny_weights: Path) -> None:
    assert resolve(None) == resolve("pocket") == WorldFolder((BUNDLED / "pocket").resolve())
    assert resolve(tiny_weights) == resolve(str(tiny_weights)) == WorldFolder(tiny_weights.resolve())


@pytest.mark.parametrize("row", CHECKPOINTS, ids=lambda row: row.name)
def test_a_released_name_is_its_row(row) -> None:
    assert resolve(row.name) == CatalogEntry(row)


def test_wan_is_the_default_generator() -> None:
    assert resolve("wan") == CatalogEntry(find_checkpoint(DEFAULT))


def test_a_file_is_a_generator_and_a_folder_of_parts_is_wan(tmp_path: Path) -> None:
    path = touch(tmp_path / "mine", "generator.pt") / "generator.pt"
    assert resolve(str(path)) == LocalFile(path)
    for name in ("generator.safetensors", "ema_model.pt", "taew2_1.pth", "vae/diffusion_pytorch_model.safetensors"):
        folder = touch(tmp_path / name.replace("/", "-"), name)
        assert resolve(folder) == PartsFolder(folder.resolve())


def test_a_card_makes_a_folder_a_world_folder_whatever_else_it_holds(tmp_path: Path) -> None:
    assert resolve(touch(tmp_path, "card.json", "generator.safetensors")) == WorldFolder(tmp_path.resolve())


def test_known_names_win_over_paths_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("pocket", "longlive", "wan"):
        touch(tmp_path / name, "card.json")
    assert resolve("pocket") == WorldFolder((BUNDLED / "pocket").resolve())
    assert resolve("longlive") == CatalogEntry(find_checkpoint("longlive"))
    assert resolve("wan") == CatalogEntry(find_checkpoint(DEFAULT))
    for name in ("pocket", "wan"):
        assert resolve(f"./{name}") == WorldFolder((tmp_path / name).resolve())


def test_a_path_may_begin_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path / "mine", "card.json")
    assert resolve("~/mine") == WorldFolder((tmp_path / "mine").resolve())


def test_a_name_of_nothing_is_refused_with_all_that_there_is() -> None:
    with pytest.raises(
        WeightsError,
        match=r"No weights named 'pokcet'; bundled: pocket; released generators: wan, .*longlive.* Or pass the path of",
    ):
        resolve("pokcet")


def test_a_folder_of_neither_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"is not a world folder: it has no card\.json\. Nor .* a part of Wan"):
        resolve(tmp_path)


def test_a_world_folder_is_no_generator(tiny_weights: Path) -> None:
    with pytest.raises(WeightsError, match=r"is a world folder, no generator; released generators: infinite-forcing"):
        load_generator(tiny_weights)


def test_models_of_other_steps_share_their_weights(tiny_weights: Path) -> None:
    plain, fast = (load_model(tiny_weights, LoadOptions(device="cpu", sampler=steps)) for steps in (None, "1000,500"))
    assert fast.transformer is plain.transformer
    assert (plain.sampler, fast.sampler) == (Sampler(), Sampler((1000, 500)))


@pytest.mark.parametrize("option", [{"text_device": "cpu"}, {"text_dtype": "int8"}, {"offload": True}, {"lora": "a"}])
def test_options_of_wan_are_refused_for_a_world_folder(tiny_weights: Path, option: dict) -> None:
    (name, value), *_ = option.items()
    with pytest.raises(WeightsError, match=rf"{name}={value!r} is for Wan: the parts of the world .* are small"):
        load_model(tiny_weights, LoadOptions(**option))
