"""What Wan 2.1 needs besides a generator: where each part lives, its files, its licence. Knows names, opens nothing.

Text encoder and VAE are on the Hugging Face hub. The fast decoder taew2_1 is in its project's repository on GitHub; no
place of it on the hub was known, so it is got from there, as one file of 23 MB, or given by its path.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from infrope_env.cache_dir import cache_dir
from infrope_env.errors import WeightsError

WAN = "Wan-AI/Wan2.1-T2V-1.3B"
TAEHV_NAME = "taew2_1"
TAEHV_FILE = "taew2_1.pth"
TAEHV_URL = "https://github.com/madebyollin/taehv/raw/main/taew2_1.pth"
TAEHV_LICENCE = "MIT"
TAEHV_BYTES = 22_700_000  # 11.3 million numbers in float16, computed
TIMEOUT_S = 30


@dataclass(frozen=True)
class Part:
    """Files of one repository on the hub that make one part of Wan.

    Attributes:
        name: under which `infrope weights` gets it.
        what: it is, in words.
        disk_bytes: computed from the number of its parameters.
        needed: False where play can do without it.
    """

    name: str
    what: str
    repo: str
    files: tuple[str, ...]
    disk_bytes: int
    needed: bool = True
    licence: str = "Apache-2.0"
    revision: str | None = None


TEXT = Part(
    "umt5-xxl",
    "the text encoder",
    WAN,
    ("models_t5_umt5-xxl-enc-bf16.pth", "google/umt5-xxl/tokenizer.json"),
    disk_bytes=11_380_000_000,
)
VAE = Part("wan-vae", "the full VAE", WAN, ("Wan2.1_VAE.pth",), disk_bytes=508_000_000, needed=False)
PARTS = (TEXT, VAE)

ELSEWHERE = (
    Part("umt5-xxl", TEXT.what, f"{WAN}-Diffusers", ("tokenizer/tokenizer.json",), disk_bytes=0),
    Part("wan-vae", VAE.what, f"{WAN}-Diffusers", ("vae/config.json",), disk_bytes=0),
)
"""Where other programs may have left the same parts: a file of each download that tells where its folder is."""


def parts_folder() -> Path:
    """Where taew2_1 is kept; anything else of Wan's that is put there is found too. It may not exist."""
    return cache_dir() / "wan"


def download_taehv(url: str = TAEHV_URL) -> Iterator[str]:
    """Get taew2_1 unless it is here, and say so.

    Raises:
        WeightsError: it cannot be reached or written; nothing half written stays.
    """
    path = parts_folder() / TAEHV_FILE
    if not path.is_file():
        yield f"{TAEHV_NAME}: about {TAEHV_BYTES / 1e6:.0f} MB from {url}"
        yield f"licence of the weights: {TAEHV_LICENCE}"
        _fetch(url, path)
    yield str(path)


def _fetch(url: str, path: Path) -> None:
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urlopen(url, timeout=TIMEOUT_S) as answer, part.open("wb") as file:
            shutil.copyfileobj(answer, file)
        os.replace(part, path)
    except (URLError, OSError) as error:
        raise WeightsError(
            f"{TAEHV_NAME} cannot be got from {url}: {error}. Download it by other means into {path.parent}, "
            "or pass decoder= its path."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
