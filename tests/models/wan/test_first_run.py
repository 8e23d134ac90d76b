"""The whole first run of Wan at a small size, in processes of its own, against a file server on this machine."""

from pathlib import Path

import pytest

from tests.models.wan.first_run import (
    BLOCKS,
    GENERATOR,
    TEXT,
    WAN_REPO,
    download_dropped_and_play,
    served,
    tiny_files,
)
from tests.models.wan.local_hub import length_of


@pytest.mark.skipif("not hasattr(__import__('os'), 'waitid')", reason="measures a process as Unix does")
def test_a_download_that_is_killed_and_dropped_is_continued_checked_encoded_and_played(tmp_path: Path) -> None:
    with served(tmp_path, *tiny_files(tmp_path / "released")) as run:
        killed = run.run_killed(TEXT, "weights", "wan", "--download")
        (part,) = (tmp_path / "hf").rglob("*.part")
        arrived, length = part.stat().st_size, length_of(run.hub.more[WAN_REPO][TEXT])
        assert killed.code == -9 and 0 < arrived < length
        assert killed.peak_gb == 0 or 0.05 < killed.peak_gb < 2  # it is not that of this process
        run.hub.requests.clear()
        rest = download_dropped_and_play(run)
        assert rest.code == 0, rest.log
        spans = [span for name, span in run.ranges() if name == TEXT]
        assert spans[0] == f"bytes={arrived}-" and len(spans) == 2 and spans[1] > spans[0]
        assert GENERATOR not in dict(run.ranges())  # it had arrived before
        assert run.hub.sent[TEXT] < 1.3 * length
    assert f"{BLOCKS} blocks, 33 pixel frames" in rest.output and "encoding prompts" in rest.log
    assert not list((tmp_path / "hf").rglob("*.part"))
    assert (tmp_path / "rollouts" / "episode_000" / "video.mp4").stat().st_size > 0
