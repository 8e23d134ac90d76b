"""A recording from a stranger runs no code, opens no file outside of its folder, and neither hangs nor fills memory."""

import random
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infrope_env.recording.files import ReplayError
from infrope_env.recording.verification import verify
from tests.recording.episodes import change, edit_log, edit_meta, nested

pytestmark = pytest.mark.usefixtures("no_waiting")

NAMES = {f"name{i}": {"text": "a word"} for i in range(1000)}
CHANGES = [
    change("env_id", to="trap:Trap-v0"),
    change("env_id", to="CartPole-v1"),
    change("env_id", to="infrope/PocketWorldImage-v0"),
    change("env_id", to="infrope_env:infrope/PocketWorld-v0"),
    change("env_id", to=["infrope/PocketWorld-v0"]),
    change("env_kwargs", to=[]),
    change("env_kwargs", "entry_point", to="trap:run"),
    change("env_kwargs", "weights", to=7),
    change("env_kwargs", "device", to="cuda:1; trap"),
    change("env_kwargs", "dtype", to="object"),
    change("env_kwargs", "offload", to="yes"),
    change("env_kwargs", "max_blocks", to=True),
    change("env_kwargs", "reward", to={"trap": 1}),
    change("actions", to="trap.toml"),
    change("actions", "template", to="{subject.__class__} {motion} {scene}"),
    change("actions", "template", to="{subject:>999999999999} {motion} {scene}"),
    change("actions", "subjects", to=[]),
    change("actions", "motions", to={name: {"text": "a word", "keys": []} for name in NAMES}),
    change("actions", "scenes", to={f"s{i}": {"text": "x" * 90_000} for i in range(30)}),
    change("window", to=[1, 2, 3]),
    change("window", "sink", to=10**30),
    change("window", "context", to="2"),
    change("window", "trap", to=1),
    change("frame_rate", to=0),
    change("frame_rate", to=16.5),
    change("seed", to=-1),
    change("seed", to=10**100),
    change("seed", to="3"),
    change("seed", to=True),
    change("options", to={"prompt": 3}),
    change("options", to={"trap": "x"}),
    change("options", to={"prompt": "x" * 200_000}),
    change("options", to={"prompt": "\ud800"}),
    change("options", to={"image": "/etc/passwd"}),
    change("options", to={"image": {"file": "/etc/passwd", "sha256": "0" * 64}}),
    change("continues", to={"episode": "../../etc", "block": 0}),
    change("continues", to={"episode": "/etc", "block": 0}),
    change("continues", to={"episode": "episode_000\n", "block": 0}),
    change("continues", to={"episode": "episode_001", "block": -1}),
    change("continues", to=7),
    change("made_with", "threads", to=100_000),
    change("made_with", "threads", to=0),
    change("made_with", "threads", to=1.0),
    change("made_with", "trap", to=1),
    change("made_with", "dtype", to="float64"),
    change("made_with", "weights", to={"generator": "short"}),
    change("made_with", "versions", to={"torch": ["2"]}),
    change("made_with", "processor", to="\x1b[2J"),
    change("made_with", "sampler", to=nested(50)),
    change("format", to=True),
    change("format", to=10**100),
    change("closed", to=[1, 2]),
    change("closed", to={"blocks": "2", "chain": "0"}),
]


