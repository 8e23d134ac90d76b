"""Measure a pocket world against ground truth: what it shows, after changes and cuts, over a minute, and how fast.

python -m examples.pocket_world.evaluate            (the bundled weights; about half an hour on a busy CPU)
python -m examples.pocket_world.evaluate --quick    (two minutes; wide intervals)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from examples.pocket_world.evaluate.detectors import Detectors
from examples.pocket_world.evaluate.measures import Measure
from examples.pocket_world.evaluate.trials import (
    CutTo,
    HeldRollout,
    Judged,
    Stage,
    Switched,
    codec_psnr,
    expected_speed,
    frozen_prompts,
    held_out_together,
    hold,
    random_play,
    starting_states,
    switch_and_cut,
)
from infrope_env.recording.run_info import RunInfo

BLOCKS_AT_5_S, BLOCKS_AT_60_S, BLOCKS_AT_240_S = 6, 80, 320
"""The block that ends 5 s (81 frames), 60 s (969) and 240 s (3,849) after the start."""


@dataclass(frozen=True)
class Options:
    """Settings.

    Attributes:
        weights: a bundled world's name or a world folder.
        quick: a sixth of the samples or less.
        out: folder for evaluation.md and evaluation.json.
    """

    weights: str = "pocket"
    quick: bool = False
    out: Path = Path("runs/results")


@dataclass(frozen=True)
class Amounts:
    """How many rollouts of each kind, and clips through the codec."""

    short: int
    long: int
    longest: int
    together: int
    prompted: int
    random: int
    bases: int
    clips: int


FULL = Amounts(short=36, long=12, longest=6, together=3, prompted=24, random=2, bases=30, clips=24)
QUICK = Amounts(short=12, long=2, longest=0, together=1, prompted=6, random=0, bases=6, clips=3)


def main(options: Options) -> None:
    """Play everything, then write the report."""
    torch.set_num_threads(1)
    started = time.monotonic()
    env = gymnasium.make("infrope_env:infrope/PocketWorld-v0", weights=options.weights, disable_env_checker=True)
    stage = Stage(env, Detectors.load())
    measures = list(run_trials(stage, QUICK if options.quick else FULL))
    measures += measure_codec(stage, options)
    measures += measure_detectors(Detectors.scores())
    measures.append(median("time of a block (ms), one thread", stage.block_ms))
    report = circumstances(stage, options) | {"minutes": round((time.monotonic() - started) / 60, 1)}
    write(options.out, report, measures)
    env.close()


def run_trials(stage: Stage, amounts: Amounts) -> Iterator[Measure]:
    """All that the environment plays, trial by trial."""
    short_states = list(starting_states(amounts.short, seed=0))
    short = [hold(stage, s, seed, [BLOCKS_AT_5_S]) for seed, s in progress("5 s held", short_states)]
    long_states = list(starting_states(amounts.long, seed=1))
    long = [
        hold(stage, s, 1000 + seed, [BLOCKS_AT_5_S, BLOCKS_AT_60_S]) for seed, s in progress("60 s held", long_states)
    ]
    longest_states = list(starting_states(amounts.longest, seed=4))
    at = [BLOCKS_AT_5_S, BLOCKS_AT_60_S, BLOCKS_AT_240_S]
    longest = [hold(stage, s, 4000 + seed, at) for seed, s in progress("240 s held", longest_states)]
    everyone = short + long + longest
    yield from named_right([r.judged[BLOCKS_AT_5_S] for r in everyone], "at 5 s", 0.99)
    yield from named_right([r.judged[BLOCKS_AT_60_S] for r in long + longest], "at 60 s", 0.98)
    yield from named_right([r.judged[BLOCKS_AT_240_S] for r in longest], "at 240 s", 0.97)
    together = list(held_out_together(amounts.together))
    held = [hold(stage, s, 5000 + seed, [BLOCKS_AT_5_S]) for seed, s in progress("never seen together", together)]
    yield from named_right([r.judged[BLOCKS_AT_5_S] for r in held], "at 5 s, never seen together in training", 0.99)
    prompts = [
        (seed, p, stage.read(p.text, 6000 + seed, BLOCKS_AT_5_S))
        for seed, p in progress("prompts", frozen_prompts()[: amounts.prompted])
    ]
    yield from named_right([stage.judge(block, p) for _, p, block in prompts], "at 5 s, for a sentence typed", None)
    random_states = list(starting_states(amounts.random, seed=2))
    played = [
        judged
        for seed, s in progress("60 s of random play", random_states)
        for judged in random_play(stage, s, 2000 + seed, BLOCKS_AT_60_S)
    ]
    yield from named_right(played, "in blocks of random play, rollouts of 60 s", None)
    bases = list(starting_states(amounts.bases, seed=3))
    tried = [switch_and_cut(stage, s, 3000 + seed) for seed, s in progress("changes and cuts", bases)]
    yield from measure_changes([one for switched, _ in tried for one in switched])
    yield from measure_cuts([one for _, cuts in tried for one in cuts])
    yield from measure_things([r for r in everyone if expected_speed(r.motion)])
    yield from measure_pictures(everyone, longest or long, "240 s" if longest else "60 s")


def named_right(judged: list[Judged], when: str, bar: float | None) -> Iterator[Measure]:
    """One line each for subject, scene and motion; none if nothing was judged."""
    for part in ("subject", "scene", "motion") if judged else ():
        yield Measure.share(f"{part} right {when}", [getattr(one, part) for one in judged], bar)


def measure_changes(switched: list[Switched]) -> Iterator[Measure]:
    """What the first block after an action change shows."""
    pairs = len({(one.before, one.after) for one in switched})
    name = f"after an action change ({pairs} ordered pairs): new motion in the first block"
    yield Measure.share(name, [one.judged.motion for one in switched], 0.95)
    yield Measure.share("after an action change: subject kept", [one.judged.subject for one in switched])
    yield Measure.share("after an action change: scene kept", [one.judged.scene for one in switched])


def measure_cuts(cuts: list[CutTo]) -> Iterator[Measure]:
    """What the first block after a cut shows."""
    yield Measure.share("after a cut: new scene at the first pixel frame", [one.first_frame for one in cuts], 0.95)
    yield Measure.share("after a cut: subject kept", [one.judged.subject for one in cuts], 0.98)
    yield Measure.share("after a cut: motion kept", [one.judged.motion for one in cuts])


def measure_things(walks: list[HeldRollout]) -> Iterator[Measure]:
    """What stands along the way of a walk, in five blocks of each."""
    for seconds, number in ((5, BLOCKS_AT_5_S), (60, BLOCKS_AT_60_S), (240, BLOCKS_AT_240_S)):
        right = [one for r in walks for one in r.things.get(number, [])]
        if right:
            yield Measure.share(f"things along the way in their places, after {seconds} s of walking", right)


def measure_pictures(everyone: list[HeldRollout], long: list[HeldRollout], how_long: str) -> Iterator[Measure]:
    """Scroll, rhythm, height, colour and sharpness of held rollouts; nothing of what fewer than two show."""
    walks = [r for r in everyone if expected_speed(r.motion)]
    lines: list[tuple[str, list[float], tuple[float | None, float | None]]] = [
        (
            "scroll speed of a walk, the way it faces (pixels a frame; 2 is right)",
            [float(np.mean(r.speeds)) * np.sign(expected_speed(r.motion)) for r in walks],
            (1.7, 2.3),
        ),
        (
            "steps a second of a walk, generated / rendered",
            [r.rhythm for r in walks if r.rhythm is not None],
            (0.85, 1.15),
        ),
        (
            "height of a jump, generated / rendered",
            [float(np.mean(r.rises)) for r in everyone if r.rises],
            (0.85, 1.15),
        ),
        (
            "scroll speed in place, either way (pixels a frame; 0 is right)",
            [float(np.mean(np.abs(r.speeds))) for r in everyone if not expected_speed(r.motion)],
            (None, None),
        ),
        (f"colour drift over {how_long} (of 255)", [r.drift for r in long], (None, None)),
        ("the same in rendered frames", [r.true_drift for r in long], (None, None)),
        ("colour drift beyond the rendered one (of 255)", [r.drift - r.true_drift for r in long], (None, 2)),
        ("sharpness, generated / rendered", [r.sharpness for r in everyone], (0.9, 1.1)),
    ]
    for name, values, bar in lines:
        if len(values) > 1:
            yield Measure.mean(name, values, bar)


def measure_codec(stage: Stage, options: Options) -> list[Measure]:
    """Likeness of unseen clips after encoding and decoding."""
    clips = QUICK.clips if options.quick else FULL.clips
    if stage.world_env.model.encoder is None or clips < 2:
        return []
    values = [codec_psnr(stage.world_env.model, seed) for seed, _ in progress("codec", range(clips))]
    return [Measure.mean("codec on unseen clips (PSNR, dB)", values, (31, None))]


def measure_detectors(scores: dict[str, dict[str, float]]) -> Iterator[Measure]:
    """What the judges themselves score on rendered blocks of other seeds, as their training wrote it down."""
    for spoilt, shares in scores.items():
        bar = 0.99 if spoilt == "clean" else 0.95
        for kind, share in shares.items():
            if kind != "blocks":
                count = int(shares["blocks"])
                yield Measure.share(
                    f"detector of {kind} right on rendered blocks, {spoilt}",
                    [True] * round(share * count) + [False] * (count - round(share * count)),
                    bar,
                )


def median(name: str, values: list[float]) -> Measure:
    """A median, with the 5th and 95th percentiles in place of an interval."""
    low, middle, high = (float(np.percentile(values, q)) for q in (5, 50, 95))
    return Measure(f"{name}: median, 5th and 95th percentile", middle, len(values), low, high, (None, 500))


def progress(what: str, items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Number the items, and say where we are."""
    items = list(items)
    for index, item in enumerate(items):
        print(f"{time.strftime('%H:%M:%S')} {what}: {index + 1} of {len(items)}", flush=True)
        yield index, item


