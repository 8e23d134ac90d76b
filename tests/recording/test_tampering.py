"""A replay reports what was changed in a recording after it was written, and what is lost."""

from pathlib import Path

import pytest

from infrope_env.recording.files import ReplayError
from infrope_env.recording.verification import Verdict, verify
from tests.recording.episodes import JUMP, STAND, edit_log, edit_meta, record


def test_a_changed_frame_digest_is_named(episode: Path) -> None:
    edit_log(episode, lambda lines: lines[3].update(sha256="0" * 64))
    report = verify(episode)
    assert report.first_differing_block == 3 and report.differing_blocks == (3,)
    assert report.tampering == ("blocks.jsonl line 4 (block 3) was changed after it was written.",)
    assert report.verdict is Verdict.TAMPERED and report.exit_code == 1
    assert "5 differ" not in report.summary() and "1 differ, the first is block 3" in report.summary()


def test_a_changed_action_is_named_and_gives_other_blocks(episode: Path) -> None:
    edit_log(episode, lambda lines: lines[2].update(action=JUMP))
    report = verify(episode)
    assert report.first_differing_block == 2 and report.verdict is Verdict.TAMPERED
    assert report.tampering == ("blocks.jsonl line 3 (block 2) was changed after it was written.",)


def test_an_unknown_action_ends_the_replay_with_a_sentence(episode: Path) -> None:
    edit_log(episode, lambda lines: lines[2].update(action=99))
    report = verify(episode)
    assert report.first_differing_block == 2 and report.blocks == 2
    assert "Block 2 cannot be replayed: expected an action from 0 to 11" in report.summary()


def test_a_removed_line_is_noticed_and_ends_the_replay(episode: Path) -> None:
    edit_log(episode, lambda lines: lines.pop(2))
    report = verify(episode)
    assert report.verdict is Verdict.TAMPERED and report.blocks == 2 and not report.differing_blocks
    assert report.tampering == ("blocks.jsonl line 3 is block 3, expected block 2.",)
    assert "Blocks from 2 on are unreadable" in report.summary()


def test_a_removed_last_line_is_noticed_because_the_log_was_closed(episode: Path) -> None:
    edit_log(episode, lambda lines: lines.pop())
    assert verify(episode).tampering == ("blocks.jsonl was closed with 6 blocks and has 5.",)


def test_an_unreadable_line_is_noticed(episode: Path) -> None:
    log = episode / "blocks.jsonl"
    lines = log.read_text().splitlines()
    log.write_text("\n".join([*lines[:2], "?", *lines[3:], ""]))
    assert verify(episode).tampering == ("blocks.jsonl line 3 was changed: it cannot be read.",)


def test_changed_meta_data_are_noticed(episode: Path) -> None:
    edit_meta(episode, lambda meta: meta.update(seed=4))
    report = verify(episode)
    assert report.tampering == ("meta.json or blocks.jsonl line 1 (block 0) was changed after it was written.",)
    assert report.first_differing_block == 0


def test_an_incomplete_last_line_is_reported_and_is_no_failure(episode: Path) -> None:
    edit_meta(episode, lambda meta: meta.pop("closed"))
    log = episode / "blocks.jsonl"
    log.write_bytes(log.read_bytes()[:-40])
    report = verify(episode)
    assert report.ok and report.blocks == 5
    assert report.remarks[:2] == (
        "The last line of the log is incomplete: the recording ended while it was written.",
        "The recording was never closed because its process or disk failed: 5 whole blocks are left.",
    )


def test_a_change_in_a_parent_is_reported(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=5)
    env.step(STAND)
    env.unwrapped.restore_state(env.unwrapped.save_state())
    env.step(JUMP)
    env.close()
    edit_log(tmp_path / "episode_000", lambda lines: lines[1].update(action=JUMP))
    assert verify(tmp_path / "episode_001").tampering == (
        "In episode_000, which it continues: blocks.jsonl line 2 (block 1) was changed after it was written.",
    )


def test_a_folder_that_is_no_recording_is_refused_with_a_sentence(episode: Path, tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="is not a recorded episode"):
        verify(tmp_path / "nothing")
    (episode / "blocks.jsonl").write_text("")
    with pytest.raises(ReplayError, match="holds no whole block"):
        verify(episode)
    edit_meta(episode, lambda meta: meta.pop("seed"))
    with pytest.raises(ReplayError, match=r"meta\.json was changed: an entry does not fit \(seed is missing\)"):
        verify(episode)
    edit_meta(episode, lambda meta: meta.update(format=99))
    with pytest.raises(ReplayError, match="expected format 1 or 2, got 99"):
        verify(episode)


@pytest.mark.parametrize("kept", [0, 40, 2000])
def test_a_damaged_video_is_reported_and_digests_still_compare(episode: Path, kept: int) -> None:
    video = episode / "video.mp4"
    video.write_bytes(video.read_bytes()[:kept])
    report = verify(episode)
    assert report.ok and len(report.remarks) == 1 and report.remarks[0].startswith("video.mp4 ")


def test_a_missing_video_is_reported_and_digests_still_compare(episode: Path) -> None:
    (episode / "video.mp4").unlink()
    report = verify(episode)
    assert report.ok and report.remarks == ("video.mp4 cannot be read: No such file or directory.",)
