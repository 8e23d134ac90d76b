"""From a file's entries to a plain state dict with the network's own names: which wrapper, which prefixes.

Training leaves marks on names: a wrapper class adds `model.`, sharding, checkpointing and compiling add infixes at any
depth. `MARKS` says what is taken away; nothing else is touched, and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from infrope_env.errors import WeightsError

USUAL_WRAPPERS = ("generator_ema", "generator", "model", "state_dict")
"""Keys looked for in a file that no row describes."""

MARKS = ("_fsdp_wrapped_module.", "_checkpoint_wrapped_module.", "_orig_mod.")
"""Taken out of a name wherever they stand."""

PREFIXES = ("module.", "generator.", "model.", "base_model.model.")
"""Then taken from a name's beginning, in this order, each at most once."""


def plain_state_dict(entries: Mapping[str, object], wrappers: Iterable[str], path: Path) -> dict[str, Tensor]:
    """The network's tensors under the network's names.

    Args:
        entries: of the file.
        wrappers: keys to look under, the best first; with none of them the entries themselves are taken.
        path: of the file, for messages.

    Raises:
        WeightsError: something is no tensor, or two names become one.
    """
    plain: dict[str, Tensor] = {}
    for name, value in unwrap(entries, wrappers, path).items():
        own = plain_name(name)
        if own in plain:
            raise WeightsError(
                f"{path}: two tensors are called {own!r} once prefixes are removed, one of them {name!r}."
            )
        if not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise WeightsError(f"{path}: {own!r} is {kind}, expected floating point. Quantized files are not read.")
        plain[own] = value
    return plain


def plain_name(name: str) -> str:
    """`model._fsdp_wrapped_module.blocks.0._fsdp_wrapped_module.ffn.0.bias` is `blocks.0.ffn.0.bias`."""
    for mark in MARKS:
        name = name.replace(mark, "")
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def unwrap(entries: Mapping[str, object], wrappers: Iterable[str], path: Path) -> dict[str, Tensor]:
    """The tensors under the first wrapper that is there, names as they are."""
    wrappers = tuple(wrappers)
    key = next((key for key in wrappers if isinstance(entries.get(key), Mapping)), None)
    held = entries if key is None else entries[key]
    assert isinstance(held, Mapping)
    tensors = {name: value for name, value in held.items() if isinstance(value, Tensor)}
    if not tensors or len(tensors) < len(held):
        odd = next((str(name) for name, value in held.items() if not isinstance(value, Tensor)), "nothing")
        where = "the file" if key is None else repr(key)
        looked = f" None of {', '.join(wrappers)} is in it." if key is None and wrappers else ""
        raise WeightsError(f"{path}: expected {where} to hold tensors only, it holds {odd!r}.{looked}")
    return tensors
