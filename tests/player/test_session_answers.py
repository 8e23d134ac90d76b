"""Answers that come late: a prompt that is being encoded, a reset, a save."""

import threading
import time
from collections.abc import Iterator

import pygame
import pytest

from infrope_env.player.window import DisplayWindow
from tests.player.fakes import SIZE
from tests.player.test_session import PATIENCE_S, Game

SHIFT = pygame.KMOD_SHIFT


@pytest.fixture
def game(monkeypatch: pytest.MonkeyPatch) -> Iterator[Game]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    game = Game(DisplayWindow(SIZE, scale=30))
    yield game
    game.session.stream.close()
    game.session.window.close()


class Encoding:
    """An encoder that waits until a test lets it go on."""

    def __init__(self, game: Game) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        game.env.encode = self

    def __call__(self) -> None:
        self.begun.set()
        self.go_on.wait(PATIENCE_S)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regard every Enter of a test as the end of the press before it, however slow the machine is."""
    monkeypatch.setattr("infrope_env.player.session.SAME_PRESS_S", PATIENCE_S)


def submit(game: Game, text: str, mod: int = 0) -> None:
    game.tap(pygame.K_t)
    game.type(text)
    game.press(pygame.K_RETURN, mod)
    game.release(pygame.K_RETURN)
    game.session.tick()


def ticks(game: Game, count: int = 60) -> None:
    for _ in range(count):
        game.session.tick()
        time.sleep(0.002)


@pytest.mark.usefixtures("patient")
def test_a_submitted_prompt_waits_and_swallows_enter_and_letters(game: Game) -> None:
    encoding = Encoding(game)
    submit(game, "a fox", mod=SHIFT)
    game.until(encoding.begun.is_set)
    game.type("x")
    for _ in range(3):
        game.tap(pygame.K_RETURN)
        ticks(game, 5)
    assert game.session.readout().waiting and game.session.readout().typed == "a fox"
    encoding.go_on.set()
    game.until(lambda: game.session.readout().typed is None)
    game.tap(pygame.K_RETURN)  # too soon after the last one to be another
    ticks(game)
    assert [entry for entry in game.env.log if entry[0] == "set_prompt"] == [("set_prompt", "a fox", True)]
    assert [entry[0] for entry in game.env.log].count("reset") == 1


def test_an_answer_closes_only_the_line_that_asked(game: Game) -> None:
    encoding = Encoding(game)
    submit(game, "a fox")
    game.until(encoding.begun.is_set)
    game.tap(pygame.K_ESCAPE, pygame.K_t)
    game.type("a frog")
    game.session.tick()
    encoding.go_on.set()
    ticks(game)
    assert game.session.readout().typed == "a frog" and not game.session.readout().waiting
    assert not any(entry[0] == "set_prompt" for entry in game.env.log)  # Esc withdrew it


def test_a_prompt_that_was_withdrawn_is_not_refused_either(game: Game) -> None:
    encoding = Encoding(game)

    def refuse() -> None:
        encoding()
        raise ValueError("The prompt has words the text encoder does not know.")

    game.env.encode = refuse
    submit(game, "a fox")
    game.until(encoding.begun.is_set)
    game.tap(pygame.K_ESCAPE)
    game.session.tick()
    encoding.go_on.set()
    ticks(game)
    assert game.notice() == ""


def test_an_accepted_prompt_keeps_the_notice_of_a_save(game: Game) -> None:
    game.tap(pygame.K_F5)
    submit(game, "a fox")
    game.until(lambda: game.session.readout().typed is None)
    assert game.notice().startswith("saved at block")


def test_an_accepted_prompt_removes_its_own_refusal(game: Game) -> None:
    submit(game, "unknown")
    game.until(lambda: "does not know" in game.notice())
    for _ in "unknown":
        game.tap(pygame.K_BACKSPACE)
    game.type("a fox")
    game.tap(pygame.K_RETURN)
    game.until(lambda: game.session.readout().typed is None)
    assert game.notice() == ""


@pytest.mark.usefixtures("patient")
def test_eight_quick_enters_are_one_new_world(game: Game) -> None:
    game.session._entered_s = float("-inf")
    for _ in range(8):
        game.tap(pygame.K_RETURN)
        ticks(game, 10)
    game.until(lambda: game.notice() == "a new world")
    ticks(game)
    assert [entry[0] for entry in game.env.log].count("reset") == 2


def test_a_later_enter_is_another_new_world(game: Game) -> None:
    for count in (2, 3):
        game.tap(pygame.K_RETURN)
        game.until(lambda count=count: [entry[0] for entry in game.env.log].count("reset") == count)
        ticks(game, 200)
    assert [entry[0] for entry in game.env.log].count("reset") == 3


def test_a_key_that_is_queued_while_a_world_is_made_keeps_its_receipt(game: Game) -> None:
    made, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        if game.env.block == 0:
            made.set()
            go_on.wait(PATIENCE_S)

    game.env.work = wait
    game.tap(pygame.K_RETURN)
    game.until(made.is_set)
    game.tap(pygame.K_SPACE)
    game.session.tick()
    go_on.set()
    receipts = game.session.readout
    game.until(lambda: any(receipt.keys == ("space",) and receipt.shown_s for receipt in receipts().receipts))
