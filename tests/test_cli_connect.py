"""`infrope play --connect`: what it refuses, and in which words. tests/remote/test_window.py plays."""

from pathlib import Path

import pytest

from infrope_env import cli
from tests.remote.players import fast_env
from tests.remote.served import serving


@pytest.fixture(autouse=True)
def display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command, which must fail; return what it says."""
    assert cli.main(["play", *arguments]) == cli.BAD_INPUT
    return capsys.readouterr().err


def test_a_port_without_a_server_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "--connect", "http://127.0.0.1:9/?token=x")
    assert said.startswith("infrope: There is no server at 127.0.0.1:9 (") and "Is it running?" in said


@pytest.mark.parametrize("url", ["ftp://host/", "", "http://"])
def test_what_is_no_url_of_a_server_is_refused(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert "expected the URL of a server" in refusal(capsys, "--connect", url)


def test_options_of_an_environment_here_are_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "--connect", "127.0.0.1:9", "--weights", "pocket", "--headless", "--seed", "3")
    assert said.rstrip().endswith("leave out --weights, --headless")


def test_a_token_needs_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert "give --connect too" in refusal(capsys, "--token", "secret")


def test_a_wrong_token_is_refused_in_the_words_of_the_server(
    capsys: pytest.CaptureFixture[str], tiny_weights: Path
) -> None:
    with serving(lambda: fast_env(tiny_weights)) as server:
        address = server.url.split("?")[0]
        said = refusal(capsys, "--connect", address, "--token", "another-token")
        assert "token" in said and "Traceback" not in said


def test_a_player_of_another_version_is_told_which_side_to_update(
    capsys: pytest.CaptureFixture[str], tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrope_env.remote.client.VERSION", 99)
    with serving(lambda: fast_env(tiny_weights)) as server:
        said = refusal(capsys, "--connect", server.url)
    assert "The client speaks version 99 of the protocol" in said and "update the server" in said
