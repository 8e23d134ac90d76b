"""What `infrope weights wan` says and does: every part of Wan, whether it is here, and what gets it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from infrope_env.errors import WeightsError
from infrope_env.models.wan.catalog import DEFAULT
from infrope_env.models.wan.locate import ALIAS, VAE_FILES, hub_folders, text_folder_in
from infrope_env.models.wan.parts import PARTS, TAEHV_BYTES, TAEHV_FILE, TAEHV_NAME, TEXT, VAE, Part, download_taehv

NAMES = (ALIAS, TAEHV_NAME, *(part.name for part in PARTS))
COLUMNS = "  {:18}{:12}{:>9}  {}"


def is_wan_part(name: str | None) -> bool:
    """Whether `infrope weights` means Wan as a whole, or a part of it that is no generator."""
    return name in NAMES


def run_command(name: str, download: bool, convert: bool, verify: bool, revision: str | None) -> Iterator[str]:
    """Download what was asked, or describe it; a line each.

    Raises:
        WeightsError: it could not be done, or is not for these parts.
    """
    if convert or revision or verify:
        raise WeightsError(
            f"--convert, --verify and --revision are for generators such as {DEFAULT!r}, not for {name!r}."
        )
    if not download:
        yield from _describe()
    if download and name == ALIAS:
        from infrope_env.models.wan import generator_command as generators

        yield from generators.run_command(DEFAULT, True, False, False, None)
    if download and name in (ALIAS, TAEHV_NAME):
        yield from download_taehv()
    if download:
        for part in PARTS:
            if name in (ALIAS, part.name):
                yield from _download(part)


def _download(part: Part) -> Iterator[str]:
    from huggingface_hub.constants import HF_HUB_CACHE

    from infrope_env.models.wan.hub import download

    page = f"https://huggingface.co/{part.repo}"
    yield f"{part.name}: {part.what}, about {part.disk_bytes / 1e9:.1f} GB from {page} into {HF_HUB_CACHE}"
    yield f"licence of the weights: {part.licence}"
    yield from map(str, download(part).files)


def _describe() -> Iterator[str]:
    """One line a part, then what fits into which GPU."""
    from infrope_env.models.wan.catalog import find_checkpoint
    from infrope_env.models.wan.hub import find
    from infrope_env.models.wan.memory import memory_table
    from infrope_env.models.wan.parts import parts_folder
    from infrope_env.models.wan.store import find_converted

    row, places = find_checkpoint(DEFAULT), [parts_folder(), *hub_folders()]
    generator = find_converted(row.name, row.revision) is not None or find(row) is not None
    yield "Wan 2.1 as a world needs; 'infrope weights NAME --download' gets one, 'infrope weights wan --download' all:"
    yield COLUMNS.format("name", "here", "GB", "")
    yield COLUMNS.format(row.name, _yes(generator), f"{row.disk_bytes / 1e9:.1f}", "the generator, or another")
    yield COLUMNS.format(TAEHV_NAME, _yes(_any(places, TAEHV_FILE)), f"{TAEHV_BYTES / 1e9:.2f}", "the fast decoder")
    text = any(text_folder_in(place) for place in places)
    yield COLUMNS.format(TEXT.name, _yes(text), f"{TEXT.disk_bytes / 1e9:.1f}", TEXT.what)
    vae = _yes(_any(places, *VAE_FILES))
    yield COLUMNS.format(VAE.name, vae, f"{VAE.disk_bytes / 1e9:.1f}", f"{VAE.what}, for pictures and exact decoding")
    yield ""
    yield memory_table()


def _any(places: list[Path], *names: str) -> bool:
    return any((place / name).is_file() for place in places for name in names)


def _yes(here: bool) -> str:
    return "yes" if here else "no"
