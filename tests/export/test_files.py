"""Folders of files: VBench's and WBench's videos, and PNG files of pixel frames."""

import json
import re
from pathlib import Path

import av
import numpy as np
import pytest

from infrope_env.control.storyboard_file import read_storyboard
from infrope_env.control.wbench_case import case_prompts
from infrope_env.export.exporter import Outcome, export
from infrope_env.export.frames import FramesFolder
from infrope_env.export.vbench import VBenchFolder
from infrope_env.export.wbench import WBenchFolder, read_cases
from tests.export.conftest import FOX, Studio
from tests.export.test_lerobot import decode, packets

LONG = "a fox runs through " + "very " * 60 + "deep snow / ../ 雪 -Scene-3"


def test_vbench_pairs_every_video_with_its_prompt_whatever_the_prompt(studio: Studio, tmp_path: Path) -> None:
    out = tmp_path / "out"
    episodes = [studio.record("a"), studio.record("bb"), studio.record("ccc", [LONG] * 2)]
    assert len(LONG) > 300 and not export(episodes, out, VBenchFolder).refused
    prompts = json.loads((out / "prompts.json").read_text())
    videos = sorted(path.name for path in out.glob("*.mp4"))
    assert sorted(prompts) == videos and sorted(prompts.values()) == sorted([FOX, FOX, LONG])
    assert all(re.fullmatch(r"[0-9a-f]{12}-\d+\.mp4", name) for name in videos)  # VBench-Long's rule, and short
    assert {name[-6:] for name in videos} == {"-0.mp4", "-1.mp4"}  # one prompt twice
    (long,) = [name for name, prompt in prompts.items() if prompt == LONG]
    assert packets(out / long) == packets(episodes[2] / "video.mp4")
    assert [path for path in out.iterdir() if path.is_dir()] == []


def test_vbench_keeps_names_when_episodes_are_added_later(studio: Studio, tmp_path: Path) -> None:
    a, b = studio.record("a"), studio.record("bb")
    out = tmp_path / "out"
    export([b], out, VBenchFolder)
    (name,) = (path.name for path in out.glob("*.mp4"))
    outcome = export([a, b], out, VBenchFolder)
    assert outcome.kept == [b] and len(list(out.glob("*.mp4"))) == 2
    assert packets(out / name) == packets(b / "video.mp4")


def test_a_folder_of_another_format_is_refused(studio: Studio, tmp_path: Path) -> None:
    episode = studio.record("a")
    export([episode], tmp_path / "out", VBenchFolder)
    with pytest.raises(ValueError, match="holds an export to vbench: choose another folder"):
        export([episode], tmp_path / "out", FramesFolder)


def test_frames_are_those_of_the_video_with_a_row_each(studio: Studio, tmp_path: Path) -> None:
    episode = studio.record("a")
    ((_, name),) = export([episode], tmp_path / "out", FramesFolder).added
    rows = [json.loads(line) for line in (tmp_path / "out" / name / "frames.jsonl").read_text().splitlines()]
    frames = decode(episode / "video.mp4")[1]
    assert len(rows) == len(frames) == 33 and rows[9]["file"] == "000009.png"
    for row, frame in zip(rows[::8], frames[::8], strict=True):
        with av.open(str(tmp_path / "out" / name / row["file"])) as picture:
            (shown,) = picture.decode(video=0)
        assert np.array_equal(shown.to_ndarray(format="rgb24"), frame)
    assert (rows[8]["action.name"], rows[9]["action"], rows[9]["block_index"]) == ("reset", 0, 1)


def case(number: str, *turns: dict[str, str], perspective: str = "first_person") -> dict[str, object]:
    return {
        "id": number,
        "environment_prompt": "A harbour at dawn",
        "character_prompt": "A dog.",
        "settings": {"perspective": perspective, "initial_image": f"images/case_{number}.jpg"},
        "interactions": list(turns),
    }


FORWARD, RAIN = {"type": "navigation", "action": "W"}, {"type": "event_edit", "action": "It begins to rain"}


def write_cases(folder: Path, *cases: dict[str, object]) -> Path:
    folder.mkdir(exist_ok=True)
    for each in cases:
        (folder / f"case_{each['id']}.json").write_text(json.dumps(each, indent=1))
    return folder


