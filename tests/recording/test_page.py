"""The page on recording: its code runs, its commands and links exist, and its example is what is written."""

import json
import re
import shlex
from pathlib import Path

import pytest

import infrope_env
from infrope_env import cli
from infrope_env.control.storyboard import parse
from tests.recording.episodes import lines_of

PAGE = Path(infrope_env.__file__).parent / "recording" / "README.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]


def test_the_code_runs_and_the_example_line_is_the_one_it_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = (text for kind, text in BLOCKS if kind == "python")
    exec(compile(code, str(PAGE), "exec"), {"__name__": "page"})
    assert capsys.readouterr().out == "episode_000: 2 blocks replayed: every block is the same.\n"
    (example,) = (json.loads(text) for kind, text in BLOCKS if kind == "json")
    written = lines_of(tmp_path / "rollouts" / "episode_000")[1]
    assert list(example) == list(written)
    digests = {"sha256", "chain"}  # differ between classes of machine
    assert {name: example[name] for name in example.keys() - digests} == {
        name: written[name] for name in written.keys() - digests
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_exist(command: str) -> None:
    name, *arguments = shlex.split(command)
    assert name == "infrope"
    cli._parse(arguments)


def test_the_storyboard_is_read() -> None:
    (board,) = (text for kind, text in BLOCKS if kind == "text")
    assert len(parse(board.strip()).timed_subtitles()) == 2


def test_the_links_exist() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", TEXT)
    assert len(links) == 7 and all((PAGE.parent / link).is_file() for link in links)


def test_every_option_of_the_page_exists() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(cli.__file__).parent.glob("cli*.py"))
    options = set(re.findall(r"--([a-z]+)", TEXT))
    assert options >= {"record", "verify", "out"}
    assert all(re.search(rf"^    {option}: ", source, re.MULTILINE) for option in options)


def test_the_page_is_short() -> None:
    assert len(TEXT.split()) < 780