@pytest.mark.parametrize("apply", CHANGES, ids=lambda apply: apply.__name__)
def test_meta_data_that_do_not_fit_are_refused_in_a_sentence(
    short_episode: Path, apply: Callable[[dict[str, Any]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    (short_episode.parent / "trap.py").write_text("raise SystemExit('code of the recording runs')")
    monkeypatch.chdir(short_episode.parent)
    monkeypatch.syspath_prepend(short_episode.parent)
    edit_meta(short_episode, apply)
    with pytest.raises(ReplayError) as caught:
        verify(short_episode)
    assert "trap" not in sys.modules
    sentence = str(caught.value)
    assert "meta.json" in sentence and sentence.endswith(".") and len(sentence) < 600
    assert "\n" not in sentence and sentence.isprintable()


DEEP, LONG = 100_000, 10_000


@pytest.mark.parametrize(
    "content",
    [
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'{"format": 1, "seed": ' + b"9" * LONG + b"}",
        b'{"format": 1, "seed": 1e999}',
        b'{"format": 1, "seed": NaN}',
        b"\xff\xfe\x00",
        b"",
        b"[]",
        b"null",
        b'"' + b"x" * 5_000_000 + b'"',
    ],
    ids=["lists", "objects", "digits", "infinite", "nan", "bytes", "empty", "list", "null", "large"],
)
@pytest.mark.parametrize("name", ["meta.json", "blocks.jsonl"])
def test_content_that_is_no_recording_is_refused_in_a_sentence(short_episode: Path, name: str, content: bytes) -> None:
    (short_episode / name).write_bytes(content + b"\n")
    with pytest.raises(ReplayError) as caught:
        verify(short_episode)
    assert len(str(caught.value)) < 400 and str(caught.value).endswith(".")


LINE_CHANGES = [
    {"block": "1"},
    {"block": 10**40},
    {"action": "jump"},
    {"action": -1},
    {"action": True},
    {"action": nested(40)},
    {"asked": {"text": "a fox", "cut": "yes"}},
    {"asked": {"text": ["a fox"], "cut": True}},
    {"asked": {"text": "a fox", "cut": True, "more": 1}},
    {"asked": "a fox"},
    {"asked": {"text": "a fox", "cut": True, "given": 1}},
    {"reward": "much"},
    {"reward": True},
    {"terminated": 0},
    {"truncated": None},
    {"compiled": 1},
    {"scene": "\x1b[2J"},
    {"prompt": None},
    {"transition": "teleport"},
    {"sha256": "0"},
    {"chain": 5},
    {"end_frame": -1},
    {"end_frame": 1e300},
]


@pytest.mark.parametrize("entries", LINE_CHANGES, ids=str)
def test_a_line_that_does_not_fit_is_tampering_and_ends_replay(short_episode: Path, entries: dict[str, Any]) -> None:
    edit_log(short_episode, lambda lines: lines[1].update(entries))
    report = verify(short_episode)
    assert report.tampering == ("blocks.jsonl line 2 was changed: it cannot be read.",) and report.blocks == 1


@pytest.mark.parametrize("threads", [0, -1, 257, 100_000])
def test_a_number_of_threads_beyond_reason_is_refused(short_episode: Path, threads: int) -> None:
    with pytest.raises(ValueError, match=r"expected threads to be at (least|most)"):
        verify(short_episode, threads=threads)


@pytest.mark.parametrize("seed", range(60))
def test_random_changes_of_the_meta_data_give_a_report_or_a_sentence(short_episode: Path, seed: int) -> None:
    random.seed(seed)
    values = [None, True, -1, 10**25, 1.5, "", "x" * 500, "../..", [], {}, nested(3), nested(30), {"a": {"b": 1}}]

    def mutate(meta: Any) -> None:
        while True:
            key = random.choice(list(meta))
            if not isinstance(meta[key], dict) or not meta[key] or random.random() < 0.3:
                break
            meta = meta[key]
        meta[key] = random.choice(values)

    edit_meta(short_episode, mutate)
    try:
        report = verify(short_episode)
    except ReplayError as error:
        assert re.fullmatch(r"[^\n]{10,700}\.", str(error)), error
    else:
        assert report.summary()


def test_random_bytes_in_a_log_give_a_report_or_a_sentence(short_episode: Path) -> None:
    random.seed(5)
    whole = (short_episode / "blocks.jsonl").read_bytes()
    for _ in range(40):
        damaged = bytearray(whole)
        for _ in range(random.randrange(1, 4)):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        (short_episode / "blocks.jsonl").write_bytes(damaged)
        try:
            report = verify(short_episode)
        except ReplayError as error:
            assert "holds no whole block" in str(error)
        else:
            assert report.tampering or report.remarks
