"""A released generator, from its name or file to a network that plays.

The files are located, mapped and checked, then their tensors are copied one after another into the dtype and onto the
device of play: memory holds the generator once, and a file that is replaced later changes nothing.
"""

from __future__ import annotations

import dataclasses
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
from infrope_env.models.wan.lora import read_update
from infrope_env.models.wan.parts import OWN_GENERATORS, generator_in
from infrope_env.models.wan.store import find_converted, store_converted
from infrope_env.tensor_files import check_fit, fill, read_entries, shapes_of


@dataclass(frozen=True)
class GeneratorFiles:
    """Files of a generator and what they must hold.

    Attributes:
        paths: The generator's file, then its LoRA's if there is one to merge.
        row: Row of a released generator; None for a file that no row describes.
        config: Sizes of the transformer; None infers them from the shapes.
    """

    paths: tuple[Path, ...]
    row: Checkpoint | None = None
    config: ModelConfig | None = None


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
) -> Generator:
    """Load a released generator by name, or one from a file. Downloads nothing.

    Args:
        source: Name or row of `catalog.CHECKPOINTS`, or the path of a .pt or .safetensors file (or its folder) with the
            same parameter names. The shapes of a file without a row give its sizes; its window and sampler are the
            defaults.
        device: Where it plays.
        dtype: Precision that it plays in.
        latent_size: Height and width of a latent frame, by default Wan's 60 x 104. No weight depends on it.

    Raises:
        WeightsError: The generator is not here, cannot be read, or does not fit; the message has the remedy.
    """
    found = CatalogEntry(source) if isinstance(source, Checkpoint) else resolve(source)
    return read_generator(locate_generator(found), device, dtype, latent_size)


def locate_generator(found: WorldFolder | GeneratorSource) -> GeneratorFiles:
    """Return the files of a generator: converted, downloaded, or local; WeightsError where there are none."""
    match found:
        case CatalogEntry(row):
            converted = find_converted(row.name, fixed_revision(row))
            return GeneratorFiles((converted,), row, row.config) if converted else locate_download(row)
        case LocalFile(path):
            return GeneratorFiles((path,))
        case PartsFolder(path):
            inside = generator_in(path)
            if inside is None:
                flat = ", ".join(dict.fromkeys(row.file for row in CHECKPOINTS))
                raise WeightsError(
                    f"{path} holds no generator: expected {' or '.join(OWN_GENERATORS)}, or a released one: {flat}. "
                    f"Put one there, or run 'infrope weights {DEFAULT} --download' and pass weights='{DEFAULT}'."
                )
            released, paths = inside
            return GeneratorFiles(paths, released)
    names = ", ".join(row.name for row in CHECKPOINTS)
    raise WeightsError(f"{found.path} is a world folder, no generator; released generators: {names}.")


def locate_download(row: Checkpoint) -> GeneratorFiles:
    """Return a row's files as they were released; WeightsError when they are not all here."""
    if (paths := find(row)) is None:
        raise WeightsError(
            f"The generator {row.name!r} is not here. Run 'infrope weights {row.name} --download' "
            f"(about {row.disk_bytes / 1e9:.1f} GB), or pass the path of a file."
        )
    return GeneratorFiles(paths, row, row.config)


def open_generator(files: GeneratorFiles) -> tuple[ModelConfig, Iterator[tuple[str, Tensor]]]:
    """Map a generator's files and check that names and shapes fit, else WeightsError.

    Returns:
        Sizes of the transformer, and its weights by the network's names: one after another, with the LoRA merged.
    """
    row, path, *lora_path = files.row, *files.paths
    tensors = plain_state_dict(read_entries(path), USUAL_WRAPPERS if row is None else row.wrappers, path)
    config = files.config or infer_config(shapes_of(tensors), path)
    wanted = transformer_shapes(config)
    check_fit(shapes_of(tensors), wanted, path, describe_config(config))
    if not (lora_path and row and row.lora):
        return config, iter(tensors.items())
    (file,) = lora_path
    update = read_update(read_entries(file), row.lora.wrapper, row.lora.alpha, wanted, file)
    return config, ((name, update.merge(name, tensor)) for name, tensor in tensors.items())


def read_generator(
    files: GeneratorFiles, device: str | torch.device, dtype: torch.dtype, latent_size: tuple[int, int] | None
) -> Generator:
    """Load a generator from located files; arguments and errors as in `load_generator`."""
    config, weights = open_generator(files)
    if latent_size is not None:
        config = dataclasses.replace(config, latent_size=latent_size)
    values = {name: tensor.to(device, dtype, copy=True) for name, tensor in weights}
    transformer = fill(lambda: CausalWanTransformer(config), values, files.paths[0], describe_config(config))
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
