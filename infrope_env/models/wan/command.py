"""`infrope weights`: describes, downloads, converts and verifies world folders, generators and Wan's other parts.

Sizes that were not measured are marked as computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from infrope_env.errors import WeightsError
from infrope_env.models.resolve import CatalogEntry, GeneratorSource, WorldFolder, resolve
from infrope_env.models.wan import generator, hub
from infrope_env.models.wan import parts as wan_parts
from infrope_env.models.wan.catalog import ALIAS, CHECKPOINTS, DEFAULT, Checkpoint
from infrope_env.models.wan.download import download_generator, download_parts
from infrope_env.models.wan.memory import generator_memory, memory_table
from infrope_env.models.wan.parts import PARTS, TAEHV_NAME
from infrope_env.models.wan.prompts import encode_command
from infrope_env.models.wan.sizes import size_of, size_of_taehv
from infrope_env.models.wan.store import find_converted, read_record
from infrope_env.models.wan.taehv_file import recorded_sha256, taehv_path
from infrope_env.models.world_folder import describe_world
from infrope_env.tensor_files import sha256_of

PART_NAMES = (ALIAS, TAEHV_NAME, *(part.name for part in PARTS))
GB = 1e9
ROW = "  {:27}{:10}{:>8}{:>9}  {:46}{}"
PART_ROW = "  {:18}{:12}{:>9}  {}"
NOTE = (
    "* computed: disk from one copy of the tensors, otherwise it is the length of the files; GPU from the generator's "
    "weights, cache and one pass at 480x832 in bfloat16, without text encoder and decoder, not measured"
)
SOURCES = {
    "measured": "measured: the files are here",
    "known": "the known length of the files",
    "computed": "computed from one copy of the tensors",
}


def run_command(
    name: str | None,
    download: bool,
    convert: bool,
    verify: bool,
    revision: str | None,
    encode: tuple[str, ...] | None = None,
) -> Iterator[str]:
    """Run `infrope weights` and yield its output, line by line; WeightsError says why it cannot be done.

    Args:
        name: A weights string (see `resolve`), "wan" for all of Wan, or the name of a part; None lists everything.
        download: Download a released generator or part.
        convert: Write a downloaded generator as .safetensors in bfloat16.
        verify: Read all of a generator and check it.
        revision: Commit to download, 40 hex digits.
        encode: Action sets whose prompts to encode ahead of play; empty means "wan".
    """
    if encode is not None:
        if download:
            yield from run_command(name, download, convert, verify, revision)
        elif convert or verify or revision:
            raise WeightsError("--encode is for prompts; --convert, --verify and --revision are for generators.")
        yield from encode_command(name, encode)
        return
    if revision and not download:
        raise WeightsError("--revision needs --download: it is the commit to download.")
    if name in PART_NAMES:
        if convert or revision:
            raise WeightsError(f"--convert and --revision are for generators such as {DEFAULT!r}, not for {name!r}.")
        yield from _run_on_parts(name, download, verify)
    elif name is None and (download or convert or verify):
        raise WeightsError("Name a generator: 'infrope weights' lists them.")
    else:
        yield from _run_on_model(name, download, convert, verify, revision)


def _run_on_parts(name: str, download: bool, verify: bool) -> Iterator[str]:
    """Download and verify a part, or all of Wan; without either, describe all parts."""
    if download:
        yield from download_parts(name)
    if verify:
        yield from verify_parts(name)
    if not (download or verify):
        yield from _describe_parts()


def _run_on_model(name: str | None, download: bool, convert: bool, verify: bool, revision: str | None) -> Iterator[str]:
    """Do what is asked with a world folder, a released generator or a local one; None is the bundled world."""
    options = download or convert or verify
    found = resolve(name)
    if isinstance(found, CatalogEntry):
        row = found.row
        if download:
            yield from download_generator(row, revision)
        if convert:
            path = generator.convert(row)
            yield f"{path}  bfloat16  {path.stat().st_size / GB:.2f} GB  sha256 {read_record(row.name)['sha256']}"
        if verify:
            yield from verify_generator(found)
        if not options:
            yield from describe_generator(row)
    elif isinstance(found, WorldFolder):
        if options:
            released = ", ".join(row.name for row in CHECKPOINTS)
            raise WeightsError(f"{name} is a world folder: --download, --convert and --verify are for {released}.")
        yield from describe_world(found.path)
        if name is None:
            yield from ("", *list_generators())
    elif download or convert:
        raise WeightsError(f"{name} is local: --download, --convert and --revision are for released names.")
    else:
        yield from verify_generator(found)


def list_generators() -> Iterator[str]:
    """Yield one line per released generator: whether it is here, what it needs, its licence and its page."""
    yield "Generators that load by name; 'infrope weights NAME' describes one, with --download downloads it:"
    yield ROW.format("name", "here", "disk GB", "GPU GB*", "licence", "on huggingface.co")
    for row in CHECKPOINTS:
        name = f"{row.name} (default)" if row.name == DEFAULT else row.name
        gpu = generator_memory(row.config, row.window).total
        yield ROW.format(name, _state(row), size_of(row).gb(1), f"{gpu / GB:.1f}", row.licence, row.repo)
    yield NOTE


def describe_generator(row: Checkpoint) -> Iterator[str]:
    """Yield all facts about a released generator, one per line."""
    memory, window, size = generator_memory(row.config, row.window), row.window, size_of(row)
    split = ", ".join(f"{part} {value / GB:.2f}" for part, value in asdict(memory).items())
    facts = {
        "files": f"{', '.join(row.files)} of https://huggingface.co/{row.repo}",
        "revision": hub.fixed_revision(row) or f"{hub.wanted_revision(row)} is taken, the first one downloaded is kept",
        "layout": "as its project's loader reads it; the file itself was not seen",
        "project": row.source,
        "licence": row.licence,
        "here": _state(row),
        "disk": f"{size.bytes / GB:.2f} GB ({SOURCES[size.source]})",
        "GPU memory": f"about {memory.total / GB:.1f} GB (computed for bfloat16 and 480x832: {split})",
        "played with": f"a window of {window.size} ({window.sink} sink, {window.context} context, {window.block} "
        f"block), {row.sampler.describe()}",
        "remark": row.remark,
    }
    yield row.name
    yield from (f"  {key + ':':13}{value}" for key, value in facts.items() if value)


def verify_parts(name: str) -> Iterator[str]:
    """Check the digests of a part's files, for "wan" those of all parts that are here; errors as in `verify_file`."""
    paths = [path for part in PARTS if name in (ALIAS, part.name) for path in hub.find(part) or ()]
    if name in (ALIAS, TAEHV_NAME) and taehv_path().is_file():
        paths.append(taehv_path())
    if name == ALIAS:
        paths += hub.find(CHECKPOINTS[0]) or ()
    if not paths:
        raise WeightsError(f"{name!r} is not here. Run 'infrope weights {name} --download'.")
    yield from map(verify_file, paths)


