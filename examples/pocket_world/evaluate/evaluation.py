"""Evaluate a pocket model against ground truth: its frames after 5 to 240 s and after changes and cuts, and its speed.

    python -m examples.pocket_world.evaluate --weights runs/world
    python -m examples.pocket_world.evaluate --quick

The bundled weights are the default. On a CPU without bfloat16 it takes half an hour; `--quick` takes four minutes and
gives wider intervals.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

from examples.pocket_world.evaluate.detectors import WEIGHTS as DETECTORS
from examples.pocket_world.evaluate.detectors import Detectors
from examples.pocket_world.evaluate.report import Measure, git_commit, write
from examples.pocket_world.evaluate.trials import (
    BlockScore,
    CutResult,
    ScoredEnv,
    SeenArrangement,
    SustainedRollout,
    SwitchResult,
    codec_psnr,
    compare_with_truth,
    first_block_right,
    held_out_states,
    random_play,
    seen_arrangements,
    starting_states,
    sustain_motion,
    switch_and_cut,
    typed_prompts,
    walking_speed,
)
from examples.pocket_world.evaluate.truth import TruthErrors
from examples.pocket_world.world.actions import action_set
from examples.pocket_world.world.state import BLOCK_FRAMES, FPS, SCENES
from infrope_env.recording.run_info import RunInfo

BLOCKS_AT_5_S, BLOCKS_AT_60_S, BLOCKS_AT_240_S = 6, 80, 320
"""Number of the block that ends 5 s (81 frames), 60 s (969) and 240 s (3,849) after the start."""


@dataclass(frozen=True)
class Options:
    """Settings of the evaluation.

    Attributes:
        weights: Name of a bundled model, or a world folder.
        dtype: Precision of transformer and decoder; None means one that is fast on this machine.
        precision: "int8" multiplies in 8-bit integers.
        steps: Number of denoising steps; None means the model's own.
        arrangements: Draw the arrangement of every rollout, for weights that know arrangements.
        detectors: File of the detectors. The bundled ones were trained on the default arrangement alone.
        quick: Take a third of the samples or fewer, and leave out rollouts of 240 s and random play.
        out: Folder that receives evaluation.md and evaluation.json.
    """

    weights: str = "pocket"
    dtype: str | None = None
    precision: str | None = None
    steps: int | None = None
    arrangements: bool = False
    detectors: Path = DETECTORS
    quick: bool = False
    out: Path = Path("runs/results")


@dataclass(frozen=True)
class SampleCounts:
    """Number of rollouts of each kind, and of codec clips.

    Attributes:
        short: Rollouts of 5 s with one motion.
        long: Rollouts of 60 s with one motion.
        longest: Rollouts of 240 s with one motion.
        held_out: Rollouts of 5 s for each combination that training never shows.
        prompted: Rollouts of 5 s with a typed prompt.
        random: Rollouts of 60 s of random play.
        bases: Rollouts from which every other motion and every other scene is tried.
        truths: Rollouts of random play of `TRUTH_BLOCKS` blocks that are compared with rendered frames.
        starts: First blocks.
        seeds: Seeds per scene whose arrangement is named, where there are arrangements.
        clips: Clips encoded and decoded.
    """

    short: int
    long: int
    longest: int
    held_out: int
    prompted: int
    random: int
    bases: int
    truths: int
    starts: int
    seeds: int
    clips: int


FULL = SampleCounts(
    short=36, long=12, longest=6, held_out=3, prompted=24, random=2, bases=30, truths=10, starts=180, seeds=50, clips=24
)
QUICK = SampleCounts(
    short=12, long=2, longest=0, held_out=1, prompted=6, random=0, bases=6, truths=3, starts=12, seeds=8, clips=3
)
TRUTH_BLOCKS = 12
LEAST_ARRANGEMENTS = 20
"""Smallest acceptable number of different arrangements in a scene; 50 seeds draw 25 or 26 of the 32 on average."""
TRUTH_BARS = {"whole": 33.0, "band": 34.0, "body": 26.0}
TRUTH_NAMES = {"whole": "whole frame", "band": "2 to 12 pixels around the body", "body": "body"}
"""Areas of `TruthErrors`, their smallest acceptable PSNR in dB, and their labels."""


def main(options: Options) -> None:
    """Run all trials and write the report."""
    torch.set_num_threads(1)
    started = time.monotonic()
    choices = {name: getattr(options, name) for name in ("weights", "dtype", "precision", "steps")}
    choices["actions"] = action_set(options.arrangements)
    gym_env = gymnasium.make("infrope_env:infrope/PocketWorld-v0", **choices, disable_env_checker=True)
    env = ScoredEnv(gym_env, Detectors.load(options.detectors))
    counts = QUICK if options.quick else FULL
    measures = list(run_trials(env, counts))
    measures += measure_codec(env, counts.clips)
    measures += measure_detectors(Detectors.scores(options.detectors))
    measures.append(Measure.median("time of a block (ms), one thread", env.block_ms, at_most=500))
    facts = run_facts(env, options) | {"minutes": round((time.monotonic() - started) / 60, 1)}
    write(options.out, facts, measures)
    gym_env.close()


def run_trials(env: ScoredEnv, counts: SampleCounts) -> Iterator[Measure]:
    """Run every trial that plays the environment, and yield its rows."""
    short = sustained(env, counts.short, 0, [BLOCKS_AT_5_S])
    long = sustained(env, counts.long, 1, [BLOCKS_AT_5_S, BLOCKS_AT_60_S])
    longest = sustained(env, counts.longest, 4, [BLOCKS_AT_5_S, BLOCKS_AT_60_S, BLOCKS_AT_240_S])
    rollouts = short + long + longest
    yield from measure_scores([r.scores[BLOCKS_AT_5_S] for r in rollouts], "at 5 s", 0.99)
    yield from measure_scores([r.scores[BLOCKS_AT_60_S] for r in long + longest], "at 60 s", 0.98)
    yield from measure_scores([r.scores[BLOCKS_AT_240_S] for r in longest], "at 240 s", 0.97)
    held_out = [
        sustain_motion(env, state, 5000 + index, [BLOCKS_AT_5_S])
        for index, state in progress("held-out combinations", held_out_states(counts.held_out, env.arrangements))
    ]
    scores = [r.scores[BLOCKS_AT_5_S] for r in held_out]
    yield from measure_scores(scores, "at 5 s, combinations held out of training", 0.99)
    scores = [
        env.score(env.play_prompt(prompt.text, 6000 + index, BLOCKS_AT_5_S), prompt)
        for index, prompt in progress("typed prompts", typed_prompts()[: counts.prompted])
    ]
    yield from measure_scores(scores, "at 5 s, for a typed prompt", None)
    scores = [
        score
        for index, state in progress("60 s of random play", starting_states(counts.random, 2, env.arrangements))
        for score in random_play(env, state, 2000 + index, BLOCKS_AT_60_S)
    ]
    yield from measure_scores(scores, "in blocks of random play, rollouts of 60 s", None)
    results = [
        switch_and_cut(env, state, 3000 + index)
        for index, state in progress("changes and cuts", starting_states(counts.bases, 3, env.arrangements))
    ]
    yield from measure_switches([switch for switches, _ in results for switch in switches])
    yield from measure_cuts([cut for _, cuts in results for cut in cuts])
    truths = [
        compare_with_truth(env, state, 7000 + index, TRUTH_BLOCKS)
        for index, state in progress(
            "random play beside rendered frames", starting_states(counts.truths, 7, env.arrangements)
        )
    ]
    yield from measure_truth(truths)
    starts = [
        first_block_right(env, state, 8000 + index)
        for index, state in progress("first blocks", starting_states(counts.starts, 8, env.arrangements))
    ]
    yield Measure.share("first block: subject right in every frame, and motion", starts, 0.98)
    if env.arrangements:
        seen = [
            each
            for _, scene in progress("arrangements by seed", SCENES)
            for each in seen_arrangements(env, scene, counts.seeds)
        ]
        yield from measure_arrangements(seen)
    yield from measure_landmarks([r for r in rollouts if walking_speed(r.motion)])
    yield from measure_pictures(rollouts, longest or long, "240 s" if longest else "60 s")


def sustained(env: ScoredEnv, count: int, seed: int, blocks: list[int]) -> list[SustainedRollout]:
    """Play rollouts of one motion each, up to the last of `blocks`; all of these are scored."""
    seconds = BLOCK_FRAMES * (blocks[-1] + 1) // FPS
    states = progress(f"one motion for {seconds} s", starting_states(count, seed, env.arrangements))
    return [sustain_motion(env, state, 1000 * seed + index, blocks) for index, state in states]


def measure_scores(scores: list[BlockScore], when: str, bar: float | None) -> Iterator[Measure]:
    """Yield one row each for subject, scene and motion; none without scores."""
    for part in ("subject", "scene", "motion") if scores else ():
        yield Measure.share(f"{part} right {when}", [getattr(score, part) for score in scores], bar)


def measure_switches(switches: list[SwitchResult]) -> Iterator[Measure]:
    """Yield the rows of the first block after an action change."""
    pairs = len({(switch.before, switch.after) for switch in switches})
    name = f"after an action change ({pairs} ordered pairs): new motion in the first block"
    yield Measure.share(name, [switch.score.motion for switch in switches], 0.95)
    yield Measure.share("after an action change: subject kept", [switch.score.subject for switch in switches])
    yield Measure.share("after an action change: scene kept", [switch.score.scene for switch in switches])


def measure_cuts(cuts: list[CutResult]) -> Iterator[Measure]:
    """Yield the rows of the first block after a cut."""
    yield Measure.share("after a cut: new scene at the first pixel frame", [cut.first_frame for cut in cuts], 0.95)
    yield Measure.share("after a cut: subject kept", [cut.score.subject for cut in cuts], 0.98)
    yield Measure.share("after a cut: motion kept", [cut.score.motion for cut in cuts])


def measure_truth(truths: list[TruthErrors]) -> Iterator[Measure]:
    """Yield PSNR and fine chroma relative to rendered frames, one sample per rollout; no row for fewer than two."""
    if len(truths) < 2:
        return
    for area, bar in TRUTH_BARS.items():
        name = f"random play, PSNR to rendered frames (dB): {TRUTH_NAMES[area]}"
        yield Measure.mean(name, [errors.psnr(area) for errors in truths], (bar, None))
    name = "fine chroma around the body, generated / rendered"
    yield Measure.mean(name, [errors.chroma_ratio for errors in truths])


def measure_arrangements(seen: list[SeenArrangement]) -> Iterator[Measure]:
    """Yield the share of first blocks that show the arrangement of their seed, and how many different ones do."""
    yield Measure.share("first block: arrangement of the seed", [each.seen == each.drawn for each in seen])
    right = [{each.seen for each in seen if each.scene == scene and each.seen == each.drawn} for scene in SCENES]
    seeds = len(seen) // len(SCENES)
    name = f"different arrangements shown rightly, of those that {seeds} seeds draw, mean of the scenes"
    bar = LEAST_ARRANGEMENTS if seeds == FULL.seeds else None
    yield Measure.mean(name, [len(each) for each in right], (bar, None))


def measure_landmarks(walks: list[SustainedRollout]) -> Iterator[Measure]:
    """Yield the share of landmarks in place, over the newest five blocks of each walk."""
    for seconds, number in ((5, BLOCKS_AT_5_S), (60, BLOCKS_AT_60_S), (240, BLOCKS_AT_240_S)):
        in_place = [right for r in walks for right in r.landmarks.get(number, [])]
        if in_place:
            yield Measure.share(f"landmarks in place after {seconds} s of walking", in_place)


def measure_pictures(
    rollouts: list[SustainedRollout], long: list[SustainedRollout], duration: str
) -> Iterator[Measure]:
    """Yield scroll speed, step rate, jump height, colour drift and sharpness; no row for fewer than two samples."""
    walks = [r for r in rollouts if walking_speed(r.motion)]
    rows: list[tuple[str, list[float], tuple[float | None, float | None]]] = [
        (
            "scroll speed of a walk in its direction (pixels per frame; 2 is right)",
            [float(np.mean(r.speeds)) * np.sign(walking_speed(r.motion)) for r in walks],
            (1.7, 2.3),
        ),
        (
            "steps per second of a walk, generated / rendered",
            [r.step_rate_ratio for r in walks if r.step_rate_ratio is not None],
            (0.85, 1.15),
        ),
        (
            "height of a jump, generated / rendered",
            [float(np.mean(r.jump_height_ratios)) for r in rollouts if r.jump_height_ratios],
            (0.85, 1.15),
        ),
        (
            "absolute scroll speed of other motions (pixels per frame; 0 is right)",
            [float(np.mean(np.abs(r.speeds))) for r in rollouts if not walking_speed(r.motion)],
            (None, None),
        ),
        (f"colour drift over {duration}, generated (of 255)", [r.drift for r in long], (None, None)),
        (f"colour drift over {duration}, rendered (of 255)", [r.rendered_drift for r in long], (None, None)),
        (
            f"colour drift over {duration}, generated - rendered (of 255)",
            [r.drift - r.rendered_drift for r in long],
            (None, 2),
        ),
        ("sharpness, generated / rendered", [r.sharpness for r in rollouts], (0.9, 1.1)),
    ]
    for name, values, bar in rows:
        if len(values) > 1:
            yield Measure.mean(name, values, bar)


def measure_codec(env: ScoredEnv, clips: int) -> list[Measure]:
    """Return the row of the codec's PSNR on clips of evaluation seeds; none for a model without an encoder."""
    if env.inner.model.encoder is None or clips < 2:
        return []
    values = [codec_psnr(env.inner.model, seed, env.arrangements) for seed, _ in progress("codec", range(clips))]
    return [Measure.mean("codec on unseen clips (PSNR, dB)", values, (31, None))]


def measure_detectors(scores: dict[str, dict[str, float]]) -> Iterator[Measure]:
    """Yield the detectors' own scores on rendered blocks, as their training recorded them."""
    for condition, shares in scores.items():
        bar = 0.99 if condition == "clean" else 0.95
        for kind, share in shares.items():
            if kind != "blocks":
                count = int(shares["blocks"])
                yield Measure.share(
                    f"{kind} detector right on rendered blocks, {condition}",
                    [True] * round(share * count) + [False] * (count - round(share * count)),
                    bar,
                )


def progress(label: str, items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Enumerate items and print a line for each."""
    items = list(items)
    for index, item in enumerate(items):
        print(f"{time.strftime('%H:%M:%S')} {label}: {index + 1} of {len(items)}", flush=True)
        yield index, item


def run_facts(env: ScoredEnv, options: Options) -> dict[str, Any]:
    """Return command, commit, machine and weights of this run."""
    model = env.inner.model
    return {
        "command": " ".join(["python -m examples.pocket_world.evaluate", *sys.argv[1:]]),
        "quick": options.quick,
        "commit": git_commit(),
        "world": model.name,
        "cpus": os.cpu_count(),
        **asdict(RunInfo.of(model)),
    }
