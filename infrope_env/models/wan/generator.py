"""A released generator, from its name or file to a network that plays.

The files are located, mapped and checked, then their tensors are copied one after another into the dtype and onto the
device of play: memory holds the generator once, and a file that is replaced later changes nothing.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from infrope_env.config import ModelConfig, Sampler, Window
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.errors import WeightsError
from infrope_env.models.resolve import CatalogEntry, GeneratorSource, LocalFile, PartsFolder, WorldFolder, resolve
from infrope_env.models.wan.catalog import CHECKPOINTS, DEFAULT, Checkpoint
from infrope_env.models.wan.checkpoint_layout import USUAL_WRAPPERS, infer_config, plain_state_dict
from infrope_env.models.wan.hub import find, fixed_revision, record
from infrope_env.models.wan.lora import LoraUpdate, find_own, read_own_update, read_update
from infrope_env.models.wan.recognition import OWN_GENERATORS, FoundGenerator, generator_in, is_released_lora, recognise
from infrope_env.models.wan.shards import read_shards, shards_of
from infrope_env.models.wan.store import find_converted, store_converted
from infrope_env.tensor_files import Shapes, check_fit, fill, read_entries, shapes_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GeneratorFiles:
    """Files of a generator and what they must hold.

    Attributes:
        weights: The generator's file, or its shards.
        row: Row of a released generator; None for a file that no row describes.
        config: Sizes of the transformer; None infers them from the shapes.
        lora: File of the row's LoRA, if it is to be merged.
        own_lora: File of a LoRA that the user gave, merged after the row's.
        note: How a file that was given by its path is played, one sentence, or empty.
        doubt: What the user may not expect of it, likewise.
    """

    weights: tuple[Path, ...]
    row: Checkpoint | None = None
    config: ModelConfig | None = None
    lora: Path | None = None
    own_lora: Path | None = None
    note: str = ""
    doubt: str = ""

    @property
    def released(self) -> tuple[Path, ...]:
        """The generator's files, then its row's LoRA if there is one to merge."""
        return (*self.weights, *((self.lora,) if self.lora else ()))

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files."""
        return (*self.released, *((self.own_lora,) if self.own_lora else ()))


@dataclass(frozen=True)
class Generator:
    """A loaded generator: its network for play, its default window and its denoising steps."""

    transformer: CausalWanTransformer
    window: Window
    sampler: Sampler


def load_generator(
    source: str | Path | Checkpoint = DEFAULT,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    latent_size: tuple[int, int] | None = None,
    lora: str | Path | None = None,
) -> Generator:
    """Load a released generator by name, or one from a file. Downloads nothing.

    Args:
        source: Name or row of `catalog.CHECKPOINTS`, or the path of a .pt or .safetensors file (or its folder) with
            Wan's or diffusers' parameter names. A released file is recognised, or named: "longlive@path". The shapes of
            any other file give its sizes; its window and sampler are the defaults.
        device: Where it plays.
        dtype: Precision that it plays in.
        latent_size: Height and width of a latent frame, by default Wan's 60 x 104. No weight depends on it.
        lora: File or folder of a LoRA to merge, for all linear layers or some.

    Raises:
        WeightsError: The generator is not here, cannot be read, or does not fit; the message has the remedy.
    """
    found = CatalogEntry(source) if isinstance(source, Checkpoint) else resolve(source)
    return read_generator(locate_generator(found, lora), device, dtype, latent_size)


def locate_generator(found: WorldFolder | GeneratorSource, lora: str | Path | None = None) -> GeneratorFiles:
    """Return the files of a generator and of a LoRA of the user's; WeightsError where there are none."""
    files = _locate(found)
    if lora is None:
        return files
    path = find_own(lora)
    if files.row is None or not is_released_lora(files.row, path):
        return dataclasses.replace(files, own_lora=path)
    if files.lora is not None or isinstance(found, CatalogEntry):
        return dataclasses.replace(files, note=f"{path} is the LoRA of {files.row.name!r} itself: it is merged once")
    return dataclasses.replace(files, lora=path, doubt="")


