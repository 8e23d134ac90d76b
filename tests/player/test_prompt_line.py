"""The prompt line: editing, paste, key repeat, and how it is drawn."""

from collections.abc import Iterator

import pygame
import pytest

from infrope_env.player.fonts import Fonts
from infrope_env.player.overlay import Readout, _prompt_lines
from infrope_env.player.prompt_line import MAX_CHARACTERS, PromptLine
from infrope_env.player.text import TextRenderer
from infrope_env.player.window import open_display


@pytest.fixture(autouse=True)
def display(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    open_display()
    pygame.display.set_mode((640, 400))
    yield
    pygame.display.quit()


def key(code: int, mod: int = 0) -> pygame.event.Event:
    return pygame.event.Event(pygame.KEYDOWN, key=code, mod=mod)


def test_text_is_inserted_at_the_caret_and_erased_around_it() -> None:
    line = PromptLine()
    line.type("abc")
    for code, text, caret in [
        (pygame.K_LEFT, "abc", 2), (pygame.K_BACKSPACE, "ac", 1), (pygame.K_DELETE, "a", 1), (pygame.K_DELETE, "a", 1),
        (pygame.K_HOME, "a", 0), (pygame.K_LEFT, "a", 0), (pygame.K_BACKSPACE, "a", 0), (pygame.K_END, "a", 1),
        (pygame.K_RIGHT, "a", 1), (pygame.K_KP4, "a", 0),
    ]:  # fmt: skip
        line.press(key(code), 0.0)
        assert (line.text, line.caret) == (text, caret)
    line.insert("x\n\ty\0\u2028\ud800z")
    assert line.text == "x  y   za"


def test_a_held_editing_key_repeats_until_it_comes_up() -> None:
    line = PromptLine()
    line.insert("x" * 30)
    line.press(key(pygame.K_BACKSPACE), 10.0)
    for step in range(100):
        line.repeat(10.0 + step / 100)
    assert 10 < len(line.text) < 20
    line.release(key(pygame.K_BACKSPACE))
    left = line.text
    line.repeat(20.0)
    assert line.text == left


def test_an_endless_paste_is_cut() -> None:
    line = PromptLine()
    line.insert("x" * (10 * MAX_CHARACTERS))
    line.insert("y")
    assert line.text == "x" * MAX_CHARACTERS


def test_altgr_of_windows_types_letters() -> None:
    line = PromptLine()
    line.press(key(pygame.K_q, pygame.KMOD_LCTRL | pygame.KMOD_RALT), 0.0)
    line.type("@")
    assert line.text == "@"


@pytest.mark.parametrize("caret", [0, 3, 150, 300])
@pytest.mark.parametrize("width", [60, 120, 600])
def test_a_long_text_scrolls_so_that_the_caret_is_in_view(caret: int, width: int) -> None:
    renderer, text = TextRenderer(12), "abcdefghij" * 30
    before, after = renderer.scroll(text, caret, width)
    assert renderer.width([(part, (0, 0, 0)) for part in (before, "|", after)]) <= width
    assert text[:caret].endswith(before.removeprefix("...")) and text[caret:].startswith(after.removesuffix("..."))
    assert len(before + after) > width // 16


def test_a_word_without_spaces_is_broken() -> None:
    renderer = TextRenderer(12)
    lines = renderer.wrap([("x" * 500 + " y", (0, 0, 0))], 200)
    assert len(lines) > 5 and all(renderer.width(line) <= 200 for line in lines)


def test_a_font_has_the_letters_or_a_sentence_says_that_none_has() -> None:
    fonts = Fonts(20)
    assert fonts.missing_letters("a red fox \u0436 \u00e9") == ""
    renderer = TextRenderer(16)
    lines = _prompt_lines(Readout(typed="a \U0010fffe fox"), renderer, 600, 0.0)
    assert "No installed font shows U+10FFFE." in "".join(text for line in lines for text, _ in line)
    chinese = "\u4e2d"
    assert (fonts.missing_letters(chinese) == "") == any(font.has(chinese) for font in fonts._installed)
    assert "".join(part for _, part in fonts.runs("a \u0436 \u4e2d fox")) == "a \u0436 \u4e2d fox"
