"""The meaning of a weights string, and the model that it loads. Every consumer of such a string calls `resolve`.

- "pocket" or None is a bundled world folder.
- "longlive" is a released generator of wan/catalog.py, "wan" the default one.
- The path of a file is a generator's .pt or .safetensors file; wan/recognition.py knows the released ones. "longlive@"
  before the path says which one it is.
- The path of a folder is a world folder if it holds card.json, else a folder of Wan's parts in their released files.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from infrope_env.config import Sampler
from infrope_env.errors import WeightsError
from infrope_env.models.options import DEFAULTS, LoadOptions
from infrope_env.models.wan.catalog import ALIAS, CHECKPOINTS, Checkpoint, find_checkpoint
from infrope_env.models.wan.parts import holds_part
from infrope_env.models.world_folder import BUNDLED, CARD, load_world
from infrope_env.models.world_model import WorldModel

_loading = threading.Lock()  # held while a model is loaded, so that two threads do not load it twice


def _unlock_in_forked_process() -> None:
    global _loading
    _loading = threading.Lock()  # a thread that held the old one is not in this process


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_in_forked_process)


@dataclass(frozen=True)
class WorldFolder:
    """A folder with card.json, bundled or not."""

    path: Path


@dataclass(frozen=True)
class CatalogEntry:
    """A released generator."""

    row: Checkpoint


@dataclass(frozen=True)
class LocalFile:
    """A generator's file, and the released generator that the user says it is; None recognises it."""

    path: Path
    row: Checkpoint | None = None


@dataclass(frozen=True)
class PartsFolder:
    """A folder that holds at least one part of Wan in a released file."""

    path: Path


GeneratorSource = CatalogEntry | LocalFile | PartsFolder
"""Everything that holds a Wan generator."""


def resolve(weights: str | Path | None) -> WorldFolder | GeneratorSource:
    """Return what a weights string means; None is "pocket". Opens no weights.

    Raises:
        WeightsError: It is neither a known name nor the path of a file or folder that can hold weights.
    """
    text = str(weights or "pocket")
    path = Path(text).expanduser()
    if row := find_checkpoint(text):
        return CatalogEntry(row)
    if path.is_file():
        return LocalFile(path)
    if row := find_checkpoint(text.partition("@")[0]):
        return LocalFile(_file_after_at(text), row)
    bundled = [BUNDLED / text] if path.name == text else []  # "./pocket" is a folder of the user's own
    for folder in (*bundled, path):
        if (folder / CARD).is_file():
            return WorldFolder(folder.resolve())
    if path.is_dir():
        if holds_part(path):
            return PartsFolder(path.resolve())
        raise WeightsError(f"{path} is not a world folder: it has no {CARD}. Nor does it hold a part of Wan.")
    names = ", ".join(sorted(card.parent.name for card in BUNDLED.glob(f"*/{CARD}"))) or "none"
    released = ", ".join(row.name for row in CHECKPOINTS)
    raise WeightsError(
        f"No weights named '{text}'; bundled: {names}; released generators: {ALIAS}, {released}. "
        "Or pass the path of a world folder, a generator's file, or a folder of Wan's parts."
    )


def _file_after_at(text: str) -> Path:
    """Return the file of "longlive@models/longlive_base.pt"; WeightsError where there is none."""
    name, _, rest = text.partition("@")
    path = Path(rest).expanduser()
    if not path.is_file():
        raise WeightsError(f"There is no file {rest!r} to play as {name!r}: expected {name}@ and the path of a file.")
    return path


def load_model(weights: str | Path | None, options: LoadOptions = DEFAULTS, prompts: Iterable[str] = ()) -> WorldModel:
    """Load a model, once per process for the same files and options.

    Args:
        weights: See `resolve`.
        options: Choices at loading time.
        prompts: Texts of play. A large text encoder encodes the first one, on a GPU the others too, before the
            generator takes its memory.

    Raises:
        WeightsError: Weights are missing, damaged or do not fit, or the model has no such option.
        ValueError: There is no such device, dtype or sampler.
    """
    Sampler.parse(options.sampler)  # raises before anything is loaded
    model = _load(weights, options, prompts)
    sampler = Sampler.parse(options.sampler, default=model.sampler)
    return model if sampler == model.sampler else replace(model, sampler=sampler)


def _load(weights: str | Path | None, options: LoadOptions, prompts: Iterable[str]) -> WorldModel:
    """Load a model with its own sampler; arguments and errors as in `load_model`."""
    found = resolve(weights)
    if not isinstance(found, WorldFolder):
        from infrope_env.models.wan.load import load_wan

        with _loading:
            return load_wan(found, options, prompts)
    for name in ("text_device", "text_dtype", "offload", "lora"):
        if value := getattr(options, name):
            raise WeightsError(f"{name}={value!r} is for Wan: the parts of the world {str(weights)!r} are small.")
    with _loading:
        return load_world(found.path, options)
