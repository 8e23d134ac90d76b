"""The inspector: what it draws of a block, what it costs, and real keys in a real window."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pygame
import pytest

from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.control.keyboard import KeyboardController
from infrope_env.dynamics.attention_mass import AttentionProbe
from infrope_env.dynamics.context_strip import ContextStrip
from infrope_env.dynamics.coordinates import lay_out
from infrope_env.env import InfinityRopeEnv
from infrope_env.player.inspection import Cell, Inspection, cells_of
from infrope_env.player.inspector import Inspector
from infrope_env.player.session import PlaySession, keyboard_for
from infrope_env.player.stream import Stream
from infrope_env.player.window import DisplayWindow
from tests.env_play import ACTIONS, play
from tests.player.fakes import FakeClock, FakeEnv
from tests.player.played_window import PlayedWindow
from tests.player.real_window import x_server

CACHED = (0, 8, 9, 10, 11, 12)


def strip(transition: Transition, cached: tuple[int, ...] = CACHED, window: Window | None = None) -> ContextStrip:
    window = window or Window()
    layout = lay_out(cached, transition, window)
    seen = len(layout.slots) + window.block
    visible = tuple(cached[slot] for slot in layout.slots)
    return ContextStrip.of(5, transition, cached, visible, layout, window, (1 / seen,) * seen)


def inspection(transition: Transition, **changes: object) -> Inspection:
    seen = strip(transition, **changes)  # type: ignore[arg-type]
    pictures = {frame: np.full((96, 160, 3), 40 + 3 * frame, np.uint8) for frame in (*seen.cached, *seen.own)}
    return Inspection(5, transition.value, cells_of(seen), pictures)


def with_masses(content: Inspection, *masses: float | None) -> Inspection:
    cells = [replace(cell, mass=mass) for cell, mass in zip(content.visible, masses, strict=True)]
    return replace(content, cells=tuple(cells))


def test_the_cells_are_the_layout_with_dropped_frames_between_and_a_mark_where_a_cut_put_the_block() -> None:
    walk, flush, cut = (cells_of(strip(each)) for each in (Transition.CONTINUE, Transition.SWITCH, Transition.CUT))
    assert [(cell.frame, cell.coordinate) for cell in walk] == list(zip((0, 11, 12, 15, 16, 17), range(6), strict=True))
    assert flush[:3] == (Cell(0, "sink", 0, 0.2), Cell(11, "dropped"), Cell(12, "context", 1, 0.2))
    assert [cell.coordinate for cell in cut] == [0, None, 1, 45, 46, 47]
    assert [cell.jump for cell in cut] == [False, False, False, True, False, False]
    assert not any(cell.jump for cell in (*walk, *flush))


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[DisplayWindow]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = DisplayWindow((96, 160))
    yield window
    window.close()


FRAME = np.full((96, 160, 3), 90, np.uint8)


def drawn(window: DisplayWindow, content: Inspection | None) -> np.ndarray:
    window.show(FRAME, lambda surface: Inspector().draw(surface, content))
    return window.screenshot()


def test_walk_flush_and_cut_are_three_pictures_below_the_middle(window: DisplayWindow) -> None:
    shots = [drawn(window, inspection(each)) for each in (Transition.CONTINUE, Transition.SWITCH, Transition.CUT)]
    assert len({shot.tobytes() for shot in shots}) == 3
    assert all((shot[: len(shot) // 2] == 90).all() for shot in shots)


def test_the_bars_follow_the_attention_mass(window: DisplayWindow) -> None:
    even = inspection(Transition.CONTINUE)
    uneven, unmeasured = with_masses(even, 0.4, 0.1, 0.1, 0.2, 0.1, 0.1), with_masses(even, *[None] * 6)
    assert even.is_measured and not unmeasured.is_measured
    assert len({drawn(window, each).tobytes() for each in (even, uneven, unmeasured)}) == 3


@pytest.mark.parametrize("size", [(1, 1), (160, 96), (220, 170), (320, 192), (900, 200), (960, 576), (1920, 1080)])
@pytest.mark.parametrize("frames", [6, 21])
def test_the_strip_fits_any_window_and_leaves_room_above(
    window: DisplayWindow, size: tuple[int, int], frames: int
) -> None:
    pygame.display.set_mode(size, pygame.RESIZABLE)
    cached = tuple(range(frames))
    content = inspection(Transition.CUT, cached=cached, window=Window.from_size(frames))
    surface = pygame.display.get_surface()
    assert surface is not None
    top = Inspector().draw(surface, content)
    assert 0 < top <= size[1] and Inspector().draw(surface, None) <= size[1]
    assert top == size[1] or top >= size[1] * 0.2


def test_a_block_keeps_the_pictures_of_what_is_cached() -> None:
    first = ContextStrip.of(0, Transition.START, (), (), lay_out((), Transition.START, Window()), Window())
    observation = np.arange(12, dtype=np.uint8)[:, None, None, None] * np.ones((1, 480, 832, 3), np.uint8)
    before = Inspection.of(first, observation, None)
    assert {frame: picture[0, 0, 0] for frame, picture in before.thumbnails.items()} == {0: 3, 1: 7, 2: 11}
    assert before.thumbnails[0].shape == (80, 139, 3)
    layout = lay_out((0, 1, 2), Transition.CONTINUE, Window())
    second = ContextStrip.of(1, Transition.CONTINUE, (0, 1, 2), (0, 1, 2), layout, Window())
    after = Inspection.of(second, observation + 100, before)
    assert {frame: picture[0, 0, 0] for frame, picture in after.thumbnails.items()} == {
        0: 3, 1: 7, 2: 11, 3: 103, 4: 107, 5: 111
    }  # fmt: skip


def played(env: InfinityRopeEnv, inspected: bool, actions: tuple[int, ...] = ACTIONS) -> tuple[list[bytes], Stream]:
    """Play actions through a stream without threads; return the bytes of every block and the stream."""
    clock, made = FakeClock(), []
    stream = Stream(env, lambda _, info: actions[info["block"]], clock=clock, on_block=made.append)
    stream.reset(seed=7)
    if inspected:
        stream.inspect(True)
    while len(made) <= len(actions):
        stream.frame_to_show()
        if not stream.run_due():
            clock.pass_time(0.1)
    assert [block.inspection is not None for block in made] == [True] * len(made)
    return [block.frames.tobytes() for block in made], stream


def test_it_costs_nothing_when_it_is_off_and_changes_no_pixel_when_it_is_on(env: InfinityRopeEnv) -> None:
    expected = [observation for observation, _ in play(env)]
    off, stream = played(env, inspected=False)
    assert env._rollout.context_hook is None and env.strip is not None and env.strip.mass == ()
    on, _ = played(env, inspected=True)
    assert isinstance(env._rollout.context_hook, AttentionProbe) and sum(env.strip.mass) == pytest.approx(1, abs=1e-4)
    assert on == off and off[1:] == expected[1:]
    stream.inspect(False)
    stream.run_due()
    assert env._rollout.context_hook is None


def test_a_step_back_shows_again_what_the_block_saw(env: InfinityRopeEnv) -> None:
    _, stream = played(env, inspected=True)
    stream.run_due()  # the commit pass of the newest block
    newest = stream.history._played[-1].block
    seen = stream.history._played[-2].block.inspection
    stream.frame_to_show(stream._clock() + 60)
    back = stream.rewind()
    stream.run_due()
    assert back.result()["block"] == newest.info["block"] - 1
    again = stream.frame_to_show()
    assert again is not None and again.block.inspection is seen and seen is not None and seen.is_measured


def test_an_environment_that_cannot_be_inspected_says_so(window: DisplayWindow) -> None:
    env = FakeEnv()
    session = PlaySession.of_environment(env, keyboard_for(env.action_set), window)
    assert isinstance(session._keyboard, KeyboardController)
    session.stream.start(seed=1)
    try:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_i, mod=0))
        while "does not tell" not in session.readout().notice:
            session.tick()
        assert session.inspector_on and session.readout().bindings == ()
    finally:
        session.stream.close()


def test_the_key_i_shows_and_hides_the_strip_in_a_real_window(tiny_weights: Path, tmp_path: Path) -> None:
    with x_server() as display:
        game = PlayedWindow(display, tmp_path, "--weights", str(tiny_weights), "--seed", "7", fps=48)
        try:
            game.keys("i")
            game.until(lambda: game.state["mass"][0] is not None, "the attention mass")
            game.keys("4")
            game.until_shown(scene="city", transition="cut")
            assert game.state["coordinate"] == [0, 1, 45, 46, 47]
            assert sum(game.state["mass"]) == pytest.approx(1, abs=1e-4)
            game.keys("i")
            game.until(lambda: game.state["mass"][0] is None, "blocks that are not measured")
        finally:
            game.close()
