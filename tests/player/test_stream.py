import threading
import time

import numpy as np
import pytest

from infrope_env.player.pace import Pace
from infrope_env.player.stream import Stream, StreamError
from tests.player.fakes import FakeEnv
from tests.player.simulation import FRAME_S, JUMP, RIGHT, STAND, Simulation

PATIENCE_S = 60


def test_a_fast_model_plays_at_16_pixel_frames_per_second_without_a_gap() -> None:
    simulation = Simulation(0.5).run(10)
    assert np.allclose(simulation.steps(), FRAME_S, atol=0.0021)


def test_a_window_that_polls_late_does_not_shift_later_blocks() -> None:
    simulation = Simulation(0.5)
    simulation.clock.tick_s = 0.013
    starts = [now for now, block, index in simulation.run(20).shown if index == 0 and block > 0]
    assert np.allclose(np.diff(starts).cumsum(), 0.75 * np.arange(1, len(starts)), atol=0.014)


def test_every_valid_pixel_frame_is_shown_once_in_order() -> None:
    shown = [(block, index) for _, block, index in Simulation(0.5).run(6).shown]
    assert shown[:9] == [(0, index) for index in range(9)]
    expected = [(0, index) for index in range(9)] + [(block, i) for block in range(1, 9) for i in range(12)]
    assert shown == expected[: len(shown)] and len(shown) > 60


def test_a_block_begins_as_late_as_recent_blocks_allow() -> None:
    simulation = Simulation(0.3).run(8)
    starts = {block: now for now, block, index in simulation.shown if index == 0}
    leads = [starts[block] - simulation.begun[block - 1] for block in range(2, 9)]
    assert np.allclose(leads, 0.3 + simulation.stream.pace.margin_s, atol=0.003)


def test_a_key_pressed_just_before_the_next_block_begins_is_in_the_very_next_one_shown() -> None:
    simulation = Simulation(0.3).run(4)
    while simulation.begun[-1] + 0.7 > simulation.clock.now:  # the pause between two blocks
        simulation.run(0.001)
    on_show, simulation.action = simulation.shown[-1][1], JUMP
    simulation.run(1.0)
    assert simulation.env.actions[on_show] == "jump"  # block n + 1 is the step of index n


def test_where_the_model_is_slower_the_frames_slow_down_evenly() -> None:
    simulation = Simulation(1.5).run(20)
    expected = (1.5 + simulation.stream.pace.margin_s) / 12
    assert np.allclose(simulation.steps(), expected, atol=0.003)


def test_the_commit_pass_runs_while_frames_are_shown_and_brings_no_block_forward() -> None:
    simulation = Simulation(0.4, commit_s=0.15).run(12)
    assert simulation.env.committed == list(range(len(simulation.env.committed))) and len(simulation.env.committed) > 10
    starts = {block: now for now, block, index in simulation.shown if index == 0}
    leads = [starts[block] - simulation.begun[block - 1] for block in range(2, 9)]
    assert np.allclose(leads, 0.4 + simulation.stream.pace.margin_s, atol=0.003)
    assert np.allclose(simulation.steps(), FRAME_S, atol=0.0021)


def test_where_the_model_is_slower_a_block_lasts_as_long_as_block_and_commit_pass() -> None:
    simulation = Simulation(1.2, commit_s=0.3).run(20)
    expected = (1.5 + simulation.stream.pace.margin_s) / 12
    assert np.allclose(simulation.steps(), expected, atol=0.003)


def test_a_save_comes_before_the_commit_pass_of_the_newest_block() -> None:
    simulation = Simulation(0.3, commit_s=0.2)
    simulation.stream.run_due()
    saved = simulation.stream.save()
    simulation.stream.run_due()
    assert saved.done() and not simulation.env.committed
    simulation.stream.run_due()
    assert simulation.env.committed == [0]


def test_uneven_blocks_rarely_hold_the_picture() -> None:
    random = np.random.default_rng(0)
    times = iter(lambda: float(random.normal(0.5, 0.02)), None)
    steps = Simulation(times).run(120).steps()
    held = steps > FRAME_S + 0.02
    assert held.sum() < 0.05 * len(steps) / 12 and steps.max() < 2 * FRAME_S


def test_the_lead_follows_the_load_of_the_machine_within_seconds() -> None:
    pace = Pace(fps=16)
    leads = []
    for made_s in [0.5] * 20 + [0.7] * 10 + [0.5] * 10:
        pace.add(made_s)
        leads.append(pace.lead_s)
    assert leads[21] >= 0.64 and leads[29] == pytest.approx(0.7 + pace.margin_s)
    assert leads[30 + 8] == pytest.approx(0.5 + pace.margin_s)


def late_blocks(peak_decay: float, seed: int = 0, count: int = 2000) -> tuple[int, float]:
    """Return how many blocks of a machine with varying block times are late, and the mean lead in seconds."""
    times = 0.3 + np.random.default_rng(seed).gamma(2.0, 0.02, count)
    pace, late, leads = Pace(fps=16, margin_s=0.03, peak_decay=peak_decay), 0, []
    for made_s in times:
        leads.append(pace.lead_s)
        late += made_s > pace.lead_s + 0.025
        pace.add(float(made_s))
    return late, float(np.mean(leads[20:]))


