"""A released generator, from its name or its file to a network that plays.

The network is built without values and given the file's, one tensor after another: memory holds the generator once, in
the dtype and on the device it plays in, and never the file beside it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch

from infrope_env.config import ModelConfig, Sampler, Window
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.models.tensor_files import sha256_of
from infrope_env.models.wan.architecture import blank_transformer
from infrope_env.models.wan.catalog import DEFAULT, Checkpoint
from infrope_env.models.wan.contents import (
    Contents,
    Source,
    as_checkpoint,
    locate,
    locate_download,
    open_contents,
)
from infrope_env.models.wan.hub import known_sha256
from infrope_env.models.wan.store import find_converted, keep_converted, read_record


@dataclass(frozen=True)
class Generator:
    """A loaded generator and what it is played with.

    Attributes:
        transformer: in evaluation mode, without gradients.
        files: it was read from.
    """

    transformer: CausalWanTransformer
    window: Window
    sampler: Sampler
    files: tuple[Path, ...]

    @property
    def config(self) -> ModelConfig:
        """Its shape."""
        return self.transformer.config

    def sha256(self) -> dict[str, str]:
        """Of each file by its name; one that neither the hub nor a conversion gave a digest for is read."""
        return {path.name: known_sha256(path) or sha256_of(path) for path in self.files}


def load_generator(
    source: str | Path | Checkpoint = DEFAULT,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    latent_size: tuple[int, int] | None = None,
) -> Generator:
    """Load a released generator by name, or one from a file. Downloads nothing.

    Args:
        source: a name or row of `table.CHECKPOINTS`, or the path of a .pt or .safetensors file of the same parameter
            names, whose architecture its shapes tell and which is played with the default window and sampler.
        device: where it is to play.
        dtype: in which it is to play.
        latent_size: height and width of a latent frame where it is not Wan's 60 x 104; no weight depends on it.

    Raises:
        WeightsError: it is not here, cannot be read, or does not fit; the sentence says what to do.
    """
    return read_generator(locate(source), as_checkpoint(source), device, dtype, latent_size)


def read_generator(
    place: Source,
    row: Checkpoint | None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    latent_size: tuple[int, int] | None = None,
) -> Generator:
    """As `load_generator`, from files that are located already; a row says what they are played with."""
    contents = open_contents(place)
    if latent_size is not None:
        contents = dataclasses.replace(contents, config=dataclasses.replace(contents.config, latent_size=latent_size))
    window, sampler = (row.window, row.sampler) if row else (Window(), Sampler())
    return Generator(_assemble(contents, torch.device(device), dtype), window, sampler, place.files)


def convert(checkpoint: Checkpoint, dtype: torch.dtype = torch.bfloat16) -> Path:
    """Keep a downloaded generator as one file of safetensors in the cache folder, a LoRA merged.

    Done once: what is there in this dtype stays. WeightsError as from `load_generator`, or when it cannot be written.
    """
    converted = find_converted(checkpoint.name, checkpoint.revision)
    if converted is not None and read_record(checkpoint.name).get("dtype") == str(dtype).removeprefix("torch."):
        return converted
    return keep_converted(checkpoint.name, open_contents(locate_download(checkpoint)).values(), dtype)


def _assemble(contents: Contents, device: torch.device, dtype: torch.dtype) -> CausalWanTransformer:
    """A network that owns its values: a file that is replaced later changes nothing."""
    transformer = blank_transformer(contents.config)
    values = {name: tensor.to(device, dtype, copy=True) for name, tensor in contents.values()}
    transformer.load_state_dict(values, assign=True)
    return transformer.eval().requires_grad_(False)
