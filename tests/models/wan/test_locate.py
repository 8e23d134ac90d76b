"""All parts of Wan, in a folder and in the caches."""

from pathlib import Path

from infrope_env.models.resolve import resolve
from infrope_env.models.wan.catalog import find_checkpoint
from infrope_env.models.wan.locate import WanFiles
from infrope_env.models.wan.parts import TAEHV_FILES, TEXT, parts_folder
from tests.models.wan.released_files import place_download, touch

TAEHV_FILE = TAEHV_FILES[-1]


def test_parts_that_a_folder_lacks_are_found_in_the_caches(hub_cache: Path, tmp_path: Path) -> None:
    folder = touch(tmp_path / "mine", "generator.pt")
    text = place_download(hub_cache, TEXT.repo, *TEXT.files)
    vae = "vae/diffusion_pytorch_model.safetensors"
    other = place_download(hub_cache, f"{TEXT.repo}-Diffusers", "vae/config.json", vae)
    touch(parts_folder(), TAEHV_FILE)
    files = WanFiles.find(resolve(folder))
    assert (files.name, files.generator.row, files.text) == ("mine", None, text)
    assert (files.taehv, files.vae) == (parts_folder() / TAEHV_FILE, other / vae)
    assert WanFiles.find(resolve(touch(folder, TAEHV_FILE))).taehv == folder / TAEHV_FILE  # the folder comes first


def test_a_released_name_takes_its_download(hub_cache: Path) -> None:
    row = find_checkpoint("infinite-forcing")
    folder = place_download(hub_cache, row.repo, row.file)
    for name in ("wan", row.name):
        files = WanFiles.find(resolve(name))
        assert (files.name, files.generator.row) == (row.name, row) and files.generator.paths == (folder / row.file,)
