"""The pace of a server: fewer late blocks on a machine that turns slow now and then, and an honest real-time factor."""

from types import SimpleNamespace

import numpy as np
import pytest

from infrope_env.player.pace import Pace
from infrope_env.remote.jitter import LEAST_BUFFER_S
from infrope_env.remote.live_play import MARGIN_S, PEAK_DECAY, LivePlay, _MadeBlock
from infrope_env.remote.metrics import Metrics


def late_blocks(peak_decay: float, count: int = 6000, slow_blocks: int = 40) -> tuple[int, float]:
    """Return the late blocks of a machine that is fast and slow in turns, by half, and the mean lead in seconds."""
    chance, slow = np.random.default_rng(1), False
    pace, late, leads = Pace(fps=16, margin_s=MARGIN_S, peak_decay=peak_decay), 0, []
    for _ in range(count):
        slow ^= chance.random() < 1 / slow_blocks
        made_s = (0.34 if slow else 0.23) + chance.gamma(2, 0.01)
        leads.append(pace.lead_s)
        late += made_s > pace.lead_s + LEAST_BUFFER_S
        pace.add(made_s)
    return late, float(np.mean(leads))


def test_a_long_memory_halves_the_late_blocks_for_25_ms_of_lead() -> None:
    (late, lead_s), (late_before, lead_before_s) = late_blocks(PEAK_DECAY), late_blocks(0.98)
    assert late_before > 8 and late <= late_before / 2
    assert 0 < lead_s - lead_before_s < 0.025


def test_the_realtime_factor_counts_a_block_and_its_commit_pass_whatever_the_longest_block_was() -> None:
    pace, metrics = Pace(fps=16, peak_decay=PEAK_DECAY), Metrics()
    for made_s in [0.2] * 8 + [5.0]:
        pace.add(made_s)
        pace.add_commit(0.05)
    play = object.__new__(LivePlay)
    play._metrics, play._began_s = metrics, None
    play._stream = SimpleNamespace(pace=pace, due_s=lambda: None)  # type: ignore[assignment]
    block = SimpleNamespace(frames=np.zeros((12, 1, 1, 3)), immediate=False)
    play._measure(_MadeBlock(block, made_s=0.0, timings={"total": 200.0}))  # type: ignore[arg-type]
    assert metrics.realtime_factor == pytest.approx(0.75 / 0.25)
