"""The README tells the truth: its code runs, its excerpts are the code, its commands and paths exist."""

import re
import shlex
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from controllers.scripted import StoryboardController
from infrope_env import cli
from infrope_env.config import Window
from infrope_env.control.actions import ActionSet, Transition
from infrope_env.control.key_names import WINDOW_COMMANDS
from infrope_env.dynamics.coordinates import lay_out
from infrope_env.models.wan.memory import memory_table

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:<!-- excerpt: (?P<source>\S+) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)```", re.DOTALL)
BLOCKS = [match.groupdict() | {"above": TEXT[: match.start("text")].count("\n")} for match in BLOCK.finditer(TEXT)]
SHELL = "".join(block["text"] for block in BLOCKS if block["kind"] == "bash")
COMMAND_LINES = [line.split("#")[0] for line in SHELL.splitlines()]


@pytest.fixture
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands(name: str) -> list[list[str]]:
    """The arguments of every call of a command."""
    calls = [shlex.split(call) for line in COMMAND_LINES for call in line.split("&&")]
    return [call[1:] for call in calls if call[:1] == [name]]


def missing(names: set[str], exists: Callable[[str], object]) -> set[str]:
    """Those that do not exist."""
    return {name for name in names if not exists(name)}


def test_the_code_runs_from_top_to_bottom(somewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = [block for block in BLOCKS if block["kind"] == "python" and block["source"] is None]
    assert len(code) >= 4
    names: dict[str, object] = {"__name__": "readme"}
    for block in code:
        exec(compile("\n" * block["above"] + block["text"], str(ROOT / "README.md"), "exec"), names)
    assert "switch to an orange fox walks to the right in a snowy field" in capsys.readouterr().out
    assert len(list((somewhere / "videos").glob("*.mp4"))) == 1


def test_excerpts_are_the_code() -> None:
    excerpts = [block for block in BLOCKS if block["source"]]
    assert len(excerpts) == 3
    for block in excerpts:
        assert block["text"] in (ROOT / block["source"]).read_text(encoding="utf-8")


@pytest.mark.parametrize("transition", [Transition.CONTINUE, Transition.SWITCH, Transition.CUT])
def test_the_table_of_transitions_is_what_the_layout_says(transition: Transition) -> None:
    cached = (0, *range(13, 18))
    layout = lay_out(cached, transition, Window())
    columns = [[cached[slot] for slot in layout.slots], layout.context, layout.block]
    row = " | ".join(f"`{' '.join(map(str, column))}`" for column in columns)
    assert f"{transition.value} | {row} |" in TEXT


@pytest.mark.parametrize("arguments", commands("infrope"), ids=" ".join)
def test_commands_are_understood(arguments: list[str]) -> None:
    cli._parse(arguments)


def storyboards() -> dict[str, tuple[str, ...]]:
    """Of every command that plays one: the action set that its environment has, and what it is told to read."""
    calls = [arguments for arguments in commands("infrope") if "--storyboard" in arguments]
    return {" ".join(call): ("wan" if "infrope/Wan-v0" in call else "pocket", *call) for call in calls}


@pytest.mark.parametrize("call", storyboards().values(), ids=list(storyboards()))
def test_storyboards_are_read_and_have_only_prompts_that_their_world_knows(call: tuple[str, ...]) -> None:
    asked = cli._parse(call[1:])
    assert isinstance(asked, cli.RolloutOptions) and asked.storyboard is not None
    actions = ActionSet.load(call[0])
    board = StoryboardController.from_file(ROOT / asked.storyboard, lambda *_: None, actions.names, asked.compat)
    assert set(board.prompts) <= set(actions.prompts())
    assert len(board.storyboard.cut_blocks) == 2


@pytest.mark.parametrize("option", sorted(set(re.findall(r"(?<=[`. ])(--[a-z][a-z-]*)", TEXT))))
def test_options_exist(option: str) -> None:
    sources = [*(ROOT / "infrope_env").glob("cli*.py"), *(ROOT / "examples").rglob("*.py")]
    elsewhere = {"--help", "--index-url"}  # everybody's, and pip's
    name = option.removeprefix("--").replace("-", "_")
    assert option in elsewhere or any(re.search(rf"^    {name}: ", path.read_text(), re.M) for path in sources)


def test_keys_are_the_action_set_s() -> None:
    table = TEXT.split("## Keys")[1].split("A tap is")[0].lower()
    actions = ActionSet.load("pocket").actions
    for key in [
        *(key for action in actions for key in action.keys),
        *(command.label.lower() for command in WINDOW_COMMANDS),
    ]:
        assert re.search(rf"(?<![a-z0-9]){re.escape(key)}(?![a-z0-9])", table), key


def test_paths_exist() -> None:
    links = set(re.findall(r"\]\((?!http)([^)#]+)\)", TEXT))
    commanded = {word for line in COMMAND_LINES for word in line.split() if word.startswith(("examples/", ".ci/"))}
    assert len(links) > 15
    assert not missing(links | commanded, lambda path: (ROOT / path).exists())


def test_links_of_the_training_s_page_exist() -> None:
    page = ROOT / "examples" / "pocket_world" / "README.md"
    links = set(re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")))
    assert len(links) > 4
    assert not missing(links, lambda path: (page.parent / path).exists())


def test_modules_exist() -> None:
    modules = {call[1] for call in commands("python")} | set(re.findall(r"infrope_env\.\w+(?=\.)", TEXT))
    assert len(modules) > 5
    assert not missing(modules, find_spec)


def test_the_tree_is_the_tree() -> None:
    (tree,) = (block["text"] for block in BLOCKS if block["kind"] == "text")
    folders: list[str] = []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        for name in re.split(r" {3,}", line.strip())[0].split():
            folders = [*folders[:depth], name]
            assert ROOT.joinpath(*folders).exists(), "/".join(folders)
    in_package = {path.name for path in (ROOT / "infrope_env" / "dynamics").glob("*.py")} - {"__init__.py"}
    assert all(name in tree for name in in_package)


def test_two_commands_install() -> None:
    assert commands("pip") == [["install", "-e", "."], ["install", "-e", ".[test]"], ["install", "-e", ".[wan]"]]


def test_the_memory_table_is_what_is_computed() -> None:
    assert f"<!-- memory: infrope weights wan -->\n\n{memory_table()}\n" in TEXT
