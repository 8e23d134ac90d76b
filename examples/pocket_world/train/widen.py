"""Initialise a wide generator from a narrower trained one, so that it computes nearly the same at first.

New channels get small weights, and new heads copy the queries and keys of the first head with small output weights.
"""

from __future__ import annotations

from torch import Tensor

NEW_CHANNEL_SCALE = 0.25
"""Factor on the initial weights of new channels, relative to a fresh model."""


def widen(small: dict[str, Tensor], fresh: dict[str, Tensor], head_dim: int) -> dict[str, Tensor]:
    """Return weights of the fresh model's size that compute nearly what the small ones do.

    Args:
        small: Trained weights; tensors as large as the fresh ones are copied.
        fresh: Initial weights of a model with as many layers and more heads of the same width.
        head_dim: Width of a head.
    """
    old, new = (weights["transformer.head.modulation"].shape[-1] for weights in (small, fresh))
    wide = {name: _grow(name, small[name], value.clone(), head_dim) for name, value in fresh.items()}
    _rescale_normalised(wide, old, (old / new) ** 0.5)
    return wide


def _grow(name: str, small: Tensor, wide: Tensor, head_dim: int) -> Tensor:
    if small.shape == wide.shape:
        return small.clone()
    parts = 6 if "time_projection" in name else 1  # shift, scale and gate, twice, stacked along the rows
    wide, small = (x.unflatten(0, (parts, -1)) for x in (wide, small))
    wide *= NEW_CHANNEL_SCALE
    wide[tuple(slice(size) for size in small.shape)] = small
    if any(part in name for part in ("attn.q.", "attn.k.", "norm_q", "norm_k")):
        first_head = small[:, :head_dim]
        for start in range(small.shape[1], wide.shape[1], head_dim):
            wide[(slice(None), slice(start, start + head_dim), *(slice(s) for s in small.shape[2:]))] = first_head
    return wide.flatten(0, 1)


def _rescale_normalised(wide: dict[str, Tensor], old: int, factor: float) -> None:
    """Scale down what layer norms pass on: small new channels lower the deviation that they divide by."""
    for name, value in wide.items():
        if name.endswith("norm3.weight"):
            value[:old] *= factor
        elif name.endswith("modulation"):  # shift, scale, gate, shift, scale, gate; the head's: shift, scale
            value[:, 1::3, :old] = factor * (1 + value[:, 1::3, :old]) - 1
        elif "time_projection" in name:
            value.unflatten(0, (6, -1))[1::3, :old] *= factor
