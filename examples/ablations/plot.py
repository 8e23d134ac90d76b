"""Pictures of numbers. matplotlib is imported where it is needed: it is an extra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from examples.ablations.statistics import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = tuple[Sequence[float], Sequence[Spread]]
"""Where, and how much there."""


def curves(path: Path, panels: Mapping[str, Mapping[str, Curve]], across: str, logarithmic: bool = False) -> Path:
    """Panels side by side, in each some curves by name, with a band for the spread over seeds."""
    figure = _figure(4.6 * len(panels), 3.4)
    for index, (title, named) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), index + 1, title=title, xlabel=across)
        for name, (where, spreads) in named.items():
            _curve(axes, name, where, spreads)
        if logarithmic:
            axes.set_xscale("log")
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
    return _save(figure, path)


def _curve(axes: Axes, name: str, where: Sequence[float], spreads: Sequence[Spread]) -> None:
    mean = np.array([spread.mean for spread in spreads])
    std = np.nan_to_num([spread.std for spread in spreads])
    (line,) = axes.plot(where, mean, marker=".", label=name)
    axes.fill_between(where, mean - std, mean + std, color=line.get_color(), alpha=0.15, linewidth=0)


def frame_maps(path: Path, maps: Mapping[str, tuple[np.ndarray, Mapping[str, float]]]) -> Path:
    """Attention of frames (down) to frames (across), nan left white, with marked rows by name."""
    figure = _figure(5.6 * len(maps), 5.2)
    for index, (title, (shares, marks)) in enumerate(maps.items()):
        axes = figure.add_subplot(1, len(maps), index + 1, title=title, xlabel="frame looked at", ylabel="frame")
        image = axes.imshow(shares, cmap="magma", vmin=0, interpolation="nearest")
        for name, row in marks.items():
            axes.axhline(row - 0.5, color="tab:cyan", linewidth=1)
            axes.text(len(shares) - 0.5, row, name, color="tab:cyan", ha="right", va="top", fontsize=8)
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of attention")
    return _save(figure, path)


def head_maps(path: Path, maps: Mapping[str, np.ndarray]) -> Path:
    """Shares by layer (down) and head (across), with their values."""
    figure = _figure(3.4 * len(maps), 4.2)
    for index, (title, shares) in enumerate(maps.items()):
        axes = figure.add_subplot(1, len(maps), index + 1, title=title, xlabel="head", ylabel="layer")
        axes.imshow(shares, cmap="magma", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(shares.shape[1]))
        axes.set_yticks(range(shares.shape[0]))
        for (layer, head), share in np.ndenumerate(shares):
            colour = "black" if share > 0.6 else "white"
            axes.text(head, layer, f"{share:.2f}", color=colour, ha="center", va="center", fontsize=7)
    return _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('The plots need matplotlib: pip install "infrope-env[examples]"') from error
    return Figure(figsize=(width, height), dpi=110, layout="tight")


def _save(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
