"""A generator in several .safetensors files, as diffusers saves a large one: "name-00002-of-00003.safetensors"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from infrope_env.errors import WeightsError
from infrope_env.tensor_files import read_entries

SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors")
MOST_SHARDS = 200


def shards_of(path: Path) -> tuple[Path, ...]:
    """Return all files of a generator of which one is given, the file itself where it is whole.

    Raises:
        WeightsError: A shard is missing.
    """
    match = SHARD.fullmatch(path.name)
    if match is None:
        return (path,)
    stem, count = match["stem"], int(match["count"])
    if not 1 <= int(match["number"]) <= count <= MOST_SHARDS:
        raise WeightsError(f"{path}: expected one of 1 to {MOST_SHARDS} shards.")
    shards = tuple(path.with_name(f"{stem}-{number:05}-of-{count:05}.safetensors") for number in range(1, count + 1))
    if missing := [shard.name for shard in shards if not shard.is_file()]:
        raise WeightsError(f"{path}: one of {count} files, {', '.join(missing[:3])} is not beside it. Get it too.")
    return shards


def first_shard(folder: Path) -> Path | None:
    """Return the first shard of diffusers' transformer in a folder, None where there is none."""
    return next(iter(sorted(folder.glob("diffusion_pytorch_model-00001-of-*.safetensors"))), None)


def read_shards(paths: tuple[Path, ...]) -> Mapping[str, object]:
    """Return the entries of all shards; errors as in `read_entries`, or WeightsError where two have the same name."""
    if len(paths) == 1:
        return read_entries(paths[0])
    entries: dict[str, object] = {}
    for path in paths:
        more = read_entries(path)
        if twice := entries.keys() & more.keys():
            raise WeightsError(f"{path}: {min(twice)!r} is in another shard, too. Get the files again.")
        entries |= more
    return entries
