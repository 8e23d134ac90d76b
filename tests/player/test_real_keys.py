"""Real keys from outside the process: keypad, layouts, the prompt line, fullscreen.

Needs Xvfb, xdotool and setxkbmap (apt install xvfb xdotool x11-xkb-utils). Without them the tests fail where CI=true
and are skipped elsewhere. X key codes name a place on the keyboard: 38 is the key labelled A on a US keyboard.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.player.real_window import RealWindow, x_server

PLACE_OF_A, PLACE_OF_D, PLACE_OF_PERIOD, PLACE_OF_N, PLACE_OF_T = "38", "40", "60", "57", "28"


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    with x_server("setxkbmap") as name:
        yield name


@pytest.fixture
def game(display: str, tmp_path: Path) -> Iterator[RealWindow]:
    game = RealWindow(display, tmp_path)
    yield game
    game.tool("setxkbmap", "us")
    game.close()


def test_the_keypad_without_numlock_walks_and_never_cuts(game: RealWindow) -> None:
    game.keys("KP_Right", "KP_Left", "KP_Up", "KP_Down", "KP_End", "KP_Begin", "KP_Next")
    game.until(lambda: "crouch" in game.actions, "the last of the four")
    game.until_steady("stand")
    assert [each for each in game.actions if each != "stand"] == ["walk_right", "walk_left", "jump", "crouch"]


def test_the_keypad_with_numlock_is_digits_and_a_key_is_released_after_numlock_changed(game: RealWindow) -> None:
    game.keys("Num_Lock")
    game.keys("87")  # keypad 1
    game.until(lambda: "cut_meadow" in game.actions, "the cut")
    game.keys("Num_Lock")
    game.xdotool("keydown", "85")  # keypad 6, the right arrow without NumLock
    game.keys("Num_Lock")
    game.xdotool("keyup", "85")
    game.keys("Num_Lock")
    game.until_steady("stand")


@pytest.mark.parametrize("layout", ["ru", "gr", "us", "dvorak"])
def test_letters_act_in_every_layout(game: RealWindow, layout: str) -> None:
    game.tool("setxkbmap", layout)
    game.xdotool("keydown", PLACE_OF_D if layout != "dvorak" else "d")
    game.until_steady("walk_right")
    game.xdotool("keyup", PLACE_OF_D if layout != "dvorak" else "d")
    game.keys("33" if layout != "dvorak" else "p")
    game.until(lambda: game.state["paused"], "the pause")


def test_a_letter_that_the_layout_moves_is_taken_where_it_is(game: RealWindow) -> None:
    game.tool("setxkbmap", "fr")
    assert set(game.tap(PLACE_OF_A)) == {"stand"}  # labelled Q
    game.keys("24")  # labelled A
    game.until(lambda: "walk_left" in game.actions, "the step")


def test_a_sign_that_needs_shift_is_taken_from_its_place(game: RealWindow) -> None:
    game.tool("setxkbmap", "fr")
    game.keys(PLACE_OF_PERIOD)  # labelled ":"; the layout has "." on Shift only
    game.until(lambda: game.state["paused"], "the pause")


def test_pause_and_p_pause_as_the_period_does(game: RealWindow) -> None:
    for key, paused in [("p", True), ("Pause", False), ("period", True)]:
        game.keys(key)
        game.until(lambda paused=paused: game.state["paused"] is paused, key)


def test_a_key_is_released_whatever_the_layout_calls_it_when_it_comes_up(game: RealWindow) -> None:
    game.xdotool("keydown", PLACE_OF_D)
    game.until_steady("walk_right", 1)
    game.tool("setxkbmap", "fr")
    game.tool("setxkbmap", "ru")
    game.xdotool("keyup", PLACE_OF_D)
    game.until_steady("stand")


def test_shortcuts_of_the_desktop_are_not_keys_of_the_game(game: RealWindow) -> None:
    assert set(game.tap("ctrl+d", "super+1", "ctrl+p", "super+t", "ctrl+Return")) == {"stand"}
    assert game.state["typed"] is None and not game.state["paused"]
    assert [entry[0] for entry in game.state["log"]].count("reset") <= 1


def typed(game: RealWindow, text: str) -> None:
    game.until(lambda: game.state["typed"] == text, repr(text))


def test_the_key_that_opens_the_prompt_line_types_nothing_while_it_is_held(game: RealWindow) -> None:
    game.xdotool("keydown", "t", "sleep", "1.2", "keyup", "t")  # X repeats a held key after 0.66 s
    typed(game, "")
    game.xdotool("type", "ttt")
    typed(game, "ttt")


def test_the_prompt_line_has_a_caret_and_key_repeat_and_paste(game: RealWindow) -> None:
    game.keys("t")
    typed(game, "")
    game.xdotool("type", "a red fx")
    game.keys("Left", "o", "End", "s", "Home", "Delete", "KP_Delete", "x", "Left", "X")
    typed(game, "Xxred foxs")
    game.keys("End", "ctrl+v")
    typed(game, "Xxred foxsa robot jumps")
    game.xdotool("keydown", "BackSpace", "sleep", "2.5", "keyup", "BackSpace")
    typed(game, "")


def test_shortcuts_are_not_letters_in_the_prompt_line(game: RealWindow) -> None:
    game.keys("t")
    typed(game, "")
    game.keys("a", "super+b", "ctrl+c", "super+ctrl+d", "e")
    typed(game, "ae")


def test_letters_of_other_layouts_are_typed(game: RealWindow) -> None:
    game.tool("setxkbmap", "ru")
    game.keys(PLACE_OF_T)
    typed(game, "")
    game.keys(PLACE_OF_A, PLACE_OF_D)
    typed(game, "фв")
    game.keys("Escape")
    game.until(lambda: game.state["typed"] is None, "the line to close")


def place(game: RealWindow) -> str:
    """Return position and size of the window on the screen."""
    return game.xdotool("getwindowgeometry", game.window)


def test_f11_fills_the_screen_and_goes_back_to_the_window_as_it_was(game: RealWindow) -> None:
    game.xdotool("windowmove", game.window, "70", "50", "windowsize", "--sync", game.window, "500", "320")
    game.until(lambda: game.state["size"] == [500, 320], "the size")
    before = place(game)
    for _ in range(2):
        game.keys("F11")
        game.until(lambda: game.state["size"] == [1280, 800], "fullscreen")
        game.xdotool("windowfocus", game.window)
        walked = game.actions.count("walk_right")
        game.keys("Right")
        game.until(lambda walked=walked: game.actions.count("walk_right") > walked, "the step")
        game.keys("F11")
        game.until(lambda: game.state["size"] == [500, 320], "the window")
        game.xdotool("windowfocus", game.window)
    assert place(game) == before
    game.until_steady("stand")
    game.keys("t")
    typed(game, "")
    game.xdotool("type", "a fox")
    typed(game, "a fox")
