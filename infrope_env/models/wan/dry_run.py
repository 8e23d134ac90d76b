"""A start of Wan on this machine, predicted: downloads, memory, text encoder, time. Loads and requests nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from infrope_env.cache_dir import cache_dir
from infrope_env.config import WAN_1_3B, Window
from infrope_env.errors import WeightsError
from infrope_env.findings import Finding, note, ok, problem
from infrope_env.machine import free_disk, free_memory, is_writable, version_of
from infrope_env.models.options import LoadOptions
from infrope_env.models.resolve import CatalogEntry, GeneratorSource
from infrope_env.models.wan.catalog import CHECKPOINTS, DEFAULT, Checkpoint
from infrope_env.models.wan.generator import locate_generator
from infrope_env.models.wan.locate import WanFiles
from infrope_env.models.wan.memory import TEXT_BYTES, generator_memory, memory_in_play
from infrope_env.models.wan.parts import (
    TAEHV_NAME,
    TEXT,
    VAE,
    WAN_VAE,
    find_parts,
    part_folders,
    parts_folder,
)
from infrope_env.models.wan.prompts import find_text_encoder
from infrope_env.models.wan.sizes import Size, size_of, size_of_taehv
from infrope_env.text.lazy import AUTO, HEADROOM, REFUSE
from infrope_env.text.progress import duration
from infrope_env.text.prompt_files import EncoderId, default_folder

GB = 1e9
LIBRARIES = 2_000_000_000  # host bytes of Python, torch and the drivers, roughly
SLACK = 300_000_000  # GPU bytes that stay free
LINE_RATE = 12_500_000  # bytes a second of a connection with 100 Mbit/s
PACKAGES = ("transformers", "diffusers", "ftfy")
SECONDS_PER_PROMPT = {"cpu": 20.0, "cuda": 0.5}
"""Seconds that UMT5-XXL takes for a prompt of 145 tokens: on a processor measured on one thread with AVX-512 by
examples/wan_text_speed.py, on a GPU computed from the bytes that travel to it."""


@dataclass(frozen=True)
class DryRun:
    """A start of Wan that was asked for.

    Attributes:
        found: The generator.
        options: Choices at loading time.
        prompts: All prompts of the action set, the first one's first.
    """

    found: GeneratorSource
    options: LoadOptions
    prompts: tuple[str, ...]

    def report(self) -> Iterator[Finding]:
        """Yield what a start would do, in its order."""
        yield from check_packages()
        yield from self._downloads()
        device, dtype = self.options.device_and_dtype()
        yield self._gpu_memory(device) if device.type == "cuda" else self._no_gpu(device, dtype)
        yield from self._text_encoder(device)
        yield self._host_memory(device, dtype)

    @property
    def row(self) -> Checkpoint | None:
        """Row of the generator; None for a file that no row describes."""
        try:
            return self.found.row if isinstance(self.found, CatalogEntry) else locate_generator(self.found).row
        except WeightsError:
            return None

    @property
    def decoder(self) -> str:
        """The decoder that would play."""
        given = self.options.decoder or TAEHV_NAME
        return WAN_VAE if given == WAN_VAE or "VAE" in given or "vae/" in given else TAEHV_NAME

    def missing(self) -> dict[str, Size]:
        """Return the sizes of what is to be downloaded, by the name that `infrope weights` knows it by."""
        source = None if isinstance(self.found, CatalogEntry) else self.found.path
        beside = [] if source is None else [source if source.is_dir() else source.parent]
        here, sizes = find_parts([*beside, *part_folders()]), {}
        if not self._has_generator():
            row = self.found.row if isinstance(self.found, CatalogEntry) else CHECKPOINTS[0]
            sizes[row.name] = size_of(row)
        if TAEHV_NAME not in here and self.decoder == TAEHV_NAME:
            sizes[TAEHV_NAME] = size_of_taehv()
        if VAE.name not in here and self.decoder == WAN_VAE:
            sizes[VAE.name] = size_of(VAE)
        if TEXT.name not in here and not self._embeddings():
            sizes[TEXT.name] = size_of(TEXT)
        return sizes

    def _has_generator(self) -> bool:
        try:
            return bool(locate_generator(self.found).paths)
        except WeightsError:
            return False

    def _embeddings(self) -> int:
        """Return how many of the prompts have an embedding on disk, made by the encoder that would encode the rest."""
        try:
            files = WanFiles.find(self.found)
            encoder = find_text_encoder(files.text, files.places, REFUSE, self.options.text_dtype)
        except WeightsError:
            return 0
        encoder_id, folder = EncoderId.of(encoder), default_folder()
        return sum(encoder_id.path_of(folder, text).is_file() for text in self.prompts)

    def _downloads(self) -> Iterator[Finding]:
        """Yield what is missing with its size, and whether the disk has room."""
        sizes = self.missing()
        if not sizes:
            yield ok("files", "generator, decoder and text encoder are here")
            return
        listed = ", ".join(f"{name} {size.gb()} GB" for name, size in sizes.items())
        total = sum(size.bytes for size in sizes.values())
        star = " (* computed)" if any(size.source == "computed" for size in sizes.values()) else ""
        time = duration(total / LINE_RATE)
        command = " and ".join(f"'infrope weights {name} --download'" for name in sizes)
        if {DEFAULT, TAEHV_NAME, TEXT.name} <= sizes.keys():
            command = f"'infrope weights wan --download', which takes the full VAE along ({VAE.disk_bytes / GB:.1f} GB)"
        yield note("files", f"to download: {listed}{star}, {time} at 100 Mbit/s", f"run {command}")
        yield from check_disk(total)

    def _gpu_memory(self, device: torch.device) -> Finding:
        """Return whether generator and decoder fit into the free memory of the GPU, and with which options."""
        free, _ = torch.cuda.mem_get_info(device)
        asked = self.options.offload
        plain, less = (bytes_in_play(self.row, self.decoder, offload) for offload in (asked, True))
        text = f"{self.decoder}{' with --offload' if asked else ''} needs {plain / GB:.1f} GB (computed)"
        text += f", {free / GB:.1f} GB are free"
        if plain + SLACK <= free:
            return ok("GPU memory", text)
        if less + SLACK <= free:
            return problem("GPU memory", text, f"add --offload, which needs {less / GB:.1f} GB")
        smaller = bytes_in_play(self.row, TAEHV_NAME, True)
        if smaller + SLACK <= free:
            return problem("GPU memory", text, f"add --decoder {TAEHV_NAME} --offload ({smaller / GB:.1f} GB)")
        return problem("GPU memory", text, "free some: other programs and the desktop count; or take a larger GPU")

    def _no_gpu(self, device: torch.device, dtype: torch.dtype) -> Finding:
        """Return that a processor is no place to play Wan, unless it was asked for."""
        text = f"Wan on {device.type} in {str(dtype).removeprefix('torch.')}: a block takes minutes, not 0.75 s"
        if self.options.device is not None:
            return note("speed", text)
        return problem("GPU", f"none that torch can use; {text}", "use a machine with one, or --device cpu to try it")

    def _text_encoder(self, device: torch.device) -> Iterator[Finding]:
        """Yield where the prompts are encoded, and how long the first start takes."""
        left = len(self.prompts) - self._embeddings()
        if not left or self.options.text_device == REFUSE:
            refused = f"; {left} are refused, as --text-device {REFUSE} wants" if left else ""
            yield ok("prompts", f"{len(self.prompts) - left} of {len(self.prompts)} are encoded{refused}")
            return
        place = self.text_device(device)
        each = SECONDS_PER_PROMPT[place]
        on, source = ("GPU", "computed") if place == "cuda" else ("processor", "as measured with AVX-512")
        times = f"about {duration(each)} each, {duration(each * left)} for all ({source}); play begins after one"
        yield ok("prompts", f"{left} are encoded on the {on}, {times}")

    def text_device(self, device: torch.device) -> str:
        """Return "cuda" or "cpu", as the text encoder would choose now."""
        given = self.options.text_device
        if given not in (None, AUTO):
            return str(given).split(":")[0]
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
        return "cuda" if free > HEADROOM * TEXT_BYTES else "cpu"

    def _host_memory(self, device: torch.device, dtype: torch.dtype) -> Finding:
        """Return whether host memory holds what is in it at the widest moment: text encoder or generator."""
        row = self.row or CHECKPOINTS[0]
        weights = generator_memory(row.config, row.window).weights // 2
        encodes = self._embeddings() < len(self.prompts) and self.text_device(device) == "cpu"
        text_needs = TEXT_BYTES if encodes else 0
        generator_needs = weights * (dtype.itemsize if device.type == "cpu" else 2 if self.options.offload else 0)
        needed, free = LIBRARIES + max(text_needs, generator_needs), free_memory()
        if free is None:
            return note(
                "host memory", f"{needed / GB:.1f} GB are needed (computed); this system does not tell what is free"
            )
        text = f"{needed / GB:.1f} GB are needed (computed), {free / GB:.1f} GB are free"
        if needed <= free:
            return ok("host memory", text)
        return problem("host memory", text, "close programs")


def bytes_in_play(row: Checkpoint | None, decoder: str, offload: bool) -> int:
    """Return the GPU bytes of a row with a decoder: those of the default row, and what this one needs beyond it."""
    needed = memory_in_play(decoder, offload)
    if row is None:
        return needed
    return needed + generator_memory(row.config, row.window).total - generator_memory(WAN_1_3B, Window()).total


def check_packages() -> Iterator[Finding]:
    """Yield whether the packages of the extra `wan` are installed."""
    versions = {name: version_of(name) for name in PACKAGES}
    if lacking := [name for name, version in versions.items() if version is None]:
        yield problem("packages", f"{', '.join(lacking)} not installed", "pip install 'infrope-env[wan]'")
    else:
        yield ok("packages", ", ".join(f"{name} {version}" for name, version in versions.items()))


def check_disk(needed: int) -> Iterator[Finding]:
    """Yield whether the cache folders can be written and their disk has room for a download."""
    from huggingface_hub import constants

    hub = Path(constants.HF_HUB_CACHE)
    for folder, variable in ((hub, "HF_HOME"), (cache_dir(), "INFROPE_CACHE")):
        if not is_writable(folder):
            yield problem("disk", f"{folder} cannot be written", f"name another folder with {variable}")
    free = free_disk(hub)
    text = f"{free / GB:.1f} GB are free in {hub}, {needed / GB:.1f} GB are needed"
    if needed > free:
        yield problem("disk", text, "free some, or name a folder on another disk with HF_HOME")
    else:
        yield ok("disk", f"{text}; {parts_folder()} takes the fast decoder")