def test_a_remembered_peak_leaves_a_third_of_the_late_blocks_for_60_ms_of_lead() -> None:
    (late, lead_s), (late_then, lead_then_s) = late_blocks(0.0), late_blocks(0.98)
    assert late > 20 and late_then < late / 3
    assert 0 < lead_then_s - lead_s < 0.06


def test_a_remembered_peak_fades_and_never_slows_the_frames() -> None:
    pace = Pace(fps=16, peak_decay=0.98)
    for made_s in [0.5] * 10 + [5.0]:
        pace.add(made_s)
    assert pace.lead_s == pytest.approx(0.75 + pace.margin_s) and pace.frame_s(12) == FRAME_S
    for _ in range(400):
        pace.add(0.5)
    assert pace.lead_s == pytest.approx(0.5 + pace.margin_s, abs=0.005)


def test_the_newest_commit_pass_is_known_beside_the_period_which_the_longest_block_does_not_change() -> None:
    pace = Pace(fps=16, peak_decay=0.98)
    assert pace.newest_commit_s == 0
    for made_s, commit_s in [(0.2, 0.06)] * 8 + [(5.0, 0.04)]:
        pace.add(made_s)
        pace.add_commit(commit_s)
    assert pace.newest_commit_s == 0.04 and pace.lead_s > 0.3
    assert pace.period_s == pytest.approx(0.2 + pace.margin_s + 0.06)


def test_a_late_block_prolongs_the_last_picture_and_the_next_blocks_are_on_time() -> None:
    times = iter([0.5] * 30 + [2.0] + [0.5] * 40)
    simulation = Simulation(times).run(40)
    steps = simulation.steps()
    assert (steps > 0.2).sum() == 1
    assert np.allclose(steps[-100:], FRAME_S, atol=0.01)


def test_one_hiccup_does_not_slow_the_pace() -> None:
    pace = Pace(fps=16)
    for made_s in [0.5] * 23 + [5.0]:
        pace.add(made_s)
    assert pace.frame_s(12) == FRAME_S


def test_the_first_block_counts_only_until_there_is_another() -> None:
    pace = Pace(fps=16)
    pace.add(3.0, first=True)
    assert pace.expected_s == 3.0
    pace.add(0.5)
    assert pace.expected_s == 0.5


def test_a_new_world_is_shown_at_once_with_the_same_subject_and_scene() -> None:
    simulation = Simulation(0.3).run(2)
    while simulation.shown[-1][2] != 0:
        simulation.run(0.001)
    asked_at = simulation.clock.now  # a block was begun to be shown, and the next one is not yet made
    answer = simulation.stream.new_world()
    simulation.run(1)
    assert simulation.env.log.count(("reset", None, {"subject": "fox", "scene": "snow"})) == 1
    assert answer.result()["block"] == 0
    shown_at = next(now for now, block, _ in simulation.shown if block == 0 and now > asked_at)
    assert shown_at - asked_at < 0.31


def test_a_new_world_begins_with_the_prompt_of_the_first_reset() -> None:
    stream = Stream(env := FakeEnv(), lambda *_: STAND)
    stream.start(options={"prompt": "a fox waves"}).result(10)
    stream.new_world().result(10)
    stream.close()
    assert env.log[-1] == ("reset", None, {"subject": "fox", "scene": "snow", "prompt": "a fox waves"})


def test_free_prompt_is_true_in_info_before_the_typed_prompt_is_shown() -> None:
    simulation = Simulation(0.3).run(2)
    seen: list[tuple[bool, str]] = []
    simulation.stream.set_prompt("a fox waves")

    def choose(observation: np.ndarray, info: dict) -> int:
        seen.append((info["free_prompt"], info["prompt"]))
        return STAND

    simulation.stream._controller = choose
    simulation.run(1)
    assert seen[0][0] and seen[0][1] != "a fox waves"


def test_a_saved_state_is_restored() -> None:
    simulation = Simulation(0.3).run(3)
    saved = simulation.stream.save()
    simulation.run(3)
    restored = simulation.stream.restore()
    simulation.run(0.1)
    assert restored.result()["block"] == saved.result()["block"]
    simulation.run(1)
    assert simulation.shown[-1][1] == saved.result()["block"] + 1


def test_stepping_back_shows_the_blocks_before_the_one_on_show_and_play_goes_on_there() -> None:
    simulation = Simulation(0.3).run(5)
    on_show = simulation.shown[-1][1]
    assert simulation.env.block in (on_show, on_show + 1)
    back = [simulation.stream.rewind() for _ in range(3)]
    simulation.run(0.1)
    assert [each.result()["block"] for each in back] == [on_show - 1, on_show - 2, on_show - 3]
    assert simulation.shown[-1][1] == on_show - 3
    simulation.run(1.6)
    assert simulation.shown[-1][1] == on_show - 1
    simulation.stream.rewind()
    simulation.run(0.1)
    assert simulation.shown[-1][1] == on_show - 2


