"""A play session driven by pygame events; tests/test_end_to_end.py has real keys and a real window."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pygame
import pytest

from infrope_env.control.scripted import ScriptedController
from infrope_env.player.session import PlaySession, keyboard_for
from infrope_env.player.stream import StreamError
from infrope_env.player.window import DisplayWindow
from tests.player.fakes import SIZE, FakeEnv

PATIENCE_S = 60


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[DisplayWindow]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = DisplayWindow(SIZE, scale=30)
    yield window
    window.close()


class Game:
    """A running session at 400 pixel frames per second."""

    def __init__(self, window: DisplayWindow) -> None:
        self.env = FakeEnv(lambda: time.sleep(0.01))
        self.problem: str | None = None
        keyboard = keyboard_for(self.env.action_set)
        self.session = PlaySession.of_environment(self.env, keyboard, window, problem=lambda: self.problem)
        self.session.stream.pace.fps = 400
        self.session.stream.start(seed=1)
        self.until(lambda: self.session.shown is not None)

    def until(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, self.session.readout()
            self.session.tick()
            time.sleep(0.001)

    def press(self, key: int, mod: int = 0) -> None:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, mod=mod))

    def release(self, key: int) -> None:
        pygame.event.post(pygame.event.Event(pygame.KEYUP, key=key, mod=0))

    def tap(self, *keys: int) -> None:
        for key in keys:
            self.press(key)
            self.release(key)

    def type(self, text: str) -> None:
        for letter in text:
            self.press(ord(letter))
            pygame.event.post(pygame.event.Event(pygame.TEXTINPUT, text=letter))
            self.release(ord(letter))

    def notice(self) -> str:
        return self.session.readout().notice


@pytest.fixture
def game(window: DisplayWindow) -> Iterator[Game]:
    game = Game(window)
    yield game
    game.session.stream.close()


def test_taps_become_blocks_in_their_order_and_leave_receipts(game: Game) -> None:
    game.tap(pygame.K_SPACE, pygame.K_3, pygame.K_e)
    game.until(lambda: {"jump", "cut_snow", "wave"} <= set(game.env.actions))
    first = game.env.actions.index("jump")
    assert game.env.actions[first : first + 3] == ["jump", "cut_snow", "wave"]
    game.until(lambda: all(receipt.shown_s for receipt in game.session.readout().receipts))
    receipts = game.session.readout().receipts
    assert [(receipt.keys, receipt.name, receipt.block) for receipt in receipts] == [
        (("space",), "jump", first + 1), (("3",), "cut_snow", first + 2), (("e",), "wave", first + 3)
    ]  # fmt: skip


def test_a_key_whose_block_was_replaced_by_a_new_world_leaves_no_receipt(game: Game) -> None:
    under_way, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        under_way.set()
        go_on.wait(PATIENCE_S)

    game.env.work = lambda: wait() if game.env.actions[-1] == "jump" and not go_on.is_set() else time.sleep(0.01)
    game.tap(pygame.K_SPACE)
    game.until(under_way.is_set)
    block = game.env.block
    game.tap(pygame.K_RETURN)
    game.session.tick()
    go_on.set()
    game.until(lambda: game.notice() == "a new world")
    game.until(lambda: game.session.readout().block > block)
    assert game.session.readout().receipts == ()


def test_a_failed_restore_keeps_the_receipts(game: Game) -> None:
    under_way, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        under_way.set()
        go_on.wait(PATIENCE_S)

    game.env.work = lambda: wait() if game.env.actions[-1] == "jump" and not go_on.is_set() else time.sleep(0.01)
    game.tap(pygame.K_SPACE)
    game.until(under_way.is_set)
    game.tap(pygame.K_F9)
    game.session.tick()
    go_on.set()
    game.until(lambda: "nothing to restore" in game.notice())
    game.until(lambda: [receipt.keys for receipt in game.session.readout().receipts if receipt.shown_s] == [("space",)])


def test_a_command_that_is_unfinished_at_the_end_logs_no_error(game: Game, caplog: pytest.LogCaptureFixture) -> None:
    under_way = threading.Event()
    game.env.work = lambda: (under_way.set(), time.sleep(0.3))
    game.until(under_way.is_set)
    game.tap(pygame.K_F9)
    game.session.tick()
    game.session.stream.close()
    assert not caplog.records


def test_losing_the_focus_releases_a_held_key(game: Game) -> None:
    game.press(pygame.K_RIGHT)
    game.until(lambda: game.env.actions[-2:] == ["walk_right", "walk_right"])
    pygame.event.post(pygame.event.Event(pygame.WINDOWFOCUSLOST))
    game.until(lambda: game.env.actions[-2:] == ["stand", "stand"])


def test_keys_are_letters_while_typing_and_the_prompt_reaches_the_environment(game: Game) -> None:
    game.tap(pygame.K_t)
    game.until(lambda: game.session.readout().typed == "")
    game.type("wade 3 hen")
    game.press(pygame.K_BACKSPACE)
    game.until(lambda: game.session.readout().typed == "wade 3 he")
    game.press(pygame.K_RETURN, mod=pygame.KMOD_SHIFT)
    game.until(lambda: game.session.readout().typed is None)
    game.until(lambda: game.session.readout().prompt == "wade 3 he")
    assert ("set_prompt", "wade 3 he", True) in game.env.log
    assert set(game.env.actions) == {"stand"}
    assert game.session.overlay_on and not game.session.stream.paused


def test_a_typed_prompt_survives_the_key_that_was_held_before(game: Game) -> None:
    game.press(pygame.K_RIGHT)
    game.until(lambda: game.env.actions[-1:] == ["walk_right"])
    game.tap(pygame.K_t)
    game.type("a fox")
    game.press(pygame.K_RETURN)
    game.until(lambda: ("set_prompt", "a fox", False) in game.env.log)
    made = len(game.env.actions)
    game.until(lambda: len(game.env.actions) > made + 3)
    assert game.session.readout().prompt == "a fox"


def test_a_refused_prompt_gives_the_reason_and_stays_in_the_text_line(game: Game) -> None:
    game.tap(pygame.K_t)
    game.type("unknown")
    game.press(pygame.K_RETURN)
    game.until(lambda: "does not know" in game.notice())
    assert game.session.readout().typed == "unknown"
    game.tap(pygame.K_ESCAPE)
    game.until(lambda: game.session.readout().typed is None)
    game.session.tick()
    game.session.stream.frame_to_show()  # raises nothing: play continues


def test_f5_saves_and_f9_restores(game: Game) -> None:
    game.tap(pygame.K_F9)
    game.until(lambda: "nothing to restore" in game.notice())
    game.tap(pygame.K_F5)
    game.until(lambda: game.notice().startswith("saved at block"))
    block = int(game.notice().split()[-1])
    made = len(game.env.actions)
    game.until(lambda: len(game.env.actions) > made + 3)
    game.tap(pygame.K_F9)
    game.until(lambda: game.notice() == f"back at block {block}")
    assert ("restore", block) in game.env.log


def test_backspace_steps_back_a_block_each_time(game: Game) -> None:
    game.tap(pygame.K_PERIOD)
    game.until(lambda: game.session.readout().paused)
    block = game.session.readout().block
    for following in range(block + 1, block + 5):
        game.tap(pygame.K_n)
        game.until(lambda following=following: game.session.readout().block == following)
    block += 3
    game.tap(pygame.K_BACKSPACE)
    game.until(lambda: game.notice() == f"stepped back to block {block}")
    game.until(lambda: game.session.readout().block == block)
    game.tap(pygame.K_BACKSPACE, pygame.K_BACKSPACE)
    game.until(lambda: game.notice() == f"stepped back to block {block - 2}")
    game.until(lambda: game.session.readout().block == block - 2)
    for _ in range(block):
        game.tap(pygame.K_BACKSPACE)
    game.until(lambda: game.notice() == "no earlier block is kept")
    assert game.session.readout().block == 0


def test_enter_makes_a_new_world_with_the_same_subject_and_scene(game: Game) -> None:
    game.tap(pygame.K_2)
    game.until(lambda: "cut_desert" in game.env.actions)
    game.tap(pygame.K_RETURN)
    game.until(lambda: game.notice() == "a new world")
    assert ("reset", None, {"subject": "fox", "scene": "desert"}) in game.env.log


@pytest.mark.parametrize("key", [pygame.K_PERIOD, pygame.K_p, pygame.K_PAUSE])
def test_pause_holds_the_block_on_show_and_n_shows_one(game: Game, key: int) -> None:
    game.tap(key)
    game.until(lambda: game.session.readout().paused)
    on_show = game.session.readout().block
    for _ in range(100):
        game.session.tick()
        time.sleep(0.001)
    assert game.session.readout().block == on_show
    game.tap(pygame.K_n)
    game.until(lambda: game.session.readout().block == on_show + 1)
    assert len(game.env.actions) == on_show + 1


def test_a_recording_that_stopped_is_a_notice_and_play_continues(game: Game) -> None:
    game.problem = "The recording stopped: no space left."
    game.until(lambda: game.notice() == "The recording stopped: no space left.")
    made = len(game.env.actions)
    game.until(lambda: len(game.env.actions) > made + 1)


def test_h_hides_the_overlay(game: Game, window: DisplayWindow) -> None:
    game.tap(pygame.K_PERIOD)
    game.until(lambda: game.session.readout().paused)
    game.tap(pygame.K_h)
    game.until(lambda: not game.session.overlay_on)
    for _ in range(100):
        game.session.tick()
        time.sleep(0.001)
    assert (window.screenshot() == game.session.readout().block).all()


def test_escape_ends_the_session(window: DisplayWindow) -> None:
    env = FakeEnv()
    session = PlaySession.of_environment(env, keyboard_for(env.action_set), window)
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE, mod=0))
    session.run(seed=1)


def test_a_script_in_a_window_ends_after_its_last_block(window: DisplayWindow) -> None:
    env = FakeEnv()
    script = ScriptedController.from_text("walk_right*2 jump", env.action_names)
    session = PlaySession.of_environment(env, script, window, blocks=script.total_blocks)
    session.stream.pace.fps = 400
    session.run(seed=1)
    assert env.actions == ["walk_right", "walk_right", "jump"]
    assert session.shown is not None and session.shown.index == 11
    assert np.array_equal(session.shown.pixels, np.full((*SIZE, 3), 3))


def test_a_failing_environment_ends_the_session_with_its_reason(window: DisplayWindow) -> None:
    def fail() -> None:
        raise RuntimeError("the model is gone")

    env = FakeEnv(fail)
    with pytest.raises((StreamError, RuntimeError), match="the model is gone"):
        PlaySession.of_environment(env, keyboard_for(env.action_set), window).run()