def _locate(found: WorldFolder | GeneratorSource) -> GeneratorFiles:
    """Return the files of a generator: converted, downloaded, or local; WeightsError where there are none."""
    match found:
        case CatalogEntry(row):
            converted = find_converted(row.name, fixed_revision(row))
            return GeneratorFiles((converted,), row, row.config) if converted else locate_download(row)
        case LocalFile(path, row):
            return _as_files(recognise(path, row))
        case PartsFolder(path):
            inside = generator_in(path)
            if inside is None:
                flat = ", ".join(dict.fromkeys(row.file for row in CHECKPOINTS))
                raise WeightsError(
                    f"{path} holds no generator: expected {' or '.join(OWN_GENERATORS)}, or a released one: {flat}. "
                    f"Put one there, or run 'infrope weights {DEFAULT} --download' and pass weights='{DEFAULT}'."
                )
            return _as_files(inside)
    names = ", ".join(row.name for row in CHECKPOINTS)
    raise WeightsError(f"{found.path} is a world folder, no generator; released generators: {names}.")


def _as_files(found: FoundGenerator) -> GeneratorFiles:
    return GeneratorFiles(shards_of(found.path), found.row, lora=found.lora, note=found.note, doubt=found.doubt)


def locate_download(row: Checkpoint) -> GeneratorFiles:
    """Return a row's files as they were released; WeightsError when they are not all here."""
    if (paths := find(row)) is None:
        raise WeightsError(
            f"The generator {row.name!r} is not here. Run 'infrope weights {row.name} --download' "
            f"(about {row.disk_bytes / 1e9:.1f} GB), or pass the path of a file."
        )
    return GeneratorFiles(paths[:1], row, row.config, lora=paths[1] if row.lora else None)


def open_generator(files: GeneratorFiles) -> tuple[ModelConfig, Iterator[tuple[str, Tensor]]]:
    """Map a generator's files and check that names and shapes fit, else WeightsError.

    Returns:
        Sizes of the transformer, and its weights by the network's names: one after another, with the LoRA merged.
    """
    row, path = files.row, files.weights[0]
    tensors = plain_state_dict(read_shards(files.weights), USUAL_WRAPPERS if row is None else row.wrappers, path)
    config = files.config or infer_config(shapes_of(tensors), path)
    wanted = transformer_shapes(config)
    check_fit(shapes_of(tensors), wanted, path, describe_config(config))
    return config, _merged(tensors, list(_read_updates(files, wanted)))


def _read_updates(files: GeneratorFiles, model_shapes: Shapes) -> Iterator[LoraUpdate]:
    """Yield the row's LoRA and the user's, checked."""
    if files.lora is not None and files.row is not None and files.row.lora is not None:
        lora = files.row.lora
        yield read_update(read_entries(files.lora), lora.wrapper, lora.alpha, model_shapes, files.lora)
    if files.own_lora is not None:
        update = read_own_update(files.own_lora, model_shapes)
        logger.info("merging the LoRA %s: %s", files.own_lora, update.describe())
        yield update


def _merged(tensors: dict[str, Tensor], updates: list[LoraUpdate]) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights one after another, updated."""
    for name, tensor in tensors.items():
        for update in updates:
            tensor = update.merge(name, tensor)
        yield name, tensor


def read_generator(
    files: GeneratorFiles, device: str | torch.device, dtype: torch.dtype, latent_size: tuple[int, int] | None
) -> Generator:
    """Load a generator from located files; arguments and errors as in `load_generator`."""
    if files.note:
        logger.info("%s", files.note)
    if files.doubt:
        logger.warning("%s", files.doubt)
    config, weights = open_generator(files)
    if latent_size is not None:
        config = dataclasses.replace(config, latent_size=latent_size)
    values = {name: tensor.to(device, dtype, copy=True) for name, tensor in weights}
    transformer = fill(lambda: CausalWanTransformer(config), values, files.weights[0], describe_config(config))
    window, sampler = (files.row.window, files.row.sampler) if files.row else (Window(), Sampler())
    return Generator(transformer, window, sampler)


def convert(row: Checkpoint) -> Path:
    """Write a downloaded generator to the cache folder as one .safetensors file in bfloat16, its LoRA merged.

    A file that is there stays. WeightsError as from `load_generator`, or when it cannot be written.
    """
    if converted := find_converted(row.name, fixed_revision(row)):
        return converted
    files = locate_download(row)
    record(row, files.paths)
    return store_converted(row.name, open_generator(files)[1])


def transformer_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every parameter of a transformer, which is not allocated."""
    with torch.device("meta"):
        return shapes_of(CausalWanTransformer(config).state_dict())


def describe_config(config: ModelConfig) -> str:
    """Return for example "a causal Wan DiT of 30 layers, width 1536"."""
    return f"a causal Wan DiT of {config.num_layers} layers, width {config.dim}"
