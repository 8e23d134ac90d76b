"""Wan's parts besides the generator: repositories, licences, and the file names that each part is known by.

Text encoder and VAE are on the Hugging Face hub. The fast decoder taew2_1 is in its project's repository on GitHub, one
file of 23 MB; no place of it on the hub is known. This module opens no weights.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from infrope_env.atomic_file import write_atomically
from infrope_env.cache_dir import cache_dir
from infrope_env.errors import WeightsError
from infrope_env.models.wan.catalog import CHECKPOINTS, Checkpoint
from infrope_env.models.wan.settings import SETTINGS
from infrope_env.text.umt5_files import LAYOUTS

WAN = "Wan-AI/Wan2.1-T2V-1.3B"
TAEHV_NAME, WAN_VAE = "taew2_1", "wan_vae"
OWN_GENERATORS = ("generator.safetensors", "generator.pt")
VAE_FILES = ("vae/diffusion_pytorch_model.safetensors", "Wan2.1_VAE.safetensors", "Wan2.1_VAE.pth")
TAEHV_FILES = ("taew2_1.safetensors", "taew2_1.pth")
TAEHV_URL = "https://github.com/madebyollin/taehv/raw/main/taew2_1.pth"
TAEHV_LICENCE = "MIT"
TAEHV_BYTES = 22_700_000  # computed: 11.3 million numbers in float16
TIMEOUT_S = 30


@dataclass(frozen=True)
class Part:
    """Files in one repository of the hub that make one part of Wan.

    Attributes:
        name: Name that `infrope weights` downloads it by.
        repo: Repository on the Hugging Face hub.
        files: Paths in the repository.
        disk_bytes: Size, computed from the number of parameters.
        revision: Commit to download; None takes the newest.
    """

    name: str
    description: str
    repo: str
    files: tuple[str, ...]
    disk_bytes: int
    licence: str = "Apache-2.0"
    revision: str | None = None


TEXT = Part(
    "umt5-xxl",
    "the text encoder",
    WAN,
    ("models_t5_umt5-xxl-enc-bf16.pth", "google/umt5-xxl/tokenizer.json"),
    disk_bytes=11_380_000_000,
)
VAE = Part("wan-vae", "the full VAE", WAN, ("Wan2.1_VAE.pth",), disk_bytes=508_000_000)
PARTS = (TEXT, VAE)

ELSEWHERE = (
    Part("umt5-xxl", TEXT.description, f"{WAN}-Diffusers", ("tokenizer/tokenizer.json",), disk_bytes=0),
    Part("wan-vae", VAE.description, f"{WAN}-Diffusers", ("vae/config.json",), disk_bytes=0),
)
"""Downloads of other programs that hold the same parts: one file of each, which gives the folder."""


def parts_folder() -> Path:
    """Return the folder of taew2_1, in which any other part is found too. It may not exist."""
    return cache_dir() / "wan"


def hub_folders() -> Iterator[Path]:
    """Yield the folders of downloads in the hub client's cache that hold parts of Wan."""
    from infrope_env.models.wan.hub import find

    for part in (*PARTS, *ELSEWHERE):
        fetched = find(part)
        if fetched is not None:
            yield fetched.files[0].parents[part.files[0].count("/")]


def file_in(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Return the first of these files that a folder holds."""
    return next((folder / name for name in names if (folder / name).is_file()), None)


def text_folder_in(folder: Path) -> Path | None:
    """Return the folder itself if it holds UMT5 as a Wan repository does; the tokenizer may be missing."""
    return folder if any(any(folder.glob(weights)) for weights, _ in LAYOUTS[:2]) else None


def generator_in(folder: Path) -> tuple[Checkpoint | None, tuple[Path, ...]] | None:
    """Return the generator of a folder: row and files of a released one, in its subfolder or flat, or None and a file.

    A flat name that two released generators share is not taken.
    """
    flat_names = [Path(file).name for row in CHECKPOINTS for file in row.files]
    for row in CHECKPOINTS:
        names = [(file, Path(file).name) if flat_names.count(Path(file).name) == 1 else (file,) for file in row.files]
        found = [path for path in (file_in(folder, each) for each in names) if path is not None]
        if len(found) == len(row.files):
            return row, tuple(found)
    own = file_in(folder, OWN_GENERATORS)
    return None if own is None else (None, (own,))


def holds_part(folder: Path) -> bool:
    """Return whether any file marks a folder as Wan's."""
    names = (*OWN_GENERATORS, *VAE_FILES, *TAEHV_FILES, SETTINGS)
    return bool(generator_in(folder) or file_in(folder, names) or text_folder_in(folder))


def download_taehv(url: str = TAEHV_URL) -> Iterator[str]:
    """Download taew2_1 unless it is here; yield a report, the path last.

    Raises:
        WeightsError: The address cannot be reached or the file not written. No partial file remains.
    """
    path = parts_folder() / TAEHV_FILES[1]
    if not path.is_file():
        yield f"{TAEHV_NAME}: about {TAEHV_BYTES / 1e6:.0f} MB from {url}"
        yield f"licence of the weights: {TAEHV_LICENCE}"
        try:
            write_atomically(path, lambda part: _fetch(url, part))
        except OSError as error:  # URLError is one
            raise WeightsError(
                f"{TAEHV_NAME} cannot be downloaded from {url}: {error}. Download it by other means into "
                f"{path.parent}, or pass decoder= its path."
            ) from error
    yield str(path)


def _fetch(url: str, path: Path) -> None:
    with urlopen(url, timeout=TIMEOUT_S) as response, path.open("wb") as file:
        shutil.copyfileobj(response, file)
