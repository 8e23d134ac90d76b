"""The live picture of render_mode="human": when each pixel frame is shown, in simulated time."""

import numpy as np
import pytest

from infrope_env.env_live import LiveView
from tests.live_fakes import FakeTime, fake_display

FRAME_S = 1 / 16
BLOCK_S = 12 * FRAME_S


class FakeWorker:
    """A computation that takes the next of the simulated durations."""

    def __init__(self, clock, durations, compute):
        self.clock, self.took_s, self.compute = clock, durations.pop(0), compute
        self.error, self.stopped, self._end_s = None, False, float("inf")

    def start(self):
        self._end_s = self.clock.now + self.took_s

    @property
    def done(self):
        if self.clock.now < self._end_s - 1e-9:
            return False
        try:
            self.value = self.compute()
        except Exception as error:
            self.error = error
        return True

    def wait(self, timeout_s):
        assert timeout_s > 0
        self.clock.now = max(self.clock.now, min(self.clock.now + timeout_s, self._end_s))
        assert self.done in (True, False)  # computes at the end

    def result(self):
        self.clock.now = max(self.clock.now, self._end_s)
        if not self.done or self.error:
            raise self.error
        return self.value

    def stop(self):
        self.stopped = True


class Player:
    """A program that steps an environment whose blocks take simulated time; block k has pixel values 12 k, ... ."""

    def __init__(self, monkeypatch, durations, closes_after=float("inf")):
        self.clock, self.durations, self.workers = FakeTime(), list(durations), []
        self.opened = fake_display(monkeypatch, clock=lambda _: self.clock.now, closes_after=closes_after)
        monkeypatch.setattr("infrope_env.env_live.time", self.clock)
        monkeypatch.setattr("infrope_env.env_live.Worker", self.worker)
        self.view = LiveView((2, 2), "title", fps=16)
        self.made, self.returned_s = 0, []

    def worker(self, compute):
        self.workers.append(FakeWorker(self.clock, self.durations, compute))
        return self.workers[-1]

    def step(self, count=1, pause_s=0.0):
        for _ in range(count):
            if pause_s:
                self.clock.sleep(pause_s)
            frames = self.view.show_during(lambda: np.arange(12 * self.made, 12 * self.made + 12))
            self.made += 1
            if not self.view.closed:
                self.view.add(frames)
            self.returned_s.append(self.clock.now)

    @property
    def shown(self):
        return [int(frame) for frame in self.opened[0].shown]

    @property
    def gaps(self):
        return np.diff(self.opened[0].times)


def test_pixel_frames_follow_each_other_at_16_fps_while_blocks_are_made(monkeypatch):
    player = Player(monkeypatch, [0.6] * 20)
    player.step(20)
    assert player.shown == list(range(19 * 12 + 1)) and np.allclose(player.gaps, FRAME_S)
    assert np.allclose(np.diff(player.returned_s), BLOCK_S)  # whatever is faster than the block lasts


def test_a_step_returns_with_the_first_pixel_frame_of_its_block_on_show(monkeypatch):
    player = Player(monkeypatch, [0.6] * 3)
    for block in range(3):
        player.step()
        assert player.shown[-1] == 12 * block


def test_the_first_block_is_shown_as_soon_as_it_is_made(monkeypatch):
    player = Player(monkeypatch, [2.0])
    player.step()
    assert player.opened[0].times == [102.0]


def test_a_slow_machine_spreads_the_pixel_frames_evenly(monkeypatch):
    player = Player(monkeypatch, [1.2] * 12)
    player.step(12)
    steady = player.gaps[2 * 12 :]  # nothing is known of the blocks before the second
    assert player.shown == list(range(11 * 12 + 1))
    assert steady.min() > FRAME_S and steady.max() < 1.3 / 12 and np.isclose(np.median(steady), 0.1, atol=0.005)
    assert np.allclose(np.diff(player.returned_s[3:]), 1.2, atol=0.05)  # as fast as the machine allows


