"""Experiment: attention maps, the sink's share of attention, and attention across a cut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from examples.ablations.attention_jobs import FIRST_MOTION, SECOND_MOTION, SHARES, AttentionMapJob
from examples.ablations.comparison import Comparison, compare
from examples.ablations.experiment_config import ExperimentConfig
from examples.ablations.job import Jobs, Outcome
from examples.ablations.plot import plot_frame_maps, plot_head_maps
from examples.ablations.report import Section
from examples.ablations.store import Store
from examples.ablations.table import Table, Values
from examples.ablations.variant import resized

LARGE_WINDOW = 12
"""A second window size, large enough to show a band in the map."""
EXPLANATION = (
    f"One motion is kept for {FIRST_MOTION} blocks, another for {SECOND_MOTION}, then a cut follows. Attention weights "
    "of a block's tokens are summed by frame. Each row of the map is a frame and sums to 1 over the visible frames; "
    "white frames are not visible."
)
SHARE_COLUMNS = ("on the sink", "on all cached frames", "on all cached frames, in a cut")


def jobs(config: ExperimentConfig) -> Jobs:
    """Return the recorded rollouts by window size."""
    window, seeds = config.default.window, range(config.seeds)
    variants = {str(size): config.variant(resized(window, size)) for size in (window.size, LARGE_WINDOW)}
    return {"maps": {size: [AttentionMapJob(variant, seed) for seed in seeds] for size, variant in variants.items()}}


def section(config: ExperimentConfig, store: Store, folder: Path) -> Section:
    """Return pictures, a table and comparisons."""
    outcomes = store.load_rows(jobs(config)["maps"])
    default = outcomes[str(config.default.window.size)]
    heads = {name: np.mean([outcome.arrays[name] for outcome in default], axis=0) for name in SHARES}
    titles = ("on the sink", "on all cached frames", "the same, in a cut")
    shares: Values = {
        (size,): {
            column: [outcome.records[0][name] for outcome in row]
            for column, name in zip(SHARE_COLUMNS, SHARES, strict=True)
        }
        for size, row in outcomes.items()
    }
    return Section(
        "Attention",
        [EXPLANATION, sink_heads(heads["sink"], config)],
        [Table.of_values("Share of a block's attention", ("window",), shares)],
        comparisons(default, config),
        {
            "Attention of frames to frames, averaged over layers, heads, passes and tokens; first seed": plot_maps(
                outcomes, config, folder / "ablations_attention.png"
            ),
            "Shares of attention by layer and head": plot_head_maps(
                folder / "ablations_heads.png", dict(zip(titles, heads.values(), strict=True))
            ),
        },
    )


def plot_maps(outcomes: dict[str, list[Outcome]], config: ExperimentConfig, path: Path) -> Path:
    """Plot the maps of the first seed side by side, with marks at the change of prompt and the cut."""
    block = config.default.window.block
    marks = {"prompt changes": float(FIRST_MOTION * block), "cut": float((FIRST_MOTION + SECOND_MOTION) * block)}
    return plot_frame_maps(path, {f"window {size}": (row[0].arrays["map"], marks) for size, row in outcomes.items()})


def sink_heads(shares: np.ndarray, config: ExperimentConfig) -> str:
    """Return a sentence on the heads that give the sink more than twice an equal share of attention."""
    equal = config.default.window.sink / config.default.window.size
    found = [(share, layer, head) for (layer, head), share in np.ndenumerate(shares) if share > 2 * equal]
    names = [f"layer {layer} head {head} ({share:.2f})" for share, layer, head in sorted(found, reverse=True)[:8]]
    if not names:
        return f"No head gives the sink twice its equal share of {equal:.2f}."
    return f"Heads that give the sink more than twice its equal share of {equal:.2f}: {', '.join(names)}."


def comparisons(outcomes: Sequence[Outcome], config: ExperimentConfig) -> list[Comparison]:
    """Compare the sink's share with an equal share, and attention to cached frames in a cut with that before it."""
    window = config.default.window
    sink, context, cut = ([outcome.records[0][name] for outcome in outcomes] for name in SHARES)
    equal = [window.sink / window.size] * len(outcomes)
    # A cut also flushes: scale the usual share to the frames that a flush leaves visible.
    visible = (window.sink + window.kept_on_flush) / (window.sink + window.context)
    before = [share * visible for share in context]
    sink_draws, cut_looks_away = "The sink draws more than its equal share", "A cut's block attends less to the cache"
    share = "share of attention"
    return [
        compare(sink_draws, share, ("sink", sink), ("equal share", equal), better=None),
        compare(cut_looks_away, f"{share} on as many frames", ("cut", cut), ("before", before), better=None),
    ]
