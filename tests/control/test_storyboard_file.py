"""Storyboard files as editors, the release and LongLive write them."""

import os
from pathlib import Path

import pytest

from infrope_env.control.storyboard import parse
from infrope_env.control.storyboard_file import read_storyboard

LINE = "a fox runs[5s] | a fox waves[10s#]; good morning | goodbye"


def written(folder: Path, data: str | bytes, name: str = "board.txt") -> Path:
    (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return folder / name


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r", ""])
@pytest.mark.parametrize("compat", [None, "release"])
def test_a_file_of_any_editor_is_read(tmp_path: Path, encoding: str, ends: str, compat: str | None):
    assert read_storyboard(written(tmp_path, (LINE + ends).encode(encoding)), compat) == parse(LINE, compat)


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
@pytest.mark.parametrize("compat", [None, "release"])
def test_a_separator_that_is_no_line_end_is_a_space(tmp_path: Path, separator: str, compat: str | None):
    path = written(tmp_path, LINE.replace("fox runs", f"fox{separator}runs"))
    assert read_storyboard(path, compat) == parse(LINE, compat)
    assert read_storyboard(str(path), compat, line=1) == parse(LINE, compat)


def test_a_line_can_be_broken_before_or_after_a_separator(tmp_path: Path):
    for text in (LINE.replace(" | ", "\r\n| "), LINE.replace(" | ", " |\n\n"), LINE.replace("; ", ";\n")):
        assert read_storyboard(written(tmp_path, text)) == parse(LINE)


@pytest.mark.parametrize(
    "lines",
    [
        ["a fox runs", "a frog sits", "a robot waves"],
        ["a fox runs[5s]", "a frog sits[5s]", "a robot waves[5s]"],
        ["a fox runs | a fox waves", "a frog sits | a frog jumps", "a robot waves"],
        ["a fox runs[5s] | a fox waves[5s#]; s1 | s2", "a frog sits[5s] | a frog jumps[5s]", "a robot[5s]; s1"],
    ],
)
@pytest.mark.parametrize("compat", [None, "release"])
def test_a_list_is_never_one_storyboard_and_each_line_plays(tmp_path: Path, lines: list[str], compat: str | None):
    path = written(tmp_path, "\n".join([*lines[:2], "", *lines[2:], ""]))
    with pytest.raises(
        ValueError, match=r"board\.txt: 3 (lines|storyboards), .*Choose one with --line 1 to --line 4\.$"
    ):
        read_storyboard(path, compat)
    assert [read_storyboard(path, compat, line=n) for n in (1, 2, 4)] == [parse(line, compat) for line in lines]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (0, "line 0: expected a line from 1 to 3"),
        (9, "line 9: expected a line from 1 to 3"),
        (2, "line 2: the line is empty"),
        (3, "line 3: shot 1 of 1 lasts"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: int, sentence: str):
    with pytest.raises(ValueError, match=rf"board\.txt, {sentence}"):
        read_storyboard(written(tmp_path, "a fox\n\na frog[0s]"), line=line)


def test_prompts_of_longlive_are_read(tmp_path: Path):
    lines = '{"prompts": ["a fox; it runs", "a [5s] fox | waves"]}\n{"prompts": ["a\\nfrog"], "id": 3}\n'
    path = written(tmp_path, lines, "interactive.jsonl")
    with pytest.raises(ValueError, match=r"2 storyboards, of LongLive\. Choose one with --line 1 to --line 2\."):
        read_storyboard(path)
    first, second = (read_storyboard(path, line=number) for number in (1, 2))
    assert [shot.prompt for shot in first.shots] == ["a fox; it runs", "a [5s] fox | waves"]
    assert [shot.prompt for shot in second.shots] == ["a frog"]
    assert first.total_blocks == parse("one | two").total_blocks


@pytest.mark.parametrize(
    "text",
    ['{"prompt": "a fox"}', '{"prompts": "a fox"}', '{"prompts": []}', '{"prompts": [" "]}', "{", '["a"]', "[" * 9999],
)
def test_other_json_is_refused_by_name(tmp_path: Path, text: str):
    with pytest.raises(ValueError, match=r"board\.json: expected one JSON object on each line, .*LongLive"):
        read_storyboard(written(tmp_path, text, "board.json"))


def test_an_empty_file_has_no_prompt(tmp_path: Path):
    for text in ("", " \n\n"):
        with pytest.raises(ValueError, match=r"board\.txt: shot 1 of 1 has no prompt"):
            read_storyboard(written(tmp_path, text))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_only_regular_files_of_a_reasonable_size_are_read(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path, sentence in {
        tmp_path / "pipe": "expected a regular file, it is a pipe",
        Path("/dev/zero"): "expected a regular file, it is a device",
        tmp_path: "expected a regular file, it is a folder",
        written(tmp_path, bytes(2_000_000)): "expected at most 1 MB, it is larger",
        tmp_path / "missing": "No such file",
    }.items():
        with pytest.raises(ValueError, match=rf"{path.name}: cannot be read: {sentence}"):
            read_storyboard(path)


def test_a_path_that_is_none_is_refused_in_a_sentence():
    with pytest.raises(TypeError, match="expected a storyboard to be a path, got None"):
        read_storyboard(None)
    with pytest.raises(
        ValueError, match="expected a storyboard to be a path, got '~nobody-here/x': there is no such user"
    ):
        read_storyboard("~nobody-here/x")
