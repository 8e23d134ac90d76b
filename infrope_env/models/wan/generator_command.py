"""What `infrope weights` says about generators and does with them: list, describe, download, convert, verify.

Sizes that nobody measured are said to be computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from infrope_env.errors import WeightsError
from infrope_env.models.wan.catalog import CHECKPOINTS, DEFAULT, Checkpoint, is_checkpoint
from infrope_env.models.wan.generator_memory import generator_memory

GB = 1e9
NOTE = (
    "* computed, not measured: disk from one copy of the tensors, GPU from the generator's weights, cache and one pass "
    "at 480x832 in bfloat16, without text encoder and decoder"
)


def is_generator(name: str | None) -> bool:
    """Whether this is a released generator's name or a file, rather than a world's name or folder."""
    return name is not None and (is_checkpoint(name) or Path(name).expanduser().is_file())


def list_generators() -> str:
    """One line a row: what is here, what it needs, its licence and its page."""
    lines = ["Generators that load by name; 'infrope weights NAME' says more, with --download gets one:"]
    lines.append(_columns("name", "here", "disk GB*", "GPU GB*", "licence", "on huggingface.co"))
    for row in CHECKPOINTS:
        name = f"{row.name} (default)" if row.name == DEFAULT else row.name
        disk, gpu = row.disk_bytes, generator_memory(row.config, row.window).total
        lines.append(_columns(name, _state(row), f"{disk / GB:.1f}", f"{gpu / GB:.1f}", row.licence, row.repo))
    return "\n".join([*lines, NOTE])


def describe_checkpoint(row: Checkpoint) -> str:
    """All that is known about a row, and whether it is here."""
    from infrope_env.models.wan.hub import wanted_revision

    memory = generator_memory(row.config, row.window)
    where = f"https://huggingface.co/{row.repo}"
    parts = ("weights", "cache", "window", "text", "activations")
    split = ", ".join(f"{part} {getattr(memory, part) / GB:.2f}" for part in parts)
    pinned = row.revision or f"none pinned, none was known; {wanted_revision(row)} is taken, the first one got is kept"
    facts = {
        "files": f"{', '.join(row.files)} of {where}",
        "revision": pinned,
        "layout": row.layout,
        "project": row.source,
        "licence": row.licence,
        "here": _state(row),
        "disk": f"about {row.disk_bytes / GB:.2f} GB (computed from one copy of the tensors in {row.stored})",
        "GPU memory": f"about {memory.total / GB:.1f} GB (computed for bfloat16 and 480x832: {split})",
        "played with": f"a window of {row.window.size} ({row.window.sink} sink, {row.window.context} context, "
        f"{row.window.block} block), steps {', '.join(map(str, row.sampler.steps))}",
        "remark": row.remark,
    }
    return "\n".join([row.name, *(f"  {key + ':':13}{value}" for key, value in facts.items() if value)])


def run_command(name: str | None, download: bool, convert: bool, verify: bool, revision: str | None) -> Iterator[str]:
    """Do what was asked, in the order of need, and say what was done; with nothing asked, describe.

    Raises:
        WeightsError: it could not be done; the sentence says why.
    """
    from infrope_env.models.wan.contents import as_checkpoint

    if name is None:
        raise WeightsError("Say which generator: 'infrope weights' lists them.")
    row = as_checkpoint(name)
    if row is None and (download or convert or revision):
        raise WeightsError(f"{name} is a file of yours: --download, --convert and --revision are for released names.")
    if revision and not download:
        raise WeightsError("--revision says what to --download; give both.")
    if row is not None and download:
        yield from _download(row, revision)
    if row is not None and convert:
        yield _convert(row)
    if verify or row is None:
        yield from verify_generator(name)
    elif row is not None and not (download or convert):
        yield describe_checkpoint(row)


def verify_generator(source: str | Checkpoint) -> Iterator[str]:
    """Check digests, names, shapes and that every number is finite; a line for each file, then one for the generator.

    Raises:
        WeightsError: something is not as it should be.
    """
    from infrope_env.models.wan.architecture import say_architecture
    from infrope_env.models.wan.contents import locate, open_contents

    place = locate(source)
    for path in place.files:
        yield _check_digest(path)
    contents = open_contents(place)
    for name, tensor in contents.values():
        if not tensor.isfinite().all():
            raise WeightsError(f"{place.files[0]}: {name!r} holds numbers that are not finite. Get it again.")
    count = sum(tensor.numel() for tensor in contents.tensors.values())
    yield f"{say_architecture(contents.config)}: {len(contents.tensors)} tensors, {count:,} finite numbers, all fit"


def _check_digest(path: Path) -> str:
    """Compare a file with the digest that the hub, or its conversion, gave for it."""
    from infrope_env.models.tensor_files import sha256_of
    from infrope_env.models.wan.hub import known_sha256

    known, got = known_sha256(path), sha256_of(path)
    if known is not None and got != known:
        raise WeightsError(
            f"{path}: altered, its sha256 is {got[:16]}..., not {known[:16]}.... Remove it, get it again."
        )
    return f"{path}  sha256 {got}  {'intact' if known else 'nothing to compare it with'}"


def _download(row: Checkpoint, revision: str | None) -> Iterator[str]:
    from huggingface_hub.constants import HF_HUB_CACHE

    from infrope_env.models.wan.hub import download

    yield f"{row.name}: about {row.disk_bytes / GB:.1f} GB from https://huggingface.co/{row.repo} into {HF_HUB_CACHE}"
    yield f"licence of the weights: {row.licence}"
    fetched = download(row, revision)
    yield f"revision {fetched.revision}"
    yield from map(str, fetched.files)


def _convert(row: Checkpoint) -> str:
    from infrope_env.models.wan.generator import convert
    from infrope_env.models.wan.store import read_record

    path = convert(row)
    record = read_record(row.name)
    return f"{path}  {record['dtype']}  {path.stat().st_size / GB:.2f} GB  sha256 {record['sha256']}"


def _state(row: Checkpoint) -> str:
    from infrope_env.models.wan.hub import find
    from infrope_env.models.wan.store import find_converted

    if find_converted(row.name, row.revision) is not None:
        return "converted"
    return "no" if find(row) is None else "yes"


def _columns(name: str, here: str, disk: str, gpu: str, licence: str, repo: str) -> str:
    return f"  {name:27}{here:10}{disk:>8}{gpu:>9}  {licence:23}{repo}"
