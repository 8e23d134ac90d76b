from collections.abc import Iterator

import numpy as np
import pygame
import pytest

from infrope_env.control.actions import ActionSet
from infrope_env.player.bindings import COMMANDS, as_text, key_name, listed
from infrope_env.player.overlay import KeyReceipt, Overlay, Readout
from infrope_env.player.window import BORDER, DisplayWindow, NoDisplay, open_display

FRAME = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[DisplayWindow]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = DisplayWindow((6, 10), scale=8)
    yield window
    window.close()


def enlarged(frame: np.ndarray, scale: int) -> np.ndarray:
    return frame.repeat(scale, axis=0).repeat(scale, axis=1)


def test_a_frame_fills_the_window_with_hard_pixel_edges(window: DisplayWindow) -> None:
    window.show(FRAME)
    assert np.array_equal(window.screenshot(), enlarged(FRAME, 8))


def test_a_small_picture_opens_960_pixels_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = DisplayWindow((96, 160))
    assert window.size == (960, 576)
    window.close()


def test_another_shape_of_window_keeps_the_aspect_between_bars(window: DisplayWindow) -> None:
    pygame.display.set_mode((80, 100), pygame.RESIZABLE)
    window.show(FRAME)
    shot = window.screenshot()
    assert window.picture == (0, 26, 80, 48)
    assert np.array_equal(shot[26:74], enlarged(FRAME, 8))
    assert (shot[:26] == BORDER).all() and (shot[74:] == BORDER).all()


def test_an_odd_size_is_smoothed_to_the_whole_window(window: DisplayWindow) -> None:
    pygame.display.set_mode((95, 57), pygame.RESIZABLE)
    window.show(FRAME)
    assert window.picture == (0, 0, 95, 57)
    assert abs(window.screenshot().mean() - FRAME.mean()) < 4


def test_frames_are_played_at_their_pace(window: DisplayWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("infrope_env.player.window.time.monotonic", lambda: 5.0 + sum(slept))
    monkeypatch.setattr("infrope_env.player.window.time.sleep", slept.append)
    window.play_frames([FRAME] * 12, fps=16)
    assert np.allclose(slept, 1 / 16)


def test_no_display_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NoDisplay, match=r"^no display: set DISPLAY, or run with --headless$"):
        open_display()


def test_a_display_that_does_not_answer_is_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """pygame then silently draws into memory with its "offscreen" driver."""
    for name in ("WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":9999")
    with pytest.raises(NoDisplay):
        open_display()


def readout(**changes: object) -> Readout:
    return Readout(**({"prompt": "a fox", "transition": "cut", "block": 7, "fps": 16.0} | changes))  # type: ignore[arg-type]


def drawn(window: DisplayWindow, said: Readout, now: float = 0.0) -> np.ndarray:
    overlay = Overlay()
    window.show(FRAME, lambda surface: overlay.draw(surface, said, now))
    return window.screenshot()


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Iterator[DisplayWindow]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = DisplayWindow((6, 10))
    yield window
    window.close()


def test_the_overlay_covers_the_window_and_never_the_frame(large: DisplayWindow) -> None:
    before = FRAME.copy()
    shot = drawn(large, readout(bindings=listed(ActionSet.load("pocket"))))
    assert np.array_equal(FRAME, before)
    changed = (shot != enlarged(FRAME, 96)).any(axis=2)
    assert 0.02 < changed.mean() < 0.3


def test_everything_the_overlay_is_told_changes_what_it_draws(large: DisplayWindow) -> None:
    plain = drawn(large, readout())
    said: dict[str, object] = {
        "prompt": "a frog", "transition": "switch", "block": 8, "fps": 9.5, "paused": True, "typed": "a wiz",
        "receipts": (KeyReceipt("right", "walk_right", 0.0),), "notice": "saved", "bindings": (("e", "wave"),),
    }  # fmt: skip
    for name, value in said.items():
        assert not np.array_equal(drawn(large, readout(**{name: value})), plain), name


def test_a_receipt_fades_after_it_was_shown(large: DisplayWindow) -> None:
    receipt = KeyReceipt("right", "walk_right", pressed_s=0.0, block=3, shown_s=1.0)
    plain = drawn(large, readout())
    fresh, fading, gone = (drawn(large, readout(receipts=(receipt,)), now) for now in (1.0, 4.7, 6.0))
    assert not np.array_equal(fresh, plain) and not np.array_equal(fading, fresh)
    assert np.array_equal(gone, plain)


def test_bindings_come_from_the_action_set_and_the_window() -> None:
    text = as_text(ActionSet.load("pocket"))
    for line in ("left/a      walk left", "space/up/w  jump", "3           cut to snow"):
        assert line in text
    assert all(f"{key:<12}{does}" in text for key, does in COMMANDS)


@pytest.mark.parametrize(("pygame_name", "name"), [("left shift", "shift"), ("[1]", "1"), ("left", "left"), ("D", "d")])
def test_keys_are_called_as_action_sets_call_them(pygame_name: str, name: str) -> None:
    assert key_name(pygame_name) == name