def to_wbench(episodes: list[Path], out: Path, cases: Path) -> Outcome:
    found = read_cases(cases)
    return export(episodes, out, lambda folder: WBenchFolder(folder, found))


def test_a_case_is_a_storyboard_of_turns_of_one_length(tmp_path: Path) -> None:
    cases = write_cases(tmp_path / "cases", case("e_5", FORWARD, {"type": "navigation", "action": "W+left"}, RAIN))
    board = read_storyboard(cases / "case_e_5.json")
    assert [shot.prompt for shot in board.shots] == [
        "A harbour at dawn. A dog. The camera moves forward.",
        "A harbour at dawn. A dog. The camera moves forward and turns to the left.",
        "A harbour at dawn. A dog. It begins to rain.",
    ]
    assert [shot.blocks for shot in board.shots] == [5, 5, 5] and board.total_blocks == 15  # 4 s each
    assert not any(shot.cut for shot in board.shots)


def test_words_of_a_turn_follow_its_type_and_perspective() -> None:
    keys = {"type": "navigation", "action": "W+left"}
    switch, own = {"type": "perspective_switch", "action": "fp_to_tp"}, {"type": "navigation", "prompt": "It turns"}
    prompts = case_prompts(case("1", keys, switch, own, perspective="third_person"))
    assert [prompt.removeprefix("A harbour at dawn. A dog. ") for prompt in prompts] == [
        "The subject walks forward and the camera follows, and the camera circles the subject to the left.",
        "The view changes from the subject's eyes to behind the subject.",
        "It turns.",
    ]


@pytest.mark.parametrize(
    ("turns", "sentence"),
    [
        ([], "expected a case of WBench with 1 to 1000 interactions"),
        ([{"type": "navigation", "action": "Q"}], "expected navigation keys among W, S, A, D"),
        ([{"type": "event_edit"}], "expected an interaction to have an action"),
        (["W"], "expected an interaction to be an object"),
    ],
)
def test_a_case_with_a_mistake_is_one_sentence_with_its_path(
    tmp_path: Path, turns: list[dict[str, str]], sentence: str
) -> None:
    cases = write_cases(tmp_path / "cases", case("1", *turns))
    for read in (read_cases, lambda folder: read_storyboard(folder / "case_1.json")):
        with pytest.raises(ValueError, match=f"case_1.json.*{sentence}"):
            read(cases)


def test_wbench_names_a_video_by_the_case_whose_prompts_it_shows(studio: Studio, tmp_path: Path) -> None:
    cases = write_cases(tmp_path / "cases", case("e_5", FORWARD, FORWARD, RAIN), case("7", RAIN, RAIN, FORWARD))
    walk, rain = (case_prompts(case("e_5", turn))[0] for turn in (FORWARD, RAIN))
    fitting = studio.record("a", [walk] * 4 + [rain] * 2)
    other = studio.record("bb", [walk] * 3 + [rain] * 2)
    outcome = to_wbench([fitting, other], tmp_path / "out", cases)
    assert [place for _, place in outcome.added] == ["videos/case_e_5_combined.mp4"]
    assert dict(outcome.refused) == {other: "its prompts are not those of a case, in turns of equal length"}
    turns = json.loads((tmp_path / "out" / "turns.json").read_text())
    assert turns == {"fps": 16, "cases": {"e_5": {"turn_frames": [0, 21, 45, 69]}}}
    video = tmp_path / "out" / "videos" / "case_e_5_combined.mp4"
    assert packets(video) == packets(fitting / "video.mp4") and len(packets(video)) == 69
    again = to_wbench([fitting, studio.record("ccc", [walk] * 2 + [rain])], tmp_path / "out", cases)
    assert again.kept == [fitting] and "case e_5 was exported before" in again.refused[0][1]


def test_a_folder_s_name_decides_between_cases_with_the_same_prompts(studio: Studio, tmp_path: Path) -> None:
    cases = write_cases(tmp_path / "cases", case("1", RAIN), case("2", RAIN))
    (rain,) = case_prompts(case("1", RAIN))
    outcome = to_wbench([studio.record("a", [rain]), studio.record("case_2", [rain])], tmp_path / "out", cases)
    assert [place for _, place in outcome.added] == ["videos/case_2_combined.mp4"]
    assert "those of cases 1, 2: record it in a folder named case_<id>" in outcome.refused[0][1]
