"""Take a trained generator's weights into a wider one, which then computes nearly the same and has room to learn.

New channels are written to and read a little at first; a new head looks where the first one does and says little.
"""

from __future__ import annotations

from torch import Tensor

QUIET = 0.25
"""How large the first weights of new channels are, beside those of a fresh model."""


def widen(small: dict[str, Tensor], fresh: dict[str, Tensor], head_dim: int) -> dict[str, Tensor]:
    """Weights of the fresh model's size that do what the small ones do.

    Args:
        small: trained weights; those that are as large as the fresh ones stay as they are.
        fresh: first weights of a model with as many layers and more heads of the same width.
        head_dim: width of a head.
    """
    old, new = (weights["transformer.head.modulation"].shape[-1] for weights in (small, fresh))
    wide = {name: _grow(name, small[name], value.clone(), head_dim) for name, value in fresh.items()}
    _keep_normalised(wide, old, (old / new) ** 0.5)
    return wide


def _grow(name: str, small: Tensor, wide: Tensor, head_dim: int) -> Tensor:
    if small.shape == wide.shape:
        return small.clone()
    parts = 6 if "time_projection" in name else 1  # shift, scale and gate, twice, one above the other
    wide, small = (x.unflatten(0, (parts, -1)) for x in (wide, small))
    wide *= QUIET
    wide[tuple(slice(size) for size in small.shape)] = small
    if any(part in name for part in ("attn.q.", "attn.k.", "norm_q", "norm_k")):
        first_head = small[:, :head_dim]
        for start in range(small.shape[1], wide.shape[1], head_dim):
            wide[(slice(None), slice(start, start + head_dim), *(slice(s) for s in small.shape[2:]))] = first_head
    return wide.flatten(0, 1)


def _keep_normalised(wide: dict[str, Tensor], old: int, factor: float) -> None:
    """Layer norms now divide by a deviation that many quiet channels make smaller: scale back what they give."""
    for name, value in wide.items():
        if name.endswith("norm3.weight"):
            value[:old] *= factor
        elif name.endswith("modulation"):  # shift, scale, gate, shift, scale, gate; the head's: shift, scale
            value[:, 1::3, :old] = factor * (1 + value[:, 1::3, :old]) - 1
        elif "time_projection" in name:
            value.unflatten(0, (6, -1))[1::3, :old] *= factor
