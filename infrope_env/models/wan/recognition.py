"""The released generator that a file is: by its place and name, or by its digest. Opens no weights.

A file of unknown origin plays with defaults, and the user is told. Names that many projects use (`COMMON_NAMES`) count
only in the folder, or beside the LoRA, with which they are released.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infrope_env.models.wan.catalog import CHECKPOINTS, Checkpoint
from infrope_env.models.wan.digests import digest_of
from infrope_env.models.wan.hub import find, known_sha256
from infrope_env.models.wan.pins import pin_of
from infrope_env.models.wan.settings import SETTINGS
from infrope_env.models.wan.shards import first_shard

COMMON_NAMES = ("model.pt", "base.pt")
OWN_GENERATORS = ("generator.safetensors", "generator.pt", "transformer/diffusion_pytorch_model.safetensors")


@dataclass(frozen=True)
class FoundGenerator:
    """A generator's file and what is known of it.

    Attributes:
        path: The file; of a generator in shards, any one of them.
        row: The released generator that it is; None for any other file.
        lora: File of the row's LoRA; None where it has none or the file is not there.
        note: How it is played, one sentence; empty where there is nothing to say.
        doubt: What the user may not expect of it, one sentence, likewise.
    """

    path: Path
    row: Checkpoint | None = None
    lora: Path | None = None
    note: str = ""
    doubt: str = ""


def recognise(path: Path, row: Checkpoint | None = None) -> FoundGenerator:
    """Return what a generator's file is.

    Args:
        path: The file.
        row: The released generator that the user says it is; None recognises it.
    """
    if row is not None:
        return _played_as(row, path, "as you say")
    for signs, how in (
        (_rows_by_place, "by its place"),
        (_rows_by_name, "by its name"),
        (_rows_by_digest, "by sha256"),
    ):
        if rows := signs(path):
            complete = [each for each in rows if each.lora is None or find_lora(each, path)]
            return _played_as((complete or rows)[0], path, how)
    namesakes = [each.name for each in CHECKPOINTS if Path(each.file).name == path.name]
    name = namesakes[0] if namesakes else "NAME"
    known = (
        f"is called as a file of {' and '.join(namesakes)}, but has another folder" if namesakes else "is no known file"
    )
    doubt = (
        f"{path} {known}: it plays with the default window and steps. Pass weights='{name}@{path}' to play it as a "
        f"released generator, or set window and sampler in {SETTINGS} beside it."
    )
    return FoundGenerator(path, doubt=doubt)


def generator_in(folder: Path) -> FoundGenerator | None:
    """Return the generator of a folder: a released one, in its subfolder or flat, else one of `OWN_GENERATORS`.

    A flat name that is not one generator's alone is not taken. Of several, the first with all its files comes first.
    """
    found = [_played_as(row, path, "by its name") for row, path in _released_in(folder)]
    complete = [each for each in found if each.row is not None and (each.row.lora is None or each.lora)]
    own = file_in(folder, OWN_GENERATORS) or first_shard(folder / "transformer")
    if complete or found:
        return (complete or found)[0]
    return None if own is None else FoundGenerator(own)


def find_lora(row: Checkpoint, path: Path) -> Path | None:
    """Return the file of a row's LoRA where it is released relative to the generator's file, or beside that."""
    if row.lora is None:
        return None
    root = _released_root(row, path) or path.parent
    places = (root / row.lora.file, path.parent / Path(row.lora.file).name)
    return next((place for place in places if place.is_file()), None)


def is_released_lora(row: Checkpoint, path: Path) -> bool:
    """Return whether a file is a row's own LoRA, by its place or its digest."""
    if row.lora is None:
        return False
    download = find(row)
    if download is not None and path.resolve() == download[-1].resolve():
        return True
    pin = pin_of(row.repo, row.lora.file)
    return pin is not None and pin.bytes == path.stat().st_size and pin.sha256 == digest_of(path)


def file_in(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Return the first of these files that a folder holds."""
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _played_as(row: Checkpoint, path: Path, how: str) -> FoundGenerator:
    """Return a file as a row's generator, with its LoRA where that is, and how it is played."""
    lora, doubt = find_lora(row, path), ""
    note = f"{path} is {row.name!r} ({how}): window {row.window.size}, {row.sampler.describe()}"
    if lora is not None:
        note += f", with its LoRA {lora.name}"
    elif row.lora is not None:
        doubt = f"{path} is {row.name!r} ({how}) and plays without its LoRA: {row.lora.file} is not there."
    return FoundGenerator(path, row, lora, note, doubt)


def _released_in(folder: Path) -> Iterator[tuple[Checkpoint, Path]]:
    """Yield the released generators whose file a folder holds, under its path or under a name of its own."""
    for row in CHECKPOINTS:
        flat = Path(row.file).name
        names = (row.file, flat) if _is_distinctive(flat) else (row.file,)
        if path := file_in(folder, names):
            yield row, path


def _released_root(row: Checkpoint, path: Path) -> Path | None:
    """Return the folder that stands for the repository, if a file's last folders are those of the row's file."""
    parts = Path(row.file).parts
    return path.parents[len(parts) - 1] if path.parts[-len(parts) :] == parts else None


def _rows_by_place(path: Path) -> list[Checkpoint]:
    """Return the rows whose file lies so in their repository: in its folder, its download, or beside its LoRA."""
    path = path.absolute()
    rows = [row for row in CHECKPOINTS if _released_root(row, path) is not None]
    cached = {row.repo for row in rows if f"models--{row.repo.replace('/', '--')}" in path.parts}

    def is_there(row: Checkpoint) -> bool:
        root = _released_root(row, path)
        assert root is not None
        in_a_folder = "/" in row.file or root.name.lower() == row.repo.split("/")[1].lower()
        return in_a_folder or (row.lora is not None and (root / row.lora.file).is_file())

    return [row for row in rows if (row.repo in cached if cached else is_there(row))]


def _rows_by_name(path: Path) -> list[Checkpoint]:
    """Return the row whose file alone has this name."""
    return [row for row in CHECKPOINTS if Path(row.file).name == path.name and _is_distinctive(path.name)]


def _is_distinctive(name: str) -> bool:
    """Return whether a file's name is that of one released file."""
    return name not in COMMON_NAMES and len({row.files for row in CHECKPOINTS if Path(row.file).name == name}) == 1


def _rows_by_digest(path: Path) -> list[Checkpoint]:
    """Return the rows with this content. A file is read only if its length is that of a released one."""
    pins = [(row, pin_of(row.repo, row.file)) for row in CHECKPOINTS]
    lengths = {pin.bytes for _, pin in pins if pin is not None}
    digest = known_sha256(path) or (digest_of(path) if path.stat().st_size in lengths else None)
    return [row for row, pin in pins if pin is not None and digest is not None and pin.sha256 == digest]
