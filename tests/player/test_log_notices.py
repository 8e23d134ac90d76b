"""What the package logs while a window is open is shown in the window."""

import logging
from collections.abc import Iterator

import pytest

from infrope_env.player.session import PlaySession, keyboard_for
from infrope_env.player.window import DisplayWindow
from infrope_env.text.progress import EncodingProgress
from tests.player.fakes import SIZE, FakeEnv

LOGGER = logging.getLogger("infrope_env")


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[PlaySession]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = FakeEnv()
    session = PlaySession.of_environment(env, keyboard_for(env.action_set), DisplayWindow(SIZE, scale=30), blocks=1)
    yield session
    session.window.close()


@pytest.fixture
def notices(session: PlaySession, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every notice of the session, in order."""
    seen: list[str] = []
    tick = session.tick

    def watch() -> None:
        tick()
        if session.readout().notice and session.readout().notice not in seen:
            seen.append(session.readout().notice)

    monkeypatch.setattr(session, "tick", watch)
    return seen


def test_a_warning_of_the_package_is_a_notice(session: PlaySession, notices: list[str]) -> None:
    session.stream._env.work = lambda: logging.getLogger("infrope_env.text.prompt_cache").warning("%s is cut", "it")
    session.run(seed=1)
    assert notices == ["it is cut"]


def test_a_prompt_that_play_waits_for_is_a_notice_and_other_progress_is_not(
    session: PlaySession, notices: list[str]
) -> None:
    def work() -> None:
        EncodingProgress("waiting", 39.0).report(0, 1)
        logging.getLogger("infrope_env.text.background").info("encoding prompts while you play: 3 of 692")

    session.stream._env.work = work
    session.run(seed=1)
    assert notices == ["waiting: 0 of 1, 39 s each, about 39 s left"]


def test_the_logger_is_as_it_was_after_the_session(session: PlaySession) -> None:
    before = LOGGER.level, list(LOGGER.handlers)
    session.run(seed=1)
    assert (LOGGER.level, list(LOGGER.handlers)) == before
