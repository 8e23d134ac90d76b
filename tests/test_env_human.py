"""render_mode="human": what is shown of an environment's blocks, in which thread, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded

from infrope_env.env import InfinityRopeEnv
from infrope_env.player.window import NoDisplayError
from infrope_env.wrappers import FrameByFrame
from tests.env_play import JUMP, STAND, WALK_RIGHT, WAVE, play
from tests.live_fakes import fake_display
from tests.player.real_window import ROOT, x_server

INTERRUPTS = 25


@pytest.fixture
def opened(monkeypatch):
    """The windows that are opened; pixel frames follow each other without pauses."""
    monkeypatch.setattr("infrope_env.env_render.FRAMES_PER_SECOND", 10_000)
    return fake_display(monkeypatch)


@pytest.fixture
def human(tiny_weights, opened):
    return InfinityRopeEnv(weights=str(tiny_weights), device="cpu", render_mode="human")


def test_blocks_are_those_of_an_environment_that_shows_nothing(human, env):
    assert play(human) == play(env)


def test_every_valid_pixel_frame_is_shown_once_and_in_order(human, opened):
    blocks = [human.reset(seed=0)[0][3:], *(human.step(action)[0] for action in (STAND, JUMP))]
    blocks += [human.reset(seed=1)[0][3:], human.step(STAND)[0]]
    human.render()
    human.close()
    human.close()
    (display,) = opened
    assert display.frame_size == (32, 48) and not display.is_open
    assert np.array_equal(display.shown, np.concatenate(blocks))


def test_a_worker_makes_the_blocks_and_the_calling_thread_shows_them(human, monkeypatch):
    threads = []
    make_block = human._make_block
    monkeypatch.setattr(
        human, "_make_block", lambda *a: (threads.append(threading.current_thread()), make_block(*a))[1]
    )
    human.reset(seed=0)
    human.step(STAND)
    assert len(threads) == 2 and threading.main_thread() not in threads
    assert not any(thread.is_alive() for thread in threads)


def test_a_block_is_made_under_the_torch_settings_of_its_caller(tiny_weights, opened):
    arguments = {"weights": str(tiny_weights), "device": "cpu", "dtype": "float32"}
    human, env = InfinityRopeEnv(render_mode="human", **arguments), InfinityRopeEnv(**arguments)
    for each in (human, env):
        each.reset(seed=0)
    with torch.autocast("cpu", torch.bfloat16):
        other = human.step(JUMP)[0]
        assert np.array_equal(other, env.step(JUMP)[0])
    for each in (human, env):
        each.reset(seed=0)
    assert not np.array_equal(human.step(JUMP)[0], other)


def test_a_restored_block_is_shown_at_once_in_place_of_the_rest(human, opened):
    human.reset(seed=0)
    state = human.save_state()
    human.step(STAND)
    observation, _ = human.restore_state(state)
    assert np.array_equal(opened[0].shown[-1], observation[3]) and len(opened[0].shown) == 9 + 1 + 1


def test_an_error_of_the_worker_is_raised_by_step(human, monkeypatch):
    human.reset(seed=0)

    def fail(*_):
        raise MemoryError("the GPU is full")

    with monkeypatch.context() as patch:
        patch.setattr(human._rollout, "generate", fail)
        with pytest.raises(MemoryError, match="the GPU is full"):
            human.step(STAND)
    with pytest.raises(ResetNeeded):
        human.step(STAND)
    human.reset(seed=0)
    human.step(STAND)


def test_without_a_display_nothing_has_changed(tiny_weights, env, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER"):
        monkeypatch.delenv(name, raising=False)
    env.reset(seed=3)
    before = env.newest
    env.render_mode = "human"
    for call in (lambda: env.reset(seed=4), lambda: env.step(STAND)):
        with pytest.raises(NoDisplayError):
            call()
    assert env.newest is before
    env.render_mode = None
    assert env.step(STAND)[-1]["block"] == 1


def test_an_episode_whose_window_was_closed_is_truncated_and_the_next_one_opens_another(tiny_weights, monkeypatch):
    monkeypatch.setattr("infrope_env.env_render.FRAMES_PER_SECOND", 10_000)
    opened = fake_display(monkeypatch, closes_after=12)
    env = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", render_mode="human")
    env.reset(seed=0)
    assert env.step(STAND)[2:4] == (False, False)
    _, _, *ended, info = env.step(STAND)
    assert ended == [False, True] and info["block"] == 2 and not opened[0].is_open
    assert env.step(STAND)[3] and len(opened) == 1  # it stays closed until a reset
    assert len(opened[0].shown) == 12
    env.reset(seed=0)
    assert len(opened) == 2
    env.close()


def test_a_window_that_was_closed_during_a_block_that_failed_stays_closed(tiny_weights, monkeypatch):
    monkeypatch.setattr("infrope_env.env_render.FRAMES_PER_SECOND", 10_000)
    opened = fake_display(monkeypatch, closes_after=1)
    env = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", render_mode="human")
    env.reset(seed=0)
    state = env.save_state()

    def fail(*_):
        time.sleep(0.2)  # the window is closed meanwhile
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(env._rollout, "generate", fail)
        with pytest.raises(MemoryError):
            env.step(STAND)
    env.restore_state(state)
    assert env.step(STAND)[3] and len(opened) == 1


def test_a_window_that_the_program_has_quit_is_opened_again(human, opened):
    human.reset(seed=0)
    opened[0].is_open = False
    assert human.step(STAND)[3] is False and len(opened) == 2
    opened[1].is_open = False
    human.close()


def test_one_pixel_frame_per_step_is_shown_like_whole_blocks(human, opened):
    env = FrameByFrame(human)
    env.reset(seed=0)
    for _ in range(8 + 12 + 12):
        env.step(STAND)
    assert len(opened[0].shown) == 9 + 12 + 1
    env.close()


def test_an_id_with_pictures_as_observations_shows_all_pixel_frames(tiny_weights, opened):
    env = gymnasium.make("infrope/PocketWorldImage-v0", weights=str(tiny_weights), render_mode="human")
    env.reset(seed=0)
    env.step(STAND)
    env.close()
    assert len(opened[0].shown) == 9 + 12


def workers_alive():
    return [thread for thread in threading.enumerate() if thread.name == "infrope block" and thread.is_alive()]


def seen(env):
    """Return what tells two environments apart: the newest block and the one that follows."""
    newest = env.newest[0].tobytes(), env.newest[1]
    return newest, env.step(JUMP)[0].tobytes()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")
def test_ctrl_c_at_any_moment_of_a_block_leaves_a_defined_environment(human, env, monkeypatch):
    def prepare(environment):
        environment.reset(seed=2)
        environment.step(WALK_RIGHT)

    prepare(env)
    undone = seen(env)
    prepare(env)
    env.step(WAVE)
    done = seen(env)
    monkeypatch.setattr("infrope_env.env_render.FRAMES_PER_SECOND", 200)  # a block lasts 60 ms
    monkeypatch.setattr(human, "_renderer", type(human._renderer)((32, 48), "title"))
    before, outcomes = signal.signal(signal.SIGALRM, signal.default_int_handler), set()
    swallowed = 0
    try:
        for moment_s in np.linspace(0.0005, 0.06, INTERRUPTS):
            prepare(human)
            try:
                signal.setitimer(signal.ITIMER_REAL, moment_s)
                human.step(WAVE)
                time.sleep(1)  # the block was shown already
                swallowed += 1  # Python drops an exception that a destructor or a callback of its own meets
            except KeyboardInterrupt:
                pass
            for thread in workers_alive():  # one that was about to begin ends without a block
                thread.join(10)
            assert workers_alive() == []
            if human.newest is None:
                outcomes.add("reset needed")
                with pytest.raises(ResetNeeded):
                    human.step(STAND)
            else:
                after = seen(human)
                assert after in (undone, done)
                outcomes.add("done" if after == done else "undone")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert "done" in outcomes and "reset needed" in outcomes and swallowed <= 2


PROGRAM = """
import json, sys, time
import torch
torch.set_num_threads(1)
import infrope_env
from infrope_env.env import InfinityRopeEnv
from infrope_env.player.window import DisplayWindow
shown, made, real_show = [], [], DisplayWindow.show
DisplayWindow.show = lambda self, frame: (real_show(self, frame), shown.append(time.monotonic()))
class Slow(InfinityRopeEnv):
    def _make_block(self, *arguments):
        began_s = time.monotonic()
        frames = super()._make_block(*arguments)
        time.sleep(max(0, 0.6 - (time.monotonic() - began_s)))
        made.append((began_s, time.monotonic()))
        return frames
env = Slow(weights=sys.argv[1], device="cpu", render_mode="human")
env.reset(seed=0)
for _ in range(4):
    env.step(env.action_space.sample())
env.close()
print(json.dumps([shown, made]))
"""


def test_a_real_window_moves_while_blocks_are_made(tiny_weights: Path):
    with x_server() as display:
        environment = {**os.environ, "DISPLAY": display, "SDL_VIDEODRIVER": "x11", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", PROGRAM, str(tiny_weights)]
        ran = subprocess.run(command, env=environment, cwd=ROOT, text=True, capture_output=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    shown, made = json.loads(ran.stdout.splitlines()[-1])
    assert len(shown) == 9 + 4 * 12
    for began_s, ended_s in made[1:]:
        assert sum(began_s < moment < ended_s for moment in shown) >= 4  # 9 where no other program is running
    assert np.median(np.diff(shown)) == pytest.approx(1 / 16, abs=0.01)
