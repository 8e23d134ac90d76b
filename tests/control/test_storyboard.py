import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infrope_env.control.storyboard import Shot, Storyboard, Subtitle, parse

GOLDENS = Path(os.environ.get("INFROPE_GOLDENS", Path(__file__).parent.parent / "goldens"))
DSL = next((file for file in (GOLDENS / "dsl.json", GOLDENS / "rollouts" / "dsl.json") if file.exists()), None)
ROWS = json.loads(DSL.read_text(encoding="utf-8"))["rows"] if DSL else []


def rounded(seconds):
    return seconds if seconds is None else pytest.approx(seconds, abs=1e-9)


# as the release reads it


def test_the_goldens_are_there():
    assert len(ROWS) >= 18


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["line"])
def test_release_mode_reads_every_line_as_the_release_does(row):
    board = parse(row["line"], compat="release")
    assert [shot.prompt for shot in board.shots] == row["texts"]
    assert [shot.blocks for shot in board.shots] == row["blocks_nfpb3"]
    assert [shot.cut for shot in board.shots] == [False, *row["hash_flags"][:-1]]
    assert list(board.flush_blocks) == row["flush_blocks"]
    assert list(board.cut_blocks) == row["cut_blocks"]
    assert board.seconds == rounded(row["total_seconds"])
    assert board.latent_frames() == row["latent_frames"]["nfpb3"]
    assert parse(row["line"], compat="release", block=1).latent_frames() == row["latent_frames"]["nfpb1"]
    assert board.latent_frames(from_image=True) == row["latent_frames_i2v_nfpb3"]
    if row["total_blocks_nfpb3"] is not None:
        assert board.total_blocks == row["total_blocks_nfpb3"]
    subtitles = row["subtitle_part"].split("|") if row["subtitle_part"] else []
    assert list(board.subtitles) == [subtitle.strip() for subtitle in subtitles]


def test_the_release_never_reaches_a_shot_past_the_total():
    line = "one[0.2s] | two[0.75s]"
    assert [(shot.prompt, shot.blocks) for shot in parse(line, compat="release").played()] == [("one", 1)]
    assert len(parse("one[0.2s] | two[0.2s] | three[0.2s]", compat="release").played()) == 1
    assert [(shot.prompt, shot.blocks) for shot in parse(line).played()] == [("one", 1), ("two", 1)]


# as the README of the release says


def test_a_hash_makes_its_own_scene_begin_with_a_cut():
    board = parse("one[10s] | two[10s#] | three[10s]")
    assert board.shots == (
        Shot("one", 13, False, 10.0),
        Shot("two", 13, True, 10.0),
        Shot("three", 13, False, 10.0),
    )
    assert board.flush_blocks == (13, 26)
    assert board.cut_blocks == (13,)
    assert parse("one[10s] | two[10s#] | three[10s]", compat="release").cut_blocks == (26,)


def test_a_hash_in_the_text_does_not_cut():
    board = parse("a fox runs[5s] | a #1 fan runs[5s]")
    assert not any(shot.cut for shot in board.shots)
    assert board.shots[1].prompt == "a #1 fan runs"


def test_a_hash_on_the_first_scene_is_kept_but_the_first_block_is_no_cut():
    board = parse("one[5s#] | two[5s]")
    assert [shot.cut for shot in board.shots] == [True, False]
    assert board.cut_blocks == ()


def test_a_line_without_durations_gives_fourteen_blocks_a_scene():
    board = parse("one | two")
    assert [shot.blocks for shot in board.shots] == [14, 14]
    assert (board.seconds, board.latent_frames(), board.total_blocks) == (None, None, 28)


def test_the_last_shot_gets_the_blocks_that_the_others_round_away():
    board = parse("one[5s] | two[5s]")
    assert [shot.blocks for shot in board.shots] == [6, 6]
    assert [shot.blocks for shot in board.played()] == [6, 8]


@pytest.mark.parametrize("seconds", [0.1, 0.75, 1, 2.5, 5, 7.3, 10])
def test_shots_played_always_add_up_to_the_total(seconds):
    for compat in (None, "release"):
        board = parse(f"one[{seconds}s] | two[{seconds}s] | three[1s]", compat)
        assert sum(shot.blocks for shot in board.played()) == board.total_blocks


