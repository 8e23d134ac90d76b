"""Looks for the parts of Wan: in the folder that is given, in our cache, and where the hub's client keeps downloads.

A folder may hold, each found by looking, none of it unpacked or renamed:

    generator      a released one under its name (`ema_model.pt`, `checkpoints/self_forcing_dmd.pt`, ...), or your own
                   as `generator.pt` or `generator.safetensors`
    text encoder   `text_encoder/` and `tokenizer/`, or `models_t5_umt5-xxl-enc-bf16.pth` and `google/umt5-xxl/`
    full VAE       `vae/`, or `Wan2.1_VAE.pth`
    fast decoder   `taew2_1.pth` or `taew2_1.safetensors`
    settings       `infrope.json`, see settings.py

Knows names and places; opens no weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from infrope_env.errors import WeightsError
from infrope_env.models.wan.catalog import CHECKPOINTS, DEFAULT, Checkpoint, find_checkpoint, is_checkpoint
from infrope_env.models.wan.contents import Source, locate
from infrope_env.models.wan.parts import ELSEWHERE, PARTS, parts_folder
from infrope_env.models.wan.settings import SETTINGS, Settings
from infrope_env.text.umt5_files import LAYOUTS

ALIAS = "wan"  # the default generator
OWN_GENERATORS = ("generator.safetensors", "generator.pt")
VAE_FILES = ("vae/diffusion_pytorch_model.safetensors", "Wan2.1_VAE.safetensors", "Wan2.1_VAE.pth")
TAEHV_FILES = ("taew2_1.safetensors", "taew2_1.pth")

T = TypeVar("T")


@dataclass(frozen=True)
class WanFiles:
    """Where everything is.

    Attributes:
        name: of the world: the generator's row, or its file's or folder's name.
        row: of a released generator; None for one of your own.
        text: the folder with text encoder and tokenizer; None when there is none. Likewise `taehv` and `vae`, files.
        settings_file: that `settings` was read from, if there is one.
        looked_in: the places, for messages.
    """

    name: str
    generator: Source
    row: Checkpoint | None
    text: Path | None
    taehv: Path | None
    vae: Path | None
    settings: Settings
    settings_file: Path | None
    looked_in: tuple[Path, ...]

    @classmethod
    def find(cls, weights: str | Path | None = None) -> WanFiles:
        """Find the parts.

        Args:
            weights: "wan", the name of a released generator, a generator's file, or a folder as above. What is not
                beside it is looked for in the cache.

        Raises:
            WeightsError: there is no generator; the other parts may be missing until they are needed.
        """
        name, row, generator, beside = _find_generator(str(weights or ALIAS))
        places = tuple(dict.fromkeys([*beside, parts_folder(), *hub_folders()]))
        settings_file = _first(beside, lambda place: _file_in(place, (SETTINGS,)))
        return cls(
            name=name,
            generator=generator,
            row=row,
            text=_first(places, text_folder_in),
            taehv=_first(places, lambda place: _file_in(place, TAEHV_FILES)),
            vae=_first(places, lambda place: _file_in(place, VAE_FILES)),
            settings=Settings() if settings_file is None else Settings.read(settings_file),
            settings_file=settings_file,
            looked_in=places,
        )

    @property
    def places(self) -> str:
        """Where was looked, for messages."""
        return " and ".join(map(str, self.looked_in[:2]))


def is_wan(weights: str | None) -> bool:
    """Whether this means a generator of Wan's architecture rather than a world folder."""
    if weights is None:
        return False
    path = Path(weights).expanduser()
    return weights == ALIAS or is_checkpoint(weights) or path.is_file() or (path.is_dir() and _holds_a_part(path))


def generator_in(folder: Path) -> tuple[Checkpoint | None, Source] | None:
    """A released generator under its name, flat or in its subfolder, or one of your own; None when there is neither."""
    for row in CHECKPOINTS:
        found = [_file_in(folder, _names(file)) for file in row.files]
        if all(found):
            return row, Source(tuple(path for path in found if path), row.wrappers, None, row.lora)
    own = _file_in(folder, OWN_GENERATORS)
    return None if own is None else (None, Source((own,)))


def text_folder_in(place: Path) -> Path | None:
    """The place itself, when it holds UMT5 as one of Wan's repositories does; the tokenizer may be missing still."""
    return place if any(any(place.glob(weights)) for weights, _ in LAYOUTS[:2]) else None


def hub_folders() -> Iterator[Path]:
    """Folders of downloads that hold parts of Wan, in the hub client's cache."""
    from infrope_env.models.wan.hub import find

    for part in (*PARTS, *ELSEWHERE):
        fetched = find(part)
        if fetched is not None:
            depth = part.files[0].count("/")
            yield fetched.files[0].parents[depth]


def _find_generator(weights: str) -> tuple[str, Checkpoint | None, Source, tuple[Path, ...]]:
    """Name, row and files of a generator, and the folder that it came from."""
    name, path = DEFAULT if weights == ALIAS else weights, Path(weights).expanduser()
    if is_checkpoint(name):
        return name, find_checkpoint(name), locate(name), ()
    if path.is_file():
        return path.stem, None, locate(path), (path.resolve().parent,)
    found = generator_in(path) if path.is_dir() else None
    if found is None:
        flat = ", ".join(dict.fromkeys(file for row in CHECKPOINTS for file in row.files[:1]))
        raise WeightsError(
            f"{path} holds no generator: expected {' or '.join(OWN_GENERATORS)}, or a released one: {flat}. "
            f"Put one there, or run 'infrope weights {DEFAULT} --download' and pass weights='{DEFAULT}'."
        )
    return path.resolve().name, *found, (path.resolve(),)


def _holds_a_part(folder: Path) -> bool:
    """Whether any file says that the folder is meant to be Wan's."""
    names = (*OWN_GENERATORS, *VAE_FILES, *TAEHV_FILES, SETTINGS)
    is_world = (folder / "card.json").is_file()
    return not is_world and bool(generator_in(folder) or _file_in(folder, names) or text_folder_in(folder))


def _names(file: str) -> tuple[str, ...]:
    """A released file with its subfolder, and without where that names no other generator's."""
    flat = Path(file).name
    shared = sum(Path(other).name == flat for row in CHECKPOINTS for other in row.files) > 1
    return (file,) if shared else (file, flat)


def _file_in(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _first(places: tuple[Path, ...], find: Callable[[Path], T | None]) -> T | None:
    return next(filter(None, map(find, places)), None)
