import time

import pytest

from infrope_env.player.latency import measure_latency
from infrope_env.player.stream import StreamError
from tests.player.fakes import FakeEnv

BLOCK_S = 0.05


def test_a_press_is_answered_after_the_lead_and_at_most_one_block_more() -> None:
    env = FakeEnv(lambda: time.sleep(BLOCK_S))
    env.metadata = {**env.metadata, "render_fps": 60}  # 0.2 s a block
    done: list[int] = []
    receipts = measure_latency(env, presses=6, seed=1, report=done.append)
    latencies = [receipt.latency_s for receipt in receipts]
    assert done == [1, 2, 3, 4, 5, 6] and len(set(latencies)) == 6
    assert all(latency is not None and latency > BLOCK_S for latency in latencies)
    assert sorted(latencies)[3] < 1.0
    for receipt in receipts:
        assert receipt.block is not None and env.actions[receipt.block - 1] == receipt.name


def test_a_block_that_fails_ends_the_measurement() -> None:
    env = FakeEnv()
    env.step = lambda action: (_ for _ in ()).throw(RuntimeError("no memory"))  # type: ignore[method-assign]
    with pytest.raises(StreamError, match="no memory"):
        measure_latency(env, presses=1)