def test_blocks_follow_the_block_size():
    assert parse("one[6s]", block=1).shots[0].blocks == 24
    assert parse("one[6s]", block=3).shots[0].blocks == 8
    assert parse("one", block=1).shots[0].blocks == 14


def test_brackets_that_are_no_duration_stay_in_the_prompt():
    assert parse("[wide shot] one[5s] | [16 mm film] two[5s]").shots[1].prompt == "[16 mm film] two"


def test_a_storyboard_may_go_over_several_lines():
    board = parse("a fox\nruns[5s] |\n  a fox waves[5s#]\n; good morning\n| goodbye\n")
    assert [shot.prompt for shot in board.shots] == ["a fox runs", "a fox waves"]
    assert board.subtitles == ("good morning", "goodbye")


# subtitles


def test_a_subtitle_covers_its_shot_from_the_first_frame_to_the_last():
    board = parse("one[5s] | two[2.5s] | three[3s]; s1 | | s3")
    assert [shot.blocks for shot in board.played()] == [6, 3, 5]
    assert board.timed_subtitles() == (Subtitle("s1", 0, 9 + 5 * 12), Subtitle("s3", 9 + 8 * 12, 9 + 13 * 12))
    assert parse("one | two; s1 | s2").timed_subtitles() == (Subtitle("s1", 0, 165), Subtitle("s2", 165, 333))
    assert parse("one | two").timed_subtitles() == ()


def test_the_last_subtitle_stays_with_a_shot_that_goes_on_and_those_not_reached_are_left_out():
    board = parse("one[3s] | two[3s] | three[3s]; s1 | s2 | s3")
    assert board.timed_subtitles(20)[-1] == Subtitle("s3", 9 + 7 * 12, 9 + 19 * 12)
    assert board.timed_subtitles(5) == (Subtitle("s1", 0, 45), Subtitle("s2", 45, 57))


def test_the_release_times_subtitles_by_the_durations_or_in_equal_parts():
    board = parse("one[5s] | two[2.5s] | three[1.01s]; s1 | s2", compat="release")
    assert board.subtitles == ("s1", "s2", "")
    assert board.timed_subtitles() == (Subtitle("s1", 0, 80), Subtitle("s2", 80, 120))
    assert board.timed_subtitles(4) == (Subtitle("s1", 0, 45),)
    untimed = parse("one | two; s1 | s2 | s3", compat="release")
    assert untimed.timed_subtitles(3) == (Subtitle("s1", 0, 11), Subtitle("s2", 11, 22), Subtitle("s3", 22, 33))


@pytest.mark.parametrize("block", [1, 3, 5])
def test_blocks_have_the_pixel_frames_that_a_causal_decoder_gives(block):
    board = parse("one", block=block)
    assert [board.pixel_frames(blocks) for blocks in range(3)] == [0, 4 * block - 3, 8 * block - 3]


def test_the_release_truncates_subtitles_and_we_refuse_them():
    line = "one[5s]; s1 | s2"
    assert parse(line, compat="release").subtitles == ("s1",)
    with pytest.raises(ValueError, match="at most one subtitle per shot, got 2 for 1 shots"):
        parse(line)