def verify_file(path: Path) -> str:
    """Return a line about a file whose digest is as the hub or the download's record has it, else WeightsError."""
    known, digest = hub.known_sha256(path) or recorded_sha256(path), sha256_of(path)
    if known not in (None, digest):
        raise WeightsError(
            f"{path}: altered, its sha256 is {digest[:16]}..., not {str(known)[:16]}.... Remove it, get it again."
        )
    return f"{path}  sha256 {digest}  {'intact' if known else 'nothing to compare it with'}"


def verify_generator(found: GeneratorSource) -> Iterator[str]:
    """Check digests, names, shapes and that numbers are finite, else WeightsError; yield a line per file and a sum."""
    files = generator.locate_generator(found)
    yield from map(verify_file, files.paths)
    config, weights = generator.open_generator(files)
    tensors, numbers = 0, 0
    for name, tensor in weights:
        if not tensor.isfinite().all():
            raise WeightsError(f"{files.paths[0]}: {name!r} holds numbers that are not finite. Get it again.")
        tensors, numbers = tensors + 1, numbers + tensor.numel()
    yield f"{generator.describe_config(config)}: {tensors} tensors, {numbers:,} finite numbers, all fit"


def _describe_parts() -> Iterator[str]:
    """Yield one line per part, then the table of GPU memory."""
    default, here = CHECKPOINTS[0], wan_parts.find_parts(wan_parts.part_folders())
    yield "Parts of Wan 2.1; 'infrope weights NAME --download' downloads one, 'infrope weights wan --download' all:"
    yield PART_ROW.format("name", "here", "GB", "")
    yield PART_ROW.format(DEFAULT, _state(default), size_of(default).gb(), "the generator, or another")
    rows = [(TAEHV_NAME, size_of_taehv(), "the fast decoder")]
    rows += [(part.name, size_of(part), part.description) for part in PARTS]
    for name, size, description in rows:
        yield PART_ROW.format(name, "yes" if name in here else "no", size.gb(), description)
    yield "  * computed; the others are lengths of the files"
    yield from ("", memory_table(), "", "'infrope doctor --env infrope/Wan-v0' checks this machine before a download.")


def _state(row: Checkpoint) -> str:
    """Return "converted", "yes" or "no": whether a generator is here."""
    if find_converted(row.name, hub.fixed_revision(row)):
        return "converted"
    return "no" if hub.find(row) is None else "yes"