def test_stepping_back_counts_from_the_block_on_show_also_when_the_next_one_is_made() -> None:
    simulation = Simulation(0.3).run(4)
    while simulation.env.block == simulation.shown[-1][1]:
        simulation.run(0.001)
    on_show = simulation.shown[-1][1]
    assert simulation.env.block == on_show + 1
    back = simulation.stream.rewind()
    simulation.run(0.01)
    assert back.result()["block"] == on_show - 1


def test_stepping_back_leaves_a_new_world_and_ends_at_the_first_block() -> None:
    simulation = Simulation(0.3).run(3)
    last = simulation.shown[-1][1]
    simulation.stream.new_world()
    simulation.run(0.4)
    assert simulation.shown[-1][1] == 0
    assert simulation.env.block == 0
    simulation.stream.rewind()
    simulation.run(0.1)
    assert last - 1 <= simulation.shown[-1][1] <= last + 1
    back = [simulation.stream.rewind() for _ in range(last + 2)]
    simulation.run(0.1)
    assert simulation.shown[-1][1] == 0
    with pytest.raises(ValueError, match="no earlier block is kept"):
        back[-1].result()


def test_a_paused_player_steps_back_and_stays_paused() -> None:
    simulation = Simulation(0.3).run(4)
    simulation.stream.pause(True)
    simulation.run(1)
    on_show = simulation.shown[-1][1]
    simulation.stream.rewind()
    simulation.run(2)
    assert simulation.stream.paused and simulation.shown[-1][1] == on_show - 1


def test_restoring_without_a_save_is_an_error_of_the_command_only() -> None:
    simulation = Simulation(0.3).run(2)
    answer = simulation.stream.restore()
    simulation.run(2)
    with pytest.raises(ValueError, match="nothing to restore yet"):
        answer.result()
    assert simulation.shown[-1][1] > 2


def test_a_prompt_is_set_between_two_blocks_and_a_refused_one_does_not_stop_the_stream() -> None:
    simulation = Simulation(0.3).run(2)
    accepted, refused = simulation.stream.set_prompt("a fox waves", cut=True), simulation.stream.set_prompt("unknown")
    simulation.run(2)
    assert accepted.result() is None
    assert ("set_prompt", "a fox waves", True) in simulation.env.log
    with pytest.raises(ValueError, match="does not know"):
        refused.result()
    assert simulation.shown[-1][1] > 2


def test_a_rollout_that_ends_is_shown_to_its_end_before_the_next_begins() -> None:
    simulation = Simulation(0.3)
    simulation.env.max_blocks = 3
    simulation.run(5)
    assert [(block, i) for _, block, i in simulation.shown][:34] == [
        *((0, i) for i in range(9)), *((1, i) for i in range(12)), *((2, i) for i in range(12)), (0, 0)
    ]  # fmt: skip


def test_an_error_of_the_first_reset_is_set_on_its_future() -> None:
    stream = Stream(FakeEnv(), lambda observation, info: 0)
    try:
        with pytest.raises(ValueError, match="expected subject"):
            stream.start(options={"subject": "dog"}).result(timeout=10)
    finally:
        stream.close()


# Tests with the real thread and the real clock.


def test_a_thread_generates_the_blocks_and_the_window_never_waits() -> None:
    polls, end = 0, time.monotonic() + PATIENCE_S

    def work() -> None:
        wanted = polls + 5  # no block is finished before the window has looked this often
        while polls < wanted and time.monotonic() < end:
            time.sleep(0.001)

    stream = Stream(FakeEnv(work), lambda observation, info: RIGHT, pace=Pace(fps=64))
    stream.start(seed=1)
    blocks: list[int] = []
    while (not blocks or blocks[-1] < 5) and time.monotonic() < end:
        if frame := stream.frame_to_show():
            blocks.append(frame.block.info["block"])
        polls += 1
        time.sleep(0.002)
    stream.close()
    assert blocks == sorted(blocks) and blocks[-1] == 5
    assert threading.active_count() == 1 or not any("infrope" in thread.name for thread in threading.enumerate())


def poll_for(stream: Stream, seconds: float) -> None:
    """Poll every 2 ms, as a window does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        stream.frame_to_show()
        time.sleep(0.002)


def test_an_error_in_the_worker_is_raised_as_one_sentence_where_frames_are_polled() -> None:
    def fail() -> None:
        if env.block == 2:
            raise RuntimeError("out of\n memory")

    env = FakeEnv(fail)
    stream = Stream(env, lambda observation, info: 0, pace=Pace(fps=1000))
    stream.start()
    with pytest.raises(StreamError, match="Generating the next block failed: out of memory"):
        poll_for(stream, PATIENCE_S)
    stream.close()


def test_closing_waits_for_the_block_being_generated_and_cancels_commands() -> None:
    env = FakeEnv(lambda: time.sleep(0.05))
    stream = Stream(env, lambda observation, info: 0)
    stream.start()
    late = stream.save()
    stream.close()
    made = len(env.log)
    time.sleep(0.1)
    assert len(env.log) == made
    assert late.done() or late.cancelled()
    stream.close()
