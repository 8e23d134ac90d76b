"""Which episodes are exported, what is left out of them, and the sentence for it."""

import os
from pathlib import Path

import pytest

from infrope_env.export.selection import Refused, find_episodes, read_episode
from tests.export.conftest import FOX, FROG, Studio
from tests.recording.episodes import edit_log


def refusal(episode: Path, tampered: bool = False) -> str:
    with pytest.raises(Refused) as caught:
        read_episode(episode, tampered)
    return str(caught.value)


def test_episodes_are_found_at_any_depth_once_and_not_in_hidden_folders(studio: Studio) -> None:
    first, second = studio.record("b/deep"), studio.record("a")
    hidden = studio.record(".partial/half")
    assert find_episodes([studio.folder]) == [second, first]
    assert find_episodes([first, studio.folder, first]) == [first, second]
    assert find_episodes([hidden]) == [hidden]  # named itself
    with pytest.raises(ValueError, match="expected a recorded episode, or a folder of some, found none"):
        find_episodes([studio.folder / "nothing"])


def test_a_killed_episode_gives_its_whole_blocks(studio: Studio) -> None:
    episode = studio.record("killed", [FOX] * 4, closed=False)
    log = (episode / "blocks.jsonl").read_bytes()
    (episode / "blocks.jsonl").write_bytes(log[:-30])  # of the last line; its block is in the video
    found = read_episode(episode)
    assert (len(found.blocks), found.frames) == (3, 33)
    assert any("never closed" in remark for remark in found.remarks)


def test_blocks_that_the_video_has_lost_are_left_out(studio: Studio) -> None:
    episode = studio.record("cut off", [FOX] * 4)
    whole = (episode / "video.mp4").read_bytes()
    (episode / "video.mp4").write_bytes(whole[:-20])
    found = read_episode(episode)
    assert (len(found.blocks), found.frames) == (3, 33)
    assert "The last 1 blocks of its log are not in its video.mp4 and are left out." in found.remarks
    (episode / "video.mp4").write_bytes(whole[:900])
    assert refusal(episode) == "its video.mp4 holds no whole block"


def test_an_episode_without_a_video_or_with_another_file_in_its_place_is_refused(studio: Studio) -> None:
    episode = studio.record("bare")
    (episode / "video.mp4").write_bytes(b"no video, though long enough to be one")
    assert refusal(episode) == "its video.mp4 holds no whole block"
    (episode / "video.mp4").unlink()
    assert refusal(episode) == "it has no video.mp4"
    os.mkfifo(episode / "video.mp4")
    assert "expected a regular file, got a pipe" in refusal(episode)


def test_a_changed_episode_is_refused_unless_asked_for(studio: Studio) -> None:
    episode = studio.record("changed")
    edit_log(episode, lambda lines: lines[1].update(prompt=FROG))
    assert refusal(episode).startswith("it was changed after it was written (blocks.jsonl line 2 (block 1) was changed")
    found = read_episode(episode, tampered=True)
    assert found.prompts == (FOX, FROG) and "was changed" in found.remarks[0]


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"first_frame": 5}, "its log places block 1 at pixel frame 5, expected 9"),
        ({"end_frame": 9}, "its log places block 1 at pixel frame 9, expected 9"),
        ({"action": 40}, "its action set has no action 40"),
    ],
)
def test_a_changed_log_that_makes_no_rows_is_refused_even_then(
    studio: Studio, entries: dict[str, int], sentence: str
) -> None:
    episode = studio.record("changed")
    edit_log(episode, lambda lines: lines[1].update(entries))
    assert sentence in refusal(episode, tampered=True)


def test_a_folder_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    assert "is not a recorded episode" in refusal(tmp_path)
