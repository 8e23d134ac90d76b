"""Plans: what they ask for, and the sentences for what is wrong with one."""

from pathlib import Path
from typing import Any

import pytest

import infrope_env
from infrope_env.fleet.plan import EpisodeRequest, Plan, read_plan

ROOT = Path(infrope_env.__file__).parents[1]
FOX = "an orange fox waves hello in a dark cave"
PLAN = """
quality = "high"
[environment]
threads = 2
window = 9
[episodes.walk]
seeds = [3, 14]
random = true
seconds = 30
scene = "snow"
[episodes.jump]
script = "jump*2 cut_city stand"
[episodes.story]
seeds = 2
storyboard = "story.txt"
[episodes.board]
prompts = "prompts.txt"
seeds = 2
blocks = 8
"""


def write(folder: Path, text: str) -> Path:
    (folder / "story.txt").write_text(f"{FOX}[3s] | {FOX}[1.5s#]")
    (folder / "prompts.txt").write_text(f"{FOX}\n\n{FOX}.\n")
    (folder / "plan.toml").write_text(text)
    return folder / "plan.toml"


def read(folder: Path, text: str) -> Plan:
    return read_plan(write(folder, text))


def test_a_plan_lists_an_episode_for_every_seed_and_prompt(tmp_path: Path) -> None:
    plan = read(tmp_path, PLAN)
    assert [(each.name, each.blocks, each.controller) for each in plan.episodes[:5]] == [
        ("walk-3", 40, "random"),
        ("walk-14", 40, "random"),
        ("jump-0", 5, "script"),
        ("story-0", 6, "storyboard"),
        ("story-1", 6, "storyboard"),
    ]
    board = plan.episodes[5:]
    assert [(each.options.seed, each.prompt, each.blocks) for each in board] == [
        (0, FOX, 8), (1, FOX, 8), (0, f"{FOX}.", 8), (1, f"{FOX}.", 8),
    ]  # fmt: skip
    assert len({each.name for each in plan.episodes}) == 9 and board[0].name.startswith("board-")
    assert plan.quality == "high" and plan.environment.threads == 2 and plan.environment.window == 9
    assert plan.episodes[0].options.scene == "snow" and plan.episodes[3].options.storyboard == tmp_path / "story.txt"


def test_the_plan_of_the_examples_has_12_short_episodes_and_a_story() -> None:
    plan = read_plan(ROOT / "examples" / "plan.toml")
    assert len(plan.episodes) == 13 and {each.blocks for each in plan.episodes[:10]} == {40}
    assert [each.name for each in plan.episodes[10:]] == ["cuts-3", "cuts-14", "story-0"]


def test_the_pocket_world_runs_on_cores_and_wan_on_gpus(tmp_path: Path) -> None:
    entry = '[episodes.a]\nblocks = 2\n[environment]\nenv = "infrope/{}-v0"\n'
    assert not read(tmp_path, entry.format("PocketWorld")).wants_gpu
    assert read(tmp_path, entry.format("PocketWorld") + 'device = "cuda"').wants_gpu
    assert read(tmp_path, entry.format("Wan")).wants_gpu
    assert not read(tmp_path, entry.format("Wan") + 'device = "cpu"').wants_gpu


def described(folder: Path, text: str) -> list[dict[str, Any]]:
    plan = read(folder, text)
    return [plan.describe(episode) for episode in plan.episodes]


def test_an_episode_is_described_by_all_that_it_depends_on_and_not_by_where_its_files_are(tmp_path: Path) -> None:
    (here := tmp_path / "here").mkdir()
    (there := tmp_path / "there").mkdir()
    before = described(here, PLAN)
    assert described(there, PLAN) == before
    for old, new in (
        ("window = 9", "window = 12"),
        ("seconds = 30", "seconds = 15"),
        ('"snow"', '"city"'),
        ("high", "standard"),
    ):
        assert described(here, PLAN.replace(old, new))[0] != before[0]
    path = write(there, PLAN)
    (there / "story.txt").write_text(f"{FOX}[3s] | {FOX}[1.5s]")
    after = [read_plan(path).describe(episode) for episode in read_plan(path).episodes]
    assert [a == b for a, b in zip(after, before, strict=True)] == [True] * 3 + [False] * 2 + [True] * 4


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("episodes = 3", "expected [episodes] to be a table, got 3"),
        ("", "missing table [episodes]"),
        ("[episodes]", "[episodes] is empty"),
        (
            "[episodes.a]\nrandom = true",
            "[episodes.a] blocks: expected a length in blocks, or in seconds, but",
        ),
        ("[episodes.a]\nblocks = 2\nseconds = 3", "[episodes.a] seconds: expected blocks or seconds, not both"),
        ("[episodes.a]\nblocks = 0", "[episodes.a] blocks: expected a whole number of at least 1, got 0"),
        ("[episodes.a]\nseconds = -1", "[episodes.a] seconds: expected more than 0"),
        ("[episodes.a]\nblocks = 2\nseeds = 0", "[episodes.a] seeds: expected a whole number of at least 1, got 0"),
        ("[episodes.a]\nblocks = 2\nseeds = [-1]", "[episodes.a] seeds: expected a number of seeds, or a list"),
        ("[episodes.a]\nblocks = 2\nseeds = 2000000", "[episodes.a] seeds: expected at most 1,000,000 seeds"),
        ("[episodes.a]\nblocks = 2\nrandom = 1", "[episodes.a] random: expected true or false, got 1"),
        ("[episodes.a]\nblocks = 2\nscirpt = 'jump'", "[episodes.a] scirpt: unknown key, did you mean 'script'?"),
        ("[episodes.a]\nscript = 'fly'", "[episodes.a] expected actions among stand, walk_left"),
        ("[episodes.a]\nscript = 'jump'\nrandom = true", "[episodes.a] random: expected one of script, storyboard"),
        ("[episodes.a]\nblocks = 2\nsubject = 'dragon'", "[episodes.a] subject: expected one of robot, frog"),
        ("[episodes.a]\nstoryboard = 'none.txt'", "none.txt cannot be read: No such file or directory"),
        ("[episodes.a]\nblocks = 2\nprompts = 'none.txt'", "none.txt: cannot be read: No such file or directory"),
        ("[episodes.a]\nblocks = 2\nprompts = 'prompts.txt'\nscene = 'snow'", "prompts and scene exclude each other"),
        ("[episodes.a]\nblocks = 2\nline = 2", "--line chooses a line of a storyboard's file"),
        ("[episodes.'a b']\nblocks = 2", "expected a name of letters, digits and underscores"),
        ("[episodes.a]\nblocks = 2000000", "[episodes.a] is too long: expected at most 1,000,000 blocks"),
        ("[environment]\nweights = 'nothing'\n[episodes.a]\nblocks = 2", "nothing"),
        ("[environment]\nenv = 'infrope/Nowhere-v0'\n[episodes.a]\nblocks = 2", "expected env to be an environment"),
        ("[environment]\nactions = 'nowhere'\n[episodes.a]\nblocks = 2", "nowhere"),
        ("quality = 'best'\n[episodes.a]\nblocks = 2", "best"),
        ("[episodes.a", "not valid TOML"),
    ],
)
def test_a_plan_with_a_mistake_is_one_sentence_that_names_the_place(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(str(tmp_path)) and sentence in message and "\n" not in message


def test_the_controller_of_an_entry_without_one_stands_still(tmp_path: Path) -> None:
    (episode,) = read(tmp_path, "[episodes.a]\nblocks = 2").episodes
    assert isinstance(episode, EpisodeRequest) and (episode.controller, episode.name) == ("stand", "a-0")
