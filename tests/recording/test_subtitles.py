"""Subtitles as video players read them."""

from pathlib import Path

import av
import pytest

from infrope_env.control.storyboard import Subtitle, parse
from infrope_env.recording.episode import BlockRecord
from infrope_env.recording.subtitles import to_srt
from infrope_env.recording.writer import Recorder
from tests.recording.test_writer import block_frames, write_block


def test_an_srt_file_has_numbers_times_and_texts() -> None:
    subtitles = [Subtitle("Off we go", 0, 80), Subtitle("Später", 57_600 + 81, 57_600 + 97)]
    assert to_srt(subtitles, 16) == (
        "1\n00:00:00,000 --> 00:00:05,000\nOff we go\n\n2\n01:00:05,062 --> 01:00:06,062\nSpäter\n"
    )
    assert to_srt([], 16) == ""


def test_a_video_player_reads_subtitles_at_their_times(tmp_path: Path) -> None:
    path = tmp_path / "video.srt"
    path.write_text(to_srt(parse("one[3s] | two[3s]; Ein Fuchs läuft | Er, er winkt?").timed_subtitles(), 16), "utf-8")
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(subtitles=0) if packet.size]
    assert [bytes(packet).decode() for packet in packets] == ["Ein Fuchs läuft", "Er, er winkt?"]
    starts = [float(packet.pts * packet.time_base) for packet in packets]
    ends = [float((packet.pts + packet.duration) * packet.time_base) for packet in packets]
    assert starts == [0, 2.812] and ends == [2.812, 5.812]  # 45 and 93 pixel frames, in milliseconds


def test_subtitles_are_written_beside_the_video_of_their_episode_only(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, 16)
    for subtitles in ([Subtitle("hello", 0, 9)], []):
        recorder.begin_episode({}, subtitles)
        recorder.write(block_frames(0), BlockRecord(0, None, None, "fox", "snow", "stand", "a fox", "start", ""))
    assert "hello" in (tmp_path / "episode_000" / "video.srt").read_text()
    assert not (tmp_path / "episode_001" / "video.srt").exists()
    recorder.close()


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "killed"])
def test_subtitles_of_a_storyboard_that_is_quit_early_end_with_the_video(tmp_path: Path, closed: bool) -> None:
    recorder = Recorder(tmp_path, 16)
    recorder.begin_episode({}, [Subtitle("one", 0, 9), Subtitle("two", 9, 100), Subtitle("three", 100, 200)])
    for block in range(2):
        write_block(recorder, block)
    if closed:
        recorder.close()
    subtitles = (tmp_path / "episode_000" / "video.srt").read_text()
    assert subtitles == (
        "1\n00:00:00,000 --> 00:00:00,562\none\n\n2\n00:00:00,562 --> 00:00:01,312\ntwo\n"  # 21 frames at 16 per second
    )
    recorder.close()