def circumstances(stage: Stage, options: Options) -> dict[str, Any]:
    """Machine, command, commit and weights."""
    world = stage.world_env.model
    return {
        "command": " ".join(["python -m examples.pocket_world.evaluate", *sys.argv[1:]]),
        "quick": options.quick,
        "commit": commit(),
        "world": world.name,
        "cpus": os.cpu_count(),
        **asdict(RunInfo.of(world)),
    }


def commit() -> str:
    """The repository's, or where it is unknown, that."""
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def write(folder: Path, report: dict[str, Any], measures: list[Measure]) -> None:
    """Write evaluation.json and evaluation.md, and print the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [asdict(measure) | {"met": measure.met} for measure in measures]
    (folder / "evaluation.json").write_text(json.dumps(report | {"measures": rows}, indent=2) + "\n")
    text = "\n".join([*heading(report), "", *table(measures)]) + "\n"
    (folder / "evaluation.md").write_text(text)
    print(text)


def heading(report: dict[str, Any]) -> list[str]:
    """What was measured, and how."""
    sums = ", ".join(f"{name} {value[:16]}" for name, value in report["weights"].items())
    return [
        f"# The {report['world']} world, measured",
        "",
        f"`{report['command']}`, commit {report['commit']}, {report['minutes']} minutes on {report['device']} "
        f"({report['processor']}, {report['cpus']} processors, {report['threads']} thread used, {report['dtype']}).",
        f"Weights (sha256): {sums}.",
        "*Right* is what the detectors name as it was asked for; *things in their places* are seen where the world has "
        "them, with less than half of their contrast missing. What the detectors themselves score was written down at "
        "their training.",
        "Intervals are 95 %: Wilson's for shares, the standard error's for means. Samples of one rollout count as "
        "independent, so where a rollout gives several the interval is too narrow. *Met*: the value, not the whole "
        "interval, is within the bar.",
    ]


def table(measures: list[Measure]) -> list[str]:
    """Markdown."""
    lines = ["| measure | value | samples | interval | bar | met |", "|---|---|---|---|---|---|"]
    for m in measures:
        verdict = {None: "", True: "yes", False: "no"}[m.met]
        value, low, high = (_digits(number) for number in (m.value, m.low, m.high))
        lines.append(f"| {m.name} | {value} | {m.count} | {low} to {high} | {_bar(*m.bar)} | {verdict} |")
    return lines


def _digits(number: float) -> str:
    """Three that matter."""
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"


def _bar(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    return f"at least {low:g}" if low is not None else f"at most {high:g}" if high is not None else ""
