"""Plots. matplotlib is imported on use: it is an optional dependency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from examples.stats import SeedStatistics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Curve = tuple[Sequence[float], Sequence[SeedStatistics]]
"""x values, and the statistics at each."""


def plot_curves(path: Path, panels: Mapping[str, Mapping[str, Curve]], xlabel: str, logarithmic: bool = False) -> Path:
    """Plot panels side by side, each with named curves and a band of one standard deviation; return the path."""
    figure = _figure(4.6 * len(panels), 3.4)
    for index, (title, curves) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), index + 1, title=title, xlabel=xlabel)
        for name, (x, statistics) in curves.items():
            mean = np.array([each.mean for each in statistics])
            std = np.nan_to_num([each.std for each in statistics])
            (line,) = axes.plot(x, mean, marker=".", label=name)
            axes.fill_between(x, mean - std, mean + std, color=line.get_color(), alpha=0.15, linewidth=0)
        if logarithmic:
            axes.set_xscale("log")
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8)
    return _save(figure, path)


def plot_frame_maps(path: Path, maps: Mapping[str, tuple[np.ndarray, Mapping[str, float]]]) -> Path:
    """Plot attention of frames (rows) to frames (columns), nan in white, with marked rows by name; return the path."""
    figure = _figure(5.6 * len(maps), 5.2)
    for index, (title, (shares, marks)) in enumerate(maps.items()):
        axes = figure.add_subplot(1, len(maps), index + 1, title=title, xlabel="attended frame", ylabel="frame")
        image = axes.imshow(shares, cmap="magma", vmin=0, interpolation="nearest")
        for name, row in marks.items():
            axes.axhline(row - 0.5, color="tab:cyan", linewidth=1)
            axes.text(len(shares) - 0.5, row, name, color="tab:cyan", ha="right", va="top", fontsize=8)
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of attention")
    return _save(figure, path)


def plot_head_maps(path: Path, maps: Mapping[str, np.ndarray]) -> Path:
    """Plot shares by layer (rows) and head (columns) with their values; return the path."""
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
