"""Every page is true: its code runs, its excerpts are the code, its commands, options, links and paths exist."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from controllers.scripted import StoryboardController
from infrope_env import cli
from infrope_env.config import Window
from infrope_env.control.actions import ActionSet, Transition
from infrope_env.control.key_names import WINDOW_COMMANDS
from infrope_env.dynamics.coordinates import lay_out
from infrope_env.models.wan.memory import memory_table
from tests.page import (
    CHECKS,
    ROOT,
    Page,
    broken_links,
    missing_paths,
    missing_programs,
    rejected_commands,
    stale_excerpts,
    unknown_names,
    unknown_options,
    unknown_symbols,
)

README = Page.read(ROOT / "README.md")
BESIDE_CODE = [path for folder in ("infrope_env", "examples") for path in sorted((ROOT / folder).rglob("README.md"))]
PAGES = {str(path.relative_to(ROOT)): Page.read(path) for path in (ROOT / "README.md", *BESIDE_CODE)}
WORDS = {"README.md": 1700, "infrope_env/README.md": 1190}
PIECES = {"README.md": 4}
"""Smallest number of pieces of code on a page that has more than one."""
PRINTED = {"README.md": "switch to an orange fox walks to the right in a snowy field\n"}
WRITTEN = {"README.md": "rollouts/*/video.mp4", "infrope_env/README.md": "videos/*.mp4"}
"""The one video that the code of a page writes."""

Check = Callable[[Page], set[str]]

WRONG = Page(
    ROOT / "wrong.md",
    """
