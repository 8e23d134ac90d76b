"""Wan's parts besides the generator: repositories, licences, and the file names that each part is known by.

Text encoder and VAE are on the Hugging Face hub. The fast decoder taew2_1 is in its project's repository on GitHub, one
file of 23 MB; no place of it on the hub is known. This module opens no weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from infrope_env.cache_dir import cache_dir
from infrope_env.models.wan.catalog import Part
from infrope_env.models.wan.hub import find
from infrope_env.models.wan.recognition import file_in, generator_in
from infrope_env.models.wan.settings import SETTINGS
from infrope_env.text.umt5_files import LAYOUTS

WAN = "Wan-AI/Wan2.1-T2V-1.3B"
TAEHV_NAME, WAN_VAE = "taew2_1", "wan_vae"
VAE_FILES = ("vae/diffusion_pytorch_model.safetensors", "Wan2.1_VAE.safetensors", "Wan2.1_VAE.pth")
TAEHV_FILES = ("taew2_1.safetensors", "taew2_1.pth")
TAEHV_URL = "https://github.com/madebyollin/taehv/raw/main/taew2_1.pth"
TAEHV_BYTES = 22_700_000  # computed: 11.3 million numbers in float16

TEXT_FILES = ("models_t5_umt5-xxl-enc-bf16.pth", "google/umt5-xxl/tokenizer.json")
TEXT = Part("umt5-xxl", "the text encoder", WAN, TEXT_FILES, disk_bytes=11_380_000_000)
VAE = Part("wan-vae", "the full VAE, for pictures and exact decoding", WAN, ("Wan2.1_VAE.pth",), disk_bytes=508_000_000)
PARTS = (TEXT, VAE)

ELSEWHERE = (
    Part("umt5-xxl", TEXT.description, f"{WAN}-Diffusers", ("tokenizer/tokenizer.json",), disk_bytes=0),
    Part("wan-vae", VAE.description, f"{WAN}-Diffusers", ("vae/config.json",), disk_bytes=0),
)
"""Downloads of other programs that hold the same parts: one file of each, which gives the folder."""


def parts_folder() -> Path:
    """Return the folder of taew2_1, in which any other part is found too. It may not exist."""
    return cache_dir() / "wan"


def part_folders() -> Iterator[Path]:
    """Yield the folders of the caches that may hold parts: our own, then downloads of the hub's client."""
    yield parts_folder()
    for part in (*PARTS, *ELSEWHERE):
        if paths := find(part):
            yield paths[0].parents[part.files[0].count("/")]


def find_parts(folders: Iterable[Path]) -> dict[str, Path]:
    """Return the parts that folders hold, by name: the file, or the text encoder's folder. The first folder wins."""
    found: dict[str, Path] = {}
    for folder in folders:
        has_text = any(any(folder.glob(weights)) for weights, _ in LAYOUTS)  # the tokenizer may be missing
        here = {TEXT.name: folder if has_text else None}
        here |= {VAE.name: file_in(folder, VAE_FILES), TAEHV_NAME: file_in(folder, TAEHV_FILES)}
        found = {name: path for name, path in here.items() if path is not None} | found
    return found


def holds_part(folder: Path) -> bool:
    """Return whether any file marks a folder as Wan's."""
    return bool(generator_in(folder) or find_parts([folder]) or file_in(folder, (SETTINGS,)))
