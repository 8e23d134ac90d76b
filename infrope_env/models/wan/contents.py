"""What a generator's files hold, checked to fit and not read yet: where they are, which tensors, which update.

Reading is lazy: `Contents.values` hands out one tensor after another, so that nobody needs room for the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from infrope_env.config import ModelConfig
from infrope_env.errors import WeightsError
from infrope_env.models.tensor_files import open_checkpoint
from infrope_env.models.wan.architecture import (
    check_fit,
    expected_shapes,
    infer_config,
    say_architecture,
    shapes_of,
)
from infrope_env.models.wan.catalog import Checkpoint, Lora, find_checkpoint, is_checkpoint
from infrope_env.models.wan.hub import find
from infrope_env.models.wan.layout import USUAL_WRAPPERS, plain_state_dict
from infrope_env.models.wan.lora import LoraUpdate, read_update
from infrope_env.models.wan.store import find_converted


@dataclass(frozen=True)
class Source:
    """Where a generator's tensors are and what they must be.

    Attributes:
        files: the generator, then its LoRA if there is one to merge.
        wrappers: keys under which the first file may hold it.
        config: None is told by the file's shapes.
        lora: what the second file is.
    """

    files: tuple[Path, ...]
    wrappers: tuple[str, ...] = USUAL_WRAPPERS
    config: ModelConfig | None = None
    lora: Lora | None = None


@dataclass(frozen=True)
class Contents:
    """Tensors that fit a config, under the network's names, mapped from their file.

    Attributes:
        update: of a LoRA that is to be merged.
    """

    config: ModelConfig
    tensors: Mapping[str, Tensor]
    update: LoraUpdate | None = None

    def values(self) -> Iterator[tuple[str, Tensor]]:
        """Name and tensor, one after another, updates merged."""
        for name, tensor in self.tensors.items():
            yield name, tensor if self.update is None else self.update.merge(name, tensor)


def as_checkpoint(source: str | Path | Checkpoint) -> Checkpoint | None:
    """The row that is meant, None for a file's path; WeightsError for what is neither."""
    if isinstance(source, Checkpoint):
        return source
    text = str(source)
    return None if Path(text).expanduser().is_file() and not is_checkpoint(text) else find_checkpoint(text)


def locate(source: str | Path | Checkpoint) -> Source:
    """Where a generator's tensors are: converted, as downloaded, or in a file of one's own.

    Raises:
        WeightsError: there is no such name or file, or its files are not here.
    """
    checkpoint = as_checkpoint(source)
    if checkpoint is None:
        return Source((Path(str(source)).expanduser(),))
    converted = find_converted(checkpoint.name, checkpoint.revision)
    return locate_download(checkpoint) if converted is None else Source((converted,), (), checkpoint.config)


def locate_download(checkpoint: Checkpoint) -> Source:
    """Where a row's files are as they were released; WeightsError when they are not all here."""
    fetched = find(checkpoint)
    if fetched is None:
        raise WeightsError(
            f"The generator {checkpoint.name!r} is not here. Run 'infrope weights {checkpoint.name} --download' "
            f"(about {checkpoint.disk_bytes / 1e9:.1f} GB), or pass the path of a file."
        )
    return Source(fetched.files, checkpoint.wrappers, checkpoint.config, checkpoint.lora)


def open_contents(source: Source) -> Contents:
    """Open a source's files and check that names and shapes fit.

    Raises:
        WeightsError: a file is damaged, carries code, or does not fit; names what is missing, unexpected or misshapen.
    """
    path = source.files[0]
    tensors = plain_state_dict(open_checkpoint(path), source.wrappers, path)
    config = source.config or infer_config(shapes_of(tensors), path)
    expected = expected_shapes(config)
    check_fit(shapes_of(tensors), expected, path, say_architecture(config))
    if source.lora is None:
        return Contents(config, tensors)
    wrapper, alpha, second = source.lora.wrapper, source.lora.alpha, source.files[1]
    return Contents(config, tensors, read_update(open_checkpoint(second), wrapper, alpha, expected, second))
