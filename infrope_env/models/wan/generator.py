"""A released generator, from its name or file to a network that plays.

The files are located, mapped and checked, then their tensors are copied one after another into the dtype and onto the
device of play: memory holds the generator once, and a file that is replaced later changes nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from infrope_env.config import ModelConfig, Sampler, Window
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.errors import WeightsError
from infrope_env.models.resolve import CatalogEntry, GeneratorSource, LocalFile, PartsFolder, WorldFolder, resolve
from infrope_env.models.wan.catalog import CHECKPOINTS, DEFAULT, Checkpoint, Lora
from infrope_env.models.wan.checkpoint_layout import USUAL_WRAPPERS, infer_config, plain_state_dict
from infrope_env.models.wan.hub import find, known_sha256
from infrope_env.models.wan.lora import LoraUpdate, read_update
from infrope_env.models.wan.parts import OWN_GENERATORS, generator_in
from infrope_env.models.wan.store import find_converted, read_record, store_converted
from infrope_env.tensor_files import check_fit, fill, read_entries, sha256_of, shapes_of


@dataclass(frozen=True)
class GeneratorFiles:
    """Files of a generator and what they must hold.

    Attributes:
        paths: The generator's file, then its LoRA's if there is one to merge.
        row: Row of a released generator; None for a file that no row describes.
        wrappers: Keys that may hold the generator in the first file.
        config: Sizes of the transformer; None infers them from the shapes.
        lora: Update in the second file.
    """

    paths: tuple[Path, ...]
    row: Checkpoint | None = None
    wrappers: tuple[str, ...] = USUAL_WRAPPERS
    config: ModelConfig | None = None
    lora: Lora | None = None


@dataclass(frozen=True)
class GeneratorTensors:
    """Mapped tensors that fit a config, under the network's names.

    Attributes:
        update: LoRA to merge, if any.
    """

    config: ModelConfig
    tensors: Mapping[str, Tensor]
    path: Path
    update: LoraUpdate | None = None

    def values(self) -> Iterator[tuple[str, Tensor]]:
        """Yield name and tensor, one after another, with the update merged."""
        for name, tensor in self.tensors.items():
            yield name, tensor if self.update is None else self.update.merge(name, tensor)


@dataclass(frozen=True)
class Generator:
    """A loaded generator: its network for play, its default window and denoising steps, and the files it came from."""

    transformer: CausalWanTransformer
    window: Window
    sampler: Sampler
    files: tuple[Path, ...]

    @property
    def config(self) -> ModelConfig:
        """Sizes of the transformer."""
        return self.transformer.config

    def sha256(self) -> dict[str, str]:
        """Return the digest of each file by its name; a file without a known digest is read."""
        return {path.name: known_sha256(path) or sha256_of(path) for path in self.files}


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
    """Return the files of a generator: converted, downloaded, or local.

    Raises:
        WeightsError: They are not here, or `found` is no generator.
    """
    match found:
        case CatalogEntry(row):
            converted = find_converted(row.name, row.revision)
            return locate_download(row) if converted is None else GeneratorFiles((converted,), row, (), row.config)
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
            if released is None:
                return GeneratorFiles(paths)
            return GeneratorFiles(paths, released, released.wrappers, None, released.lora)
    names = ", ".join(row.name for row in CHECKPOINTS)
    raise WeightsError(f"{found.path} is a world folder, no generator; released generators: {names}.")


def locate_download(row: Checkpoint) -> GeneratorFiles:
    """Return a row's files as they were released; WeightsError when they are not all here."""
    fetched = find(row)
    if fetched is None:
        raise WeightsError(
            f"The generator {row.name!r} is not here. Run 'infrope weights {row.name} --download' "
            f"(about {row.disk_bytes / 1e9:.1f} GB), or pass the path of a file."
        )
    return GeneratorFiles(fetched.files, row, row.wrappers, row.config, row.lora)


def open_generator(files: GeneratorFiles) -> GeneratorTensors:
    """Map a generator's files and check that names and shapes fit.

    Raises:
        WeightsError: A file is damaged, carries code, or does not fit.
    """
    path = files.paths[0]
    tensors = plain_state_dict(read_entries(path), files.wrappers, path)
    config = files.config or infer_config(shapes_of(tensors), path)
    wanted = transformer_shapes(config)
    check_fit(shapes_of(tensors), wanted, path, describe_config(config))
    if files.lora is None:
        return GeneratorTensors(config, tensors, path)
    lora_path = files.paths[1]
    update = read_update(read_entries(lora_path), files.lora.wrapper, files.lora.alpha, wanted, lora_path)
    return GeneratorTensors(config, tensors, path, update)


def read_generator(
    files: GeneratorFiles,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    latent_size: tuple[int, int] | None = None,
) -> Generator:
    """Load a generator from located files; arguments and errors as in `load_generator`."""
    opened = open_generator(files)
    config = opened.config if latent_size is None else dataclasses.replace(opened.config, latent_size=latent_size)
    values = {name: tensor.to(device, dtype, copy=True) for name, tensor in opened.values()}
    transformer = fill(lambda: CausalWanTransformer(config), values, opened.path, describe_config(config))
    window, sampler = (files.row.window, files.row.sampler) if files.row else (Window(), Sampler())
    return Generator(transformer, window, sampler, files.paths)


def convert(row: Checkpoint, dtype: torch.dtype = torch.bfloat16) -> Path:
    """Write a downloaded generator to the cache folder as one .safetensors file, its LoRA merged; return the path.

    A file that is there in this dtype stays. WeightsError as from `load_generator`, or when it cannot be written.
    """
    converted = find_converted(row.name, row.revision)
    if converted is not None and read_record(row.name).get("dtype") == str(dtype).removeprefix("torch."):
        return converted
    return store_converted(row.name, open_generator(locate_download(row)).values(), dtype)


def transformer_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every parameter of a transformer, which is not allocated."""
    with torch.device("meta"):
        return shapes_of(CausalWanTransformer(config).state_dict())


def describe_config(config: ModelConfig) -> str:
    """Return for example "a causal Wan DiT of 30 layers, width 1536"."""
    return f"a causal Wan DiT of {config.num_layers} layers, width {config.dim}"
