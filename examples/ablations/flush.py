"""Experiment: KV Flush against other cache policies at a change of prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from examples.ablations.comparison import Better, Comparison, compare, compare_with_default
from examples.ablations.experiment_config import ExperimentConfig
from examples.ablations.job import Jobs
from examples.ablations.metrics import seed_values
from examples.ablations.report import Section
from examples.ablations.store import Store
from examples.ablations.switch_jobs import SwitchPolicy
from examples.ablations.table import Table
from examples.stats import median

FULL_CACHE = 21
"""Latent frames of a full cache: a whole training clip."""
MEANS = ("motion right", "blocks until named", "frames until shown", "seam", "subject kept", "scene kept")


def policies(config: ExperimentConfig) -> tuple[SwitchPolicy, ...]:
    """Return every policy at the default window size and with a full cache."""
    rules = (("flush", 1), ("flush", 2), ("none", 1), ("no_cache", 1), ("recache", 1))
    return tuple(
        SwitchPolicy(policy_name(on_switch, kept, size), size, on_switch, kept)
        for size in dict.fromkeys((config.default.window.size, FULL_CACHE))
        for on_switch, kept in rules
    )


def policy_name(on_switch: str, kept: int, size: int) -> str:
    """Return a policy's name in tables."""
    names = {"none": "cross-attention only", "no_cache": "no cache", "recache": "re-cache"}
    return f"{names.get(on_switch, f'flush, keeps {kept}')}, window {size}"


def jobs(config: ExperimentConfig) -> Jobs:
    """Return the changes of motion; the lead fills even the full cache."""
    lead = -(-FULL_CACHE // config.default.window.block)
    row = config.switches(config.default, policies(config), lead, config.sizes.blocks_after, timed=True)
    return {"switches": {"default": row}}


def section(config: ExperimentConfig, store: Store, folder: Path) -> Section:
    """Return a table and comparisons; there are no pictures."""
    records = [store.load(job).records for job in jobs(config)["switches"]["default"]]
    values = {
        policy.name: {metric: seed_values(records, "policy", number, metric) for metric in MEANS}
        | {"ms": seed_values(records, "policy", number, "ms", median)}
        | {"passes": seed_values(records, "policy", number, "passes")}
        for number, policy in enumerate(policies(config))
    }
    table = Table.of_values(
        "After a change of motion", ("at a change of prompt",), {(name,): row for name, row in values.items()}
    )
    return Section("KV Flush", [explanation(config), sliding_note(config)], [table], comparisons(values, config))


def explanation(config: ExperimentConfig) -> str:
    """Return the paragraph on what is measured."""
    return (
        "One motion is kept until even the full cache is full, then another motion is requested. All rows of a window "
        "size continue from the same saved state. *Motion right*: the detector names the new motion in the first "
        "block. *Frames until shown*: pixel frames from the first in which the rendered motions differ until the "
        "subject's features stay nearer to the rendered new motion than to the rendered old one (never: "
        f"{12 * config.sizes.blocks_after}). *Seam*: mean absolute difference between the last pixel frame before the "
        "change and the first after it, minus that of rendered frames, in levels of 255. *ms*: median time of the "
        "first block without text encoding and decoding; *passes*: generator passes in it. Re-caching encodes the "
        "visible frames again under the new prompt, as LongLive does."
    )


def sliding_note(config: ExperimentConfig) -> str:
    """Return a sentence on whether a flush that keeps two frames equals plain sliding at the default window size."""
    window = config.default.window
    if window.context == 2:
        return (
            f"At window {window.size}, a flush that keeps two frames, as the release does, leaves the same frames "
            "visible as plain sliding. Its row and *cross-attention only* are the same method."
        )
    return f"At window {window.size}, a flush that keeps two frames leaves fewer frames visible than plain sliding."


def comparisons(values: Mapping[str, Mapping[str, Sequence[float]]], config: ExperimentConfig) -> list[Comparison]:
    """Compare the flush with the other policies, and the numbers of frames that it keeps."""
    default = config.default.window
    tests: list[tuple[str, str, int, str, Better]] = []
    alone = "A flush shows the new motion sooner than a new prompt alone"
    for size in dict.fromkeys((default.size, FULL_CACHE)):
        tests += [(alone, "none", size, "motion right", "higher"), (alone, "none", size, "frames until shown", "lower")]
    sooner = "A flush shows the new motion sooner than re-caching"
    tests += [
        ("A flush keeps the picture more continuous than an empty cache", "no_cache", default.size, "seam", "lower"),
        ("A flush costs less than re-caching", "recache", default.size, "ms", "lower"),
        (sooner, "recache", default.size, "frames until shown", "lower"),
    ]
    found = []
    for expectation, other, size, metric, better in tests:
        rows = [policy_name(on_switch, 1, size) for on_switch in ("flush", other)]
        first, second = ((name, values[name][metric]) for name in rows)
        found.append(compare(expectation, metric, first, second, better))
    kept = {str(n): values[policy_name("flush", n, FULL_CACHE)]["motion right"] for n in (1, 2)}
    what = f"`flush_context` (window {FULL_CACHE})"
    return [*found, compare_with_default(what, "motion right", str(1 if default.flush_context < 2 else 2), kept)]
