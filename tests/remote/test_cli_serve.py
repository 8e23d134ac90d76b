"""`infrope serve` refuses what it cannot do before it loads anything; `tests/remote/test_hostile.py` runs it."""

import socket

import pytest

from infrope_env import cli


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--host", "0.0.0.0", "--token", ""], "it needs a token"),
        (["--token", "short"], "at least 8 letters, digits"),
        (["--token", "a token & more"], "at least 8 letters, digits"),
        (["--players", "0"], "expected --players to be from 1 to 64, got 0"),
        (["--offload", "--players", "2"], "--offload serves one environment at a time"),
        (["--viewers", "-1"], "expected --viewers to be from 0 to 1000, got -1"),
        (["--port", "70000"], "expected --port to be from 0 to 65535, got 70000"),
        (["--quality", "high"], "--quality is that of a recording: give --record too"),
        (["--host", "no.such.host.invalid"], "no.such.host.invalid:8765 cannot be used"),
    ],
)
def test_bad_options_end_with_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["serve", *arguments]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1 and error.startswith("infrope: ")


def test_a_port_in_use_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["serve", "--port", str(port)]) == 2
    assert f"127.0.0.1:{port} cannot be used" in capsys.readouterr().err


def test_a_world_that_cannot_be_made_ends_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--port", "0", "--weights", "no-such-weights"]) == 2
    assert "no-such-weights" in capsys.readouterr().err
