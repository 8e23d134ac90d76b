"""Locates all parts of Wan: in the given folder, in the cache folder, and in the cache of the hub's client.

A folder may hold these, as they are released, nothing unpacked or renamed:

    generator      a released one under its name (`ema_model.pt`, `checkpoints/self_forcing_dmd.pt`, ...), or another
                   as `generator.pt` or `generator.safetensors`
    text encoder   `text_encoder/` and `tokenizer/`, or `models_t5_umt5-xxl-enc-bf16.pth` and `google/umt5-xxl/`
    full VAE       `vae/`, or `Wan2.1_VAE.pth`
    fast decoder   `taew2_1.pth` or `taew2_1.safetensors`
    settings       `infrope.json`, see settings.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infrope_env.models.resolve import CatalogEntry, GeneratorSource, LocalFile
from infrope_env.models.wan.generator import GeneratorFiles, locate_generator
from infrope_env.models.wan.parts import TAEHV_FILES, VAE_FILES, file_in, hub_folders, parts_folder, text_folder_in
from infrope_env.models.wan.settings import SETTINGS, Settings


@dataclass(frozen=True)
class WanFiles:
    """Paths of all parts.

    Attributes:
        name: Name of the generator: its row's, or that of its file or folder.
        generator: Files of the generator.
        text: Folder with text encoder and tokenizer, None when there is none.
        taehv: File of taew2_1, None when there is none.
        vae: File of the full VAE, None when there is none.
        settings: Content of infrope.json, or the defaults.
        settings_file: infrope.json, None when there is none.
        searched: Folders that were searched, for errors.
    """

    name: str
    generator: GeneratorFiles
    text: Path | None
    taehv: Path | None
    vae: Path | None
    settings: Settings
    settings_file: Path | None
    searched: tuple[Path, ...]

    @classmethod
    def find(cls, found: GeneratorSource) -> WanFiles:
        """Locate the parts. What is not beside the generator is searched for in the caches.

        Raises:
            WeightsError: There is no generator. The other parts may be missing until they are needed.
        """
        generator = locate_generator(found)
        beside: tuple[Path, ...] = ()
        if isinstance(found, CatalogEntry):
            name = found.row.name
        elif isinstance(found, LocalFile):
            name, beside = found.path.stem, (found.path.resolve().parent,)
        else:
            name, beside = found.path.name, (found.path,)
        folders = tuple(dict.fromkeys([*beside, parts_folder(), *hub_folders()]))
        settings_file = _first(beside, lambda folder: file_in(folder, (SETTINGS,)))
        return cls(
            name=name,
            generator=generator,
            text=_first(folders, text_folder_in),
            taehv=_first(folders, lambda folder: file_in(folder, TAEHV_FILES)),
            vae=_first(folders, lambda folder: file_in(folder, VAE_FILES)),
            settings=Settings() if settings_file is None else Settings.read(settings_file),
            settings_file=settings_file,
            searched=folders,
        )

    @property
    def places(self) -> str:
        """The searched folders in words, for errors."""
        return " and ".join(map(str, self.searched[:2]))


def _first(folders: tuple[Path, ...], search: Callable[[Path], Path | None]) -> Path | None:
    return next(filter(None, map(search, folders)), None)
