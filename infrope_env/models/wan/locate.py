"""Locates all parts of Wan: in the given folder, in the cache folder, and in the cache of the hub's client.

A folder may hold them as they are released, nothing unpacked or renamed; parts.py has the names of the files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from infrope_env.models.resolve import CatalogEntry, GeneratorSource, LocalFile
from infrope_env.models.wan.generator import GeneratorFiles, locate_generator
from infrope_env.models.wan.parts import TAEHV_NAME, TEXT, VAE, find_parts, part_folders
from infrope_env.models.wan.recognition import file_in
from infrope_env.models.wan.settings import SETTINGS, Settings


@dataclass(frozen=True)
class WanFiles:
    """Paths of all parts.

    Attributes:
        name: Name of the generator: its row's, or that of its file or folder.
        generator: Files of the generator.
        text: Folder with text encoder and tokenizer; like every other part, None when there is none.
        taehv: File of taew2_1.
        vae: File of the full VAE.
        settings: Content of infrope.json, or the defaults.
        settings_file: infrope.json.
        places: The searched folders in words, for errors.
    """

    name: str
    generator: GeneratorFiles
    text: Path | None
    taehv: Path | None
    vae: Path | None
    settings: Settings
    settings_file: Path | None
    places: str

    @classmethod
    def find(cls, found: GeneratorSource, lora: str | None = None) -> WanFiles:
        """Locate the generator and a LoRA, else WeightsError, and the parts beside the generator or in the caches."""
        generator, beside = locate_generator(found, lora), list[Path]()
        if isinstance(found, CatalogEntry):
            name = found.row.name
        elif isinstance(found, LocalFile):
            name = found.path.stem if generator.row is None else generator.row.name
            beside = [found.path.resolve().parent]
        else:
            name, beside = found.path.name, [found.path]
        folders = list(dict.fromkeys([*beside, *part_folders()]))
        parts = find_parts(folders)
        settings_file = next((file for folder in beside if (file := file_in(folder, (SETTINGS,)))), None)
        settings = Settings() if settings_file is None else Settings.read(settings_file)
        if settings.window is not None and settings.sampler is not None:
            generator = replace(generator, doubt="")  # the user has set what nobody knows
        return cls(
            name=name,
            generator=generator,
            text=parts.get(TEXT.name),
            taehv=parts.get(TAEHV_NAME),
            vae=parts.get(VAE.name),
            settings=settings,
            settings_file=settings_file,
            places=" and ".join(map(str, folders[:2])),
        )