A link to [nothing](nothing.md) and to [no heading](README.md#no-such-heading); `--never` is no option,
`infrope_env.nothing.at_all` is no name, `from infrope_env.config import Nothing` no import,
`examples/nothing.py` no path. See [the rollout](infrope_env/dynamics/rollout.py), `Rollout.nothing`.

<!-- excerpt: infrope_env/dynamics/coordinates.py -->
```python
def nothing() -> None: ...
```

```bash
infrope play --never
python -m examples.nothing
python -m examples.contact_sheet rollouts/episode_000 --never
```
""",
)


FOUND = {
    stale_excerpts: {"def nothing() -> None: ..."},
    rejected_commands: {"infrope play --never: Unrecognized options: --never. See 'infrope --help'."},
    missing_programs: {"examples.nothing"},
    unknown_options: {"--never", "examples.contact_sheet --never"},
    broken_links: {"nothing.md", "README.md#no-such-heading"},
    missing_paths: {"examples/nothing.py"},
    unknown_names: {"infrope_env.nothing.at_all", "infrope_env.config.Nothing"},
    unknown_symbols: {"Rollout.nothing"},
}


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if page.python])
def test_code_runs_from_top_to_bottom(
    name: str, working_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    page, module = PAGES[name], ModuleType("page")
    assert len(page.python) >= PIECES.get(name, 1)
    monkeypatch.setitem(sys.modules, "page", module)  # code names its own functions, as rewards for example
    for block in page.python:
        exec(compile("\n" * block.line + block.text, str(page.path), "exec"), vars(module))
    assert PRINTED.get(name, "") in capsys.readouterr().out
    assert name not in WRITTEN or len(list(working_folder.glob(WRITTEN[name]))) == 1


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("check", CHECKS)
def test_nothing_is_wrong_with(check: Check, name: str) -> None:
    assert check(PAGES[name]) == set()


@pytest.mark.parametrize("check", CHECKS)
def test_each_check_finds_what_is_wrong(check: Check) -> None:
    assert check(WRONG) == FOUND[check]


@pytest.mark.parametrize(("name", "most"), WORDS.items())
def test_pages_stay_short(name: str, most: int) -> None:
    assert 100 < PAGES[name].words <= most


def test_words_are_counted_without_code_comments_and_pipes() -> None:
    assert (
        Page(ROOT / "x.md", "Two words.\n\n| a | b |\n\n<!-- no -->\n```bash\nno no\n```\nand three more\n").words == 7
    )


def test_every_page_is_linked_from_the_readme() -> None:
    links = {(ROOT / link).resolve() for link in re.findall(r"\]\((?!http)([^)#]+)\)", README.text)}
    assert not {str(path) for path in BESIDE_CODE if path not in links}


def test_the_readme_explains_each_idea_with_its_code() -> None:
    excerpts = [block.text.splitlines()[0] for block in README.blocks if block.source]
    assert [re.sub(r"\(.*", "", line) for line in excerpts] == ["def ranks", "def frames_to_keep", "def block_start"]


@pytest.mark.parametrize("transition", [Transition.CONTINUE, Transition.SWITCH, Transition.CUT])
def test_the_table_of_transitions_is_what_the_layout_says(transition: Transition) -> None:
    cached = (0, *range(13, 18))
    layout = lay_out(cached, transition, Window())
    columns = [[cached[slot] for slot in layout.slots], layout.context, layout.block]
    row = " | ".join(f"`{' '.join(map(str, column))}`" for column in columns)
    assert f"{transition.value} | {row} |" in README.text


def storyboards() -> dict[str, tuple[str, ...]]:
    """Return, for every command with a storyboard of the examples, the action set of its environment and its arguments.

    A case of a benchmark is a storyboard too, but the file is not here.
    """
    calls = [call for page in PAGES.values() for call in page.commands("infrope") if "--storyboard" in call]
    here = [call for call in calls if not any(word.endswith(".json") for word in call)]
    return {" ".join(call): ("wan" if "infrope/Wan-v0" in call else "pocket", *call) for call in here}


def test_a_page_plays_every_storyboard_of_the_examples() -> None:
    played = {word for call in storyboards().values() for word in call if word.endswith(".txt")}
    assert played == {str(path.relative_to(ROOT)) for path in (ROOT / "examples").glob("*.txt")} != set()


@pytest.mark.parametrize("call", storyboards().values(), ids=list(storyboards()))
def test_storyboards_have_only_prompts_of_their_action_set(call: tuple[str, ...]) -> None:
    parsed = cli._parse(call[1:])
    assert isinstance(parsed, cli.Play | cli.Record) and parsed.storyboard is not None
    actions = ActionSet.load(call[0])
    controller = StoryboardController.from_file(ROOT / parsed.storyboard, lambda *_: None, actions.names, parsed.compat)
    assert set(controller.prompts) <= set(actions.prompts())
    assert len(controller.storyboard.cut_blocks) == 2


def test_the_keys_are_those_of_the_action_set_and_the_window() -> None:
    table = README.text.split("## Keys")[1].split("\n\n")[1].lower()
    actions = ActionSet.load("pocket").actions
    labels = [command.label.lower() for command in WINDOW_COMMANDS]
    for key in [*(key for action in actions for key in action.keys), *labels]:
        assert re.search(rf"(?<![a-z0-9]){re.escape(key)}(?![a-z0-9])", table), key


def test_the_tree_lists_every_folder_of_the_package() -> None:
    (tree,) = (block.text for block in README.blocks if block.kind == "text")
    top = re.findall(r"^(\w+)/ ", tree, re.M)
    inside = re.findall(r"^  (\w+)/ ", tree, re.M)
    assert len(top) + len(inside) == len(tree.splitlines())
    assert all((ROOT / folder).is_dir() for folder in top)
    files = re.findall(r"\w+\.py", tree)
    assert len(files) == 3 and all((ROOT / "infrope_env" / name).is_file() for name in files)
    folders = {path.name for path in (ROOT / "infrope_env").iterdir() if path.is_dir() and path.name[0].isalpha()}
    assert set(inside) == folders


def test_two_commands_install_and_one_adds_wan() -> None:
    tested = ["-c", "tests/constraints.txt"]
    play, test, wan = README.commands("pip")
    assert play == ["install", "-e", ".", *tested] and test == ["install", "-e", ".[test]", *tested]
    assert wan == ["install", "-e", ".[wan]"]


def test_the_memory_table_is_the_computed_one() -> None:
    page = ROOT / "infrope_env" / "models" / "wan" / "README.md"
    text = page.read_text(encoding="utf-8")
    assert f"<!-- memory: infrope weights wan -->\n\n{memory_table()}\n\n" in text


def test_the_pages_mention_every_program_in_the_examples() -> None:
    programs = [path.name for path in (ROOT / "examples").glob("*.py") if "__main__" in path.read_text("utf-8")]
    assert len(programs) == 10
    assert all(f"]({name})" in PAGES["examples/README.md"].text for name in programs)