def test_a_block_that_takes_longer_than_those_before_it_finds_the_last_pixel_frame_on_show(monkeypatch):
    player = Player(monkeypatch, [0.6, 0.6, 2.0, 0.6, 0.6])
    player.step(5)
    late = player.gaps[2 * 12 - 1]
    assert np.isclose(late, 2.0 - BLOCK_S + FRAME_S) and player.shown == list(range(4 * 12 + 1))
    assert np.allclose(np.delete(player.gaps, 2 * 12 - 1)[: 2 * 12], FRAME_S)


def test_a_block_that_is_ready_early_is_not_kept_waiting_by_slow_ones_before_it(monkeypatch):
    player = Player(monkeypatch, [1.2] * 6 + [0.1])
    player.step(7)
    assert player.returned_s[-1] - player.returned_s[-2] < BLOCK_S + 0.1


@pytest.mark.parametrize("pause_s", [0.02, 0.05])
def test_a_program_that_thinks_for_less_than_a_pixel_frame_delays_nothing(monkeypatch, pause_s):
    player = Player(monkeypatch, [0.6] * 10)
    player.step(10, pause_s)
    assert np.allclose(np.diff(player.returned_s), BLOCK_S) and player.gaps.max() < FRAME_S + pause_s


def test_a_program_that_thinks_for_longer_loses_no_pixel_frame(monkeypatch):
    player = Player(monkeypatch, [0.6] * 5)
    player.step(5, pause_s=3.0)
    assert player.shown == list(range(4 * 12 + 1))
    assert np.allclose(np.sort(player.gaps)[:-4], FRAME_S) and np.allclose(np.sort(player.gaps)[-4:], 3.0)


def test_closing_shows_the_pixel_frames_that_are_left_at_their_pace(monkeypatch):
    player = Player(monkeypatch, [0.6] * 2)
    player.step(2)
    player.view.close()
    assert player.shown == list(range(24)) and np.allclose(player.gaps, FRAME_S)
    assert np.isclose(player.clock.now - player.opened[0].times[-1], FRAME_S) and not player.opened[0].is_open


def test_a_block_that_replaces_another_is_shown_at_once(monkeypatch):
    player = Player(monkeypatch, [0.6] * 2)
    player.step()
    player.clock.sleep(0.01)
    player.view.add(np.arange(500, 512))
    assert player.shown == [0, 500] and np.isclose(player.gaps[-1], 0.01)
    player.step()
    assert player.shown[1:] == [*range(500, 512), 12] and np.allclose(player.gaps[1:], FRAME_S)


def test_an_error_is_raised_at_once_and_the_picture_goes_on_with_the_next_call(monkeypatch):
    player = Player(monkeypatch, [0.6, 0.2, 0.6])
    player.step()
    began_s = player.clock.now

    def fail():
        raise ValueError("unknown word")

    with pytest.raises(ValueError, match="unknown word"):
        player.view.show_during(fail)
    assert np.isclose(player.clock.now - began_s, 0.2) and player.shown == [0, 1, 2, 3]
    player.step()
    assert player.shown == list(range(13))


def test_ctrl_c_stops_the_worker_and_drops_what_has_not_been_shown(monkeypatch):
    player = Player(monkeypatch, [0.6] * 3)
    player.step()
    show = player.opened[0].show

    def interrupted(frame):
        show(frame)
        if frame == 5:
            raise KeyboardInterrupt

    player.opened[0].show = interrupted
    with pytest.raises(KeyboardInterrupt):
        player.step()
    assert player.workers[1].stopped
    player.step()
    assert player.shown == [0, 1, 2, 3, 4, 5, 12]
    player.view.close()


def test_the_window_goes_when_the_player_closes_it_and_the_block_is_made(monkeypatch):
    player = Player(monkeypatch, [0.6] * 2, closes_after=4)
    player.step(2)
    assert player.view.closed and not player.opened[0].is_open and player.made == 2
    assert player.shown == [0, 1, 2, 3] and not player.workers[1].stopped
    player.view.close()
    assert player.shown == [0, 1, 2, 3]