# mistakes


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "shot 1 of 1 has no prompt"),
        ("[5s]", "shot 1 of 1 has no prompt"),
        ("one[5s] |", "shot 2 of 2 has no prompt"),
        ("one[5s] || two[5s]", "shot 2 of 3 has no prompt"),
        ("one | x[5s][3s]", r"shot 2 of 2 has two durations, \[5s\] and \[3s\]\. Keep one"),
        ("one[5s]\ntwo[5s]", "2 lines, each a storyboard or a prompt of its own"),
        ("a fox runs\na fox waves\n\na frog sits", "3 lines, each a storyboard or a prompt of its own"),
        ("a fox | a frog\na robot | a knight", "2 lines, each a storyboard or a prompt of its own"),
        ("one[0s]", r"shot 1 of 1 lasts \[0s\], expected more than 0 seconds"),
        ("one[5S]", r"expected a duration such as \[5s\], or \[5s#\] to begin with a cut, got \[5S\]"),
        ("one[5.5s #]", r"got \[5.5s #\]"),
        ("one[-5s]", r"got \[-5s\]"),
        ("one[5]", r"got \[5\]"),
        ("one[5 sec]", r"got \[5 sec\]"),
        ("one[5s]; s1; s2", "expected one ';' between shots and subtitles, got another before 's2'"),
    ],
)
def test_a_mistake_is_one_sentence_and_the_release_reads_on(line, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse(line)
    assert isinstance(parse(line, compat="release"), Storyboard)


@pytest.mark.parametrize("seconds", ["99999999999", "9" * 400, "750000", "0" * 5000 + "9" * 5000])
@pytest.mark.parametrize("compat", [None, "release"])
def test_a_storyboard_beyond_reason_is_refused(seconds, compat):
    with pytest.raises(ValueError, match="the storyboard is too long: expected at most 1,000,000 blocks, got "):
        parse(f"one[{seconds}s] | two[5s]", compat)


def test_a_storyboard_of_too_many_shots_is_refused():
    with pytest.raises(ValueError, match="expected at most 10,000 shots, got 300,001"):
        parse("|" * 300_000)


def test_a_storyboard_that_is_no_text_is_refused():
    with pytest.raises(TypeError, match="expected the storyboard to be a text, got 7"):
        parse(7)


@pytest.mark.parametrize(
    ("written", "mend"),
    {
        "[10#s]": "[10s#]",
        "[#10s]": "[10s#]",
        "[# 10s]": "[10s#]",
        "[10s #]": "[10s#]",
        "[10 s#]  [#]": None,
        "[1m30s]": "[90s]",
        "[1m 30s#]": "[90s#]",
        "[1h2m3s]": "[3723s]",
        "[2min]": "[120s]",
        "[0:10]": "[10s]",
        "[1:30#]": "[90s#]",
        "[0:01:30]": "[90s]",
        "(10s#)": "[10s#]",
        "(10s)": "[10s]",
        "(1.5 seconds)": "[1.5s]",
        "{10s}": "[10s]",
        "（10s#）": "[10s#]",
        "［10s］": "[10s]",
        "[5S]": "[5s]",
        "[.5s]": "[0.5s]",
        "[2,5s]": "[2.5s]",
        "[5]": "[5s]",
        "[-5s]": "[5s]",
        "[1e3s]": "[1000s]",
        "[10s": "[10s]",
        " 10s#]": "[10s#]",
        f"[{'9' * 40}]": "[5s]",
    }.items(),
)
def test_what_looks_like_a_duration_is_refused_with_the_mend(written, mend):
    with pytest.raises(ValueError) as caught:
        parse(f"a fox runs | a fox waves{written}")
    assert str(caught.value).startswith("shot 2 of 2")
    assert mend is None or str(caught.value).endswith(f", got {written.strip()}. Write {mend}.")
    assert isinstance(parse(f"a fox runs | a fox waves{written}", compat="release"), Storyboard)


@pytest.mark.parametrize(
    "shot", ["a fox[10s]#", "a fox[10s] #", "#[10s] a fox", "# a fox[10s]", "#a fox[10s]", "a fox#[10s]"]
)
def test_a_hash_outside_the_brackets_is_refused_with_the_mend(shot):
    with pytest.raises(ValueError, match=r"shot 2 of 2 has a '#' outside the brackets.* write \[10s#\]\.$"):
        parse(f"one[5s] | {shot}")
    with pytest.raises(ValueError, match=r"write \[5s#\]\.$"):
        parse("one | # two")


@pytest.mark.parametrize(
    "prompt",
    [
        "#1 fan waves",
        "a #1 fan waves",
        "a #sunset poster",
        "a film of (2019)",
        "a (16:9) picture",
        "[16 mm film] a fox",
        "a lens (50mm)",
        "a (100m) race",
        "[50mm] a fox",
        "[wide shot] a fox",
        "a fox (running)",
        "a fox in 4k [4k]",
    ],
)
def test_hashes_numbers_and_brackets_of_a_prompt_stay_in_it(prompt):
    assert parse(f"one[5s] | {prompt}[5s]").shots[1].prompt == prompt


def test_trailing_semicolons_are_no_mistake():
    assert parse("one[5s]; s1 ;").subtitles == ("s1",)


def test_unknown_dialects_and_block_sizes_are_refused():
    with pytest.raises(ValueError, match="compat to be None or \"release\", got 'official'"):
        parse("one", compat="official")
    for block in (0, "3", 1.5, None):
        with pytest.raises(ValueError, match=f"block to be at least 1, got {block!r}"):
            parse("one", block=block)


def test_importing_the_module_does_not_import_torch():
    code = "import sys, infrope_env.control.storyboard; print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"
