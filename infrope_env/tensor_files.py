"""The one safe reader of tensor files, and the one function that fills a network with weights and checks every shape.

The first bytes of a file distinguish .safetensors from .pt. Only tensors are read; no code in a file runs. Files are
mapped: the bytes of a tensor are read from disk when the tensor is copied or used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import Tensor, nn

from infrope_env.errors import WeightsError
from infrope_env.regular_file import open_regular

Shapes = Mapping[str, tuple[int, ...]]
ZIP, PICKLE = b"PK", b"\x80"
SHOWN = 3  # names of each kind in an error

N = TypeVar("N", bound=nn.Module)


def read_entries(path: Path, *, old_pickles: bool = False) -> Mapping[str, object]:
    """Return the entries of a tensor file: tensors, or tables of them.

    Args:
        path: A .safetensors file or a .pt file.
        old_pickles: Also read the format of torch before 1.6, which is read into memory because it cannot be mapped.

    Raises:
        WeightsError: The file is missing, truncated, of another kind, or needs code to be read.
    """
    try:
        with open_regular(path) as file:
            start = file.read(9)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}.") from error
    if start[8:9] == b"{":  # after the length of a safetensors header
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{path}: truncated or damaged. Get it again. ({error})") from error
    if start.startswith(ZIP) or (start.startswith(PICKLE) and old_pickles):
        return _load_pickle(path, mapped=start.startswith(ZIP))
    if start.startswith(PICKLE):
        raise WeightsError(
            f"{path}: a pickle in torch's format from before 1.6, which cannot be mapped and may carry code. "
            "If you trust it, save its state dict again with today's torch.save, or as safetensors."
        )
    raise WeightsError(f"{path}: neither a .pt nor a .safetensors file. Get it again.")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the named tensors of a file that holds nothing else; errors as in `read_entries`."""
    return only_tensors(read_entries(path, old_pickles=True), path)


def parse_safetensors(data: bytes, path: Path) -> dict[str, Tensor]:
    """Return the tensors in the bytes of a .safetensors file, each in memory of its own; `path` is for the error."""
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise WeightsError(f"{path}: truncated or not a safetensors file ({error}).") from error
    return {name: tensor.clone() for name, tensor in tensors.items()}  # aligned, unlike slices of the bytes


def only_tensors(
    entries: Mapping[str, object], path: Path, table: str = "the file", hint: str = ""
) -> dict[str, Tensor]:
    """Return entries that are all tensors; WeightsError names the first entry of `table` that is not one."""
    tensors = {name: value for name, value in entries.items() if isinstance(value, Tensor)}
    if not tensors or len(tensors) < len(entries):
        other = next((str(name) for name, value in entries.items() if not isinstance(value, Tensor)), "nothing")
        raise WeightsError(f"{path}: expected {table} to hold tensors only, it holds {other!r}.{hint}")
    return tensors


def fill(
    make: Callable[[], N],
    tensors: Mapping[str, Tensor],
    path: Path,
    expected: str,
    remedy: str = "",
    device: str = "meta",
) -> N:
    """Make a network for play from its weights: in evaluation mode, without gradients.

    The caller's random number generators stay as they are.

    Args:
        make: Returns the network. All of its state is in its state dict.
        tensors: The weights; the network uses them without a copy.
        path: Source of the weights, for the error.
        expected: The network in words, for the error.
        remedy: Last sentence of the error.
        device: Where the network is made. By default the meta device, which takes no memory but imports torch's
            compiler at its first arithmetic: a small network is loaded two seconds faster by "cpu".

    Raises:
        WeightsError: Names or shapes differ, or whole numbers stand where fractions are expected.
    """
    with torch.device(device), torch.random.fork_rng(devices=()):
        network = make()
    wanted = network.state_dict()
    check_fit(shapes_of(tensors), shapes_of(wanted), path, expected, remedy)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() != wanted[name].is_floating_point():
            sentence = f"{path}: does not fit {expected}: {name!r} is of {tensor.dtype}, expected {wanted[name].dtype}."
            raise WeightsError(f"{sentence} {remedy}".rstrip())
    network.load_state_dict(tensors, assign=True)
    return network.eval().requires_grad_(False)


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor, by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def check_fit(shapes: Shapes, wanted: Shapes, path: Path, expected: str, remedy: str = "") -> None:
    """Compare the shapes of a file with the wanted ones; `path`, `expected` and `remedy` are for the error, in words.

    Raises:
        WeightsError: Names or shapes differ. The message has counts and the first few of each kind.
    """
    wrong = (f"{n!r} is {shapes[n]}, expected {wanted[n]}" for n in wanted if shapes.get(n, wanted[n]) != wanted[n])
    groups = {
        "missing": _count(repr(name) for name in wanted if name not in shapes),
        "unexpected": _count(repr(name) for name in shapes if name not in wanted),
        "of the wrong shape": _count(wrong),
    }
    found = [f"{count} {kind} ({names})" for kind, (count, names) in groups.items() if count]
    if found:
        sentence = f"{path}: does not fit {expected}: of {len(wanted)} tensors, {', '.join(found)}. {remedy}"
        raise WeightsError(sentence.rstrip())


def sha256_of(path: Path) -> str:
    """Return the hex digest of a file; OSError as in `open_regular`."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load_pickle(path: Path, mapped: bool) -> Mapping[str, object]:
    try:
        entries = torch.load(path, map_location="cpu", mmap=mapped, weights_only=True)
    except UnpicklingError as error:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(str(path)) if mapped else []
        raise WeightsError(
            f"{path}: holds more than tensors ({', '.join(sorted(names)[:SHOWN]) or 'unknown instructions'}), which "
            "reading would have to run. Only tensors are read: if you trust it, save its state dict alone."
        ) from error
    except Exception as error:  # of every kind, from a damaged pickle; torch.load goes by the suffix too
        raise WeightsError(f"{path}: truncated or damaged. Get it again.") from error
    if not isinstance(entries, Mapping):
        raise WeightsError(f"{path}: expected a table of tensors, got {type(entries).__name__}.")
    return entries


def _count(names: Iterable[str]) -> tuple[int, str]:
    """Return the number of names and the first few in one string."""
    found = list(names)
    return len(found), ", ".join(found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
