"""The measurement: the two arms alternate in turns of a few presses, and the one that is not measured is paused."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass, field

import numpy as np
import torch

from examples.key_to_pixel.arms import KEYS, Arm, browser_page, local_window, require_tools
from infrope_env import __version__
from infrope_env.recording.run_info import processor

BLOCK_S = 0.75
SETTLE_BLOCKS = 3
"""Blocks after a pause, before the first press of a turn."""
MOST_MS = 100.0
"""Largest acceptable difference of the browser's median from the window's, in milliseconds."""


@dataclass
class Times:
    """The times of an arm.

    Attributes:
        latencies_ms: Milliseconds from key to pixel.
        lost: Presses without an answer.
    """

    latencies_ms: list[float] = field(default_factory=list)
    lost: int = 0

    def add(self, latency_ms: float | None) -> None:
        """Add a press."""
        if latency_ms is None:
            self.lost += 1
        else:
            self.latencies_ms.append(latency_ms)

    def percentile(self, percent: float) -> float:
        """Return a percentile in milliseconds; nan without any press."""
        return float(np.percentile(self.latencies_ms or [np.nan], percent))


def play_turn(arm: Arm, presses: list[tuple[str, float]], times: Times) -> None:
    """Continue, press keys, each some seconds after the answer to the one before, and pause."""
    arm.pause(False)
    time.sleep(SETTLE_BLOCKS * BLOCK_S)
    for key, delay_s in presses:
        time.sleep(delay_s)
        times.add(arm.press(key))
    arm.pause(True)


def measure(arms: dict[str, Arm], presses: int, turn: int, seed: int) -> dict[str, Times]:
    """Let the arms take turns, in the order A B B A; both get the same keys at the same moments of a block."""
    times, rng = {name: Times() for name in arms}, random.Random(seed)
    for number in range(0, presses, turn):
        plan: list[tuple[str, float]] = []
        for _ in range(min(turn, presses - number)):
            others = [key for key in KEYS if not plan or key != plan[-1][0]]
            plan.append((rng.choice(others), rng.uniform(0.5, 0.5 + BLOCK_S)))
        order = list(arms) if number // turn % 2 == 0 else list(reversed(arms))
        for name in order:
            play_turn(arms[name], plan, times[name])
        print(f"{number + len(plan)} of {presses} presses", flush=True)
    return times


def main(weights: str = "pocket", presses: int = 24, turn: int = 4, seed: int = 0) -> None:
    """Measure the time from key to pixel in the browser and in the local window, in one run on this machine.

    The local window runs under Xvfb with keys of xdotool, the page in headless Chromium with keys of Playwright; the
    server of the page is a process of this machine. They take turns, and the one that waits is paused. Each client
    times its presses itself, from the key event to the first pixel frame of the block that answers it. Run it on a
    machine with nothing else to do: 24 presses take about three minutes.

    Args:
        weights: "pocket" or the path of a world folder.
        presses: Presses in each arm.
        turn: Presses of a turn.
        seed: Seed of the keys and their moments.
    """
    if presses < 1 or turn < 1:
        raise ValueError(f"expected --presses and --turn to be at least 1, got {presses} and {turn}")
    require_tools()
    with local_window(weights) as window:
        window.pause(True)
        with browser_page(weights) as page:
            page.pause(True)
            times = measure({"local window": window, "browser": page}, presses, turn, seed)
    print(f"\n{processor()}, torch {torch.__version__}, infrope {__version__}\n")
    print("| key to pixel | p50 ms | p90 ms | presses | lost |\n|---|---|---|---|---|")
    for name, each in times.items():
        numbers = f"{each.percentile(50):.0f} | {each.percentile(90):.0f} | {len(each.latencies_ms)} | {each.lost}"
        print(f"| {name} | {numbers} |")
    local, browser = times["local window"], times["browser"]
    above_ms = {f"p{percent}": browser.percentile(percent) - local.percentile(percent) for percent in (50, 90)}
    print(f"| browser above window | {above_ms['p50']:+.0f} | {above_ms['p90']:+.0f} | | |\n")
    print(f"The bar is {MOST_MS:.0f} ms at p50: {'met' if above_ms['p50'] <= MOST_MS else 'missed'}.")
    print(json.dumps({name: vars(each) for name, each in times.items()} | {"above_ms": above_ms}))
