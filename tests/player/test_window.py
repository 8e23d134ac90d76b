from collections.abc import Iterator

import numpy as np
import pygame
import pytest

from infrope_env.control.actions import ActionSet
from infrope_env.control.key_names import WINDOW_COMMANDS, key_name
from infrope_env.control.keyboard import Receipt
from infrope_env.player.bindings import format_bindings, list_bindings
from infrope_env.player.overlay import Overlay, Readout
from infrope_env.player.window import BORDER, DisplayWindow, NoDisplayError, open_display

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


def test_a_window_of_another_shape_keeps_the_aspect_ratio_between_bars(window: DisplayWindow) -> None:
    pygame.display.set_mode((80, 100), pygame.RESIZABLE)
    window.show(FRAME)
    shot = window.screenshot()
    assert window.picture_rect == (0, 26, 80, 48)
    assert np.array_equal(shot[26:74], enlarged(FRAME, 8))
    assert (shot[:26] == BORDER).all() and (shot[74:] == BORDER).all()


def test_an_odd_size_is_smoothed_to_the_whole_window(window: DisplayWindow) -> None:
    pygame.display.set_mode((95, 57), pygame.RESIZABLE)
    window.show(FRAME)
    assert window.picture_rect == (0, 0, 95, 57)
    assert abs(window.screenshot().mean() - FRAME.mean()) < 4


def test_a_window_is_open_until_it_is_closed_or_pygame_is_quit(window: DisplayWindow) -> None:
    assert window.is_open
    pygame.display.quit()
    assert not window.is_open
    again = DisplayWindow((6, 10), scale=8)
    assert again.is_open
    again.close()
    assert not again.is_open


def test_a_missing_display_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NoDisplayError, match=r"^no display: set DISPLAY, or run with --headless$"):
        open_display()


def test_a_display_that_cannot_be_opened_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """pygame would silently draw into memory with its "offscreen" driver."""
    for name in ("WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":9999")
    with pytest.raises(NoDisplayError):
        open_display()


def readout(**changes: object) -> Readout:
    return Readout(**({"prompt": "a fox", "transition": "cut", "block": 7, "fps": 16.0} | changes))  # type: ignore[arg-type]


def draw(window: DisplayWindow, content: Readout, now: float = 0.0) -> np.ndarray:
    overlay = Overlay()
    window.show(FRAME, lambda surface: overlay.draw(surface, content, now))
    return window.screenshot()


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Iterator[DisplayWindow]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = DisplayWindow((6, 10))
    yield window
    window.close()


def test_the_overlay_is_drawn_on_the_window_and_never_on_the_frame(large: DisplayWindow) -> None:
    before = FRAME.copy()
    shot = draw(large, readout(bindings=list_bindings(ActionSet.load("pocket"))))
    assert np.array_equal(FRAME, before)
    changed = (shot != enlarged(FRAME, 96)).any(axis=2)
    assert 0.02 < changed.mean() < 0.3


def test_every_field_of_the_readout_changes_the_picture(large: DisplayWindow) -> None:
    plain = draw(large, readout())
    changes: dict[str, object] = {
        "prompt": "a frog", "transition": "switch", "block": 8, "fps": 9.5, "paused": True, "typed": "a wiz",
        "receipts": (Receipt(("right",), 2, "walk_right", 0.0),), "notice": "saved", "bindings": (("e", "wave"),),
        "trouble": "lost",
    }  # fmt: skip
    for name, value in changes.items():
        assert not np.array_equal(draw(large, readout(**{name: value})), plain), name


def test_a_trouble_is_shown_as_long_as_it_lasts_and_without_the_overlay(large: DisplayWindow) -> None:
    overlay, lost = Overlay(), readout(trouble="The connection was lost.")
    large.show(FRAME, lambda surface: overlay.draw_essentials(surface, lost, 1000.0))
    assert not np.array_equal(large.screenshot(), enlarged(FRAME, 96))


def test_a_receipt_fades_after_its_block_was_shown(large: DisplayWindow) -> None:
    receipt = Receipt(("right",), 2, "walk_right", pressed_s=0.0, block=3, shown_s=1.0)
    plain = draw(large, readout())
    fresh, fading, gone = (draw(large, readout(receipts=(receipt,)), now) for now in (1.0, 4.7, 6.0))
    assert not np.array_equal(fresh, plain) and not np.array_equal(fading, fresh)
    assert np.array_equal(gone, plain)


def test_bindings_come_from_the_action_set_and_the_window() -> None:
    text = format_bindings(ActionSet.load("pocket"))
    for line in ("left/a      walk left", "space/up/w  jump", "3           cut to snow"):
        assert line in text
    assert all(command.effect in text for command in WINDOW_COMMANDS)
    assert "P/.         pause" in text and "F11         fullscreen" in text and "Enter       new world" in text


@pytest.mark.parametrize(("pygame_name", "name"), [("left shift", "shift"), ("[1]", "1"), ("left", "left"), ("D", "d")])
def test_pygame_key_names_become_those_of_action_sets(pygame_name: str, name: str) -> None:
    assert key_name(pygame_name) == name


FULL = {
    "receipts": tuple(Receipt(("right",), 2, "walk_right", 0.0) for _ in range(6)),
    "notice": "The prompt has words that the text encoder does not know: kitchen, hen.",
    "typed": "a green frog waves hello in a dark cave",
    "bindings": list_bindings(ActionSet.load("pocket")),
}


@pytest.mark.parametrize("size", [(1, 1), (40, 24), (160, 96), (320, 192), (200, 900), (900, 120), (960, 576)])
@pytest.mark.parametrize("left_out", [(), ("typed",), ("typed", "notice"), ("typed", "notice", "receipts")])
def test_the_overlay_leaves_half_of_the_picture_visible(
    window: DisplayWindow, size: tuple[int, int], left_out: tuple[str, ...]
) -> None:
    pygame.display.set_mode(size, pygame.RESIZABLE)
    content = {name: value for name, value in FULL.items() if name not in left_out}
    window.show(FRAME)
    plain = window.screenshot()
    shot = draw(window, readout(prompt="a red robot walks to the right in a sandy desert", **content))
    assert (shot != plain).any(axis=2).mean() <= 0.5
    if size[0] >= 160:
        assert (shot != plain).any()


def test_a_prompt_that_is_typed_is_seen_in_a_small_window(window: DisplayWindow) -> None:
    pygame.display.set_mode((160, 96), pygame.RESIZABLE)
    shots = [draw(window, readout(**(FULL | {"typed": text}))) for text in ("a fox", "a fog")]
    assert not np.array_equal(*shots)


def test_fullscreen_and_back_is_the_window_as_it_was(window: DisplayWindow) -> None:
    pygame.display.set_mode((90, 70), pygame.RESIZABLE)
    window.show(FRAME)
    before = window.screenshot()
    for _ in range(2):
        window.toggle_fullscreen()
        window.show(FRAME)
        assert window.size == pygame.display.get_desktop_sizes()[0]
        window.toggle_fullscreen()
        window.show(FRAME)
        assert np.array_equal(window.screenshot(), before)
