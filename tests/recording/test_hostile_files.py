"""A recording from a stranger opens no file outside of its folder, and its weights are found by name or digest."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from infrope_env.recording import known_weights
from infrope_env.recording.files import ReplayError
from infrope_env.recording.reader import Recording
from infrope_env.recording.verification import verify
from tests.recording.episodes import STAND, change, edit_log, edit_meta, record

pytestmark = pytest.mark.usefixtures("no_waiting")


def put_pipe(path: Path) -> None:
    os.mkfifo(path)


def put_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def put_folder(path: Path) -> None:
    path.mkdir()


def put_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def put_link_outside(path: Path) -> None:
    outside = path.parent.parent / "outside"
    outside.write_bytes(b"a secret")
    path.symlink_to(outside)


def put_huge_file(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


@pytest.mark.parametrize("name", ["meta.json", "blocks.jsonl", "video.mp4", "image.png"])
@pytest.mark.parametrize(
    "put",
    [put_pipe, put_device, put_folder, put_link_to_itself, put_link_outside, put_huge_file],
    ids=lambda f: f.__name__,
)
def test_only_regular_files_inside_of_the_episode_are_opened(
    short_episode: Path, name: str, put: Callable[[Path], None]
) -> None:
    if name == "image.png":
        edit_meta(short_episode, change("options", to={"image": {"file": name, "sha256": "0" * 64}}))
    (short_episode / name).unlink(missing_ok=True)
    put(short_episode / name)
    with pytest.raises(ReplayError) as caught:
        verify(short_episode)
    assert name in str(caught.value) and "a secret" not in str(caught.value)


def test_a_link_inside_of_the_episode_is_followed(short_episode: Path) -> None:
    (short_episode / "video.mp4").rename(short_episode / "film.mp4")
    (short_episode / "video.mp4").symlink_to("film.mp4")
    assert verify(short_episode).ok


@pytest.mark.parametrize(
    "content",
    [
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (200_000).to_bytes(4, "big") + (1).to_bytes(4, "big"),
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (0).to_bytes(4, "big") + (1).to_bytes(4, "big"),
    ],
)
def test_a_picture_that_no_recording_has_is_not_decoded(short_episode: Path, content: bytes) -> None:
    (short_episode / "image.png").write_bytes(content)
    edit_meta(short_episode, change("options", to={"image": {"file": "image.png", "sha256": "0" * 64}}))
    with pytest.raises(ReplayError, match=r"image\.png: expected a PNG picture of at most 8192 pixels a side\."):
        verify(short_episode)


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"\x00\x00\x00\x08ftyp" + b"\x00\x00\x00\x08free" * 1_000_000,
        b"\x00\x00\x00\x08ftyp" + b"\x00\x00\x00\x00moof" + b"\x00" * 100,
        b"\x00\x00\x00\x08ftyp" + b"\x00\x00\x00\x01moof" + b"\xff" * 100,
    ],
)
def test_a_video_that_no_recording_has_is_not_decoded(short_episode: Path, content: bytes) -> None:
    (short_episode / "video.mp4").write_bytes(content)
    report = verify(short_episode)
    assert report.ok and len(report.remarks) == 1 and report.remarks[0].startswith("video.mp4 ")


def test_a_reward_of_a_recording_is_not_imported(short_episode: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (short_episode.parent / "trap.py").write_text("raise SystemExit('code of the recording runs')")
    monkeypatch.syspath_prepend(short_episode.parent)
    edit_meta(short_episode, change("env_kwargs", "reward", to="trap:reward"))
    assert not verify(short_episode).differing_blocks
    assert "trap" not in sys.modules


def test_a_path_of_weights_is_used_only_when_the_caller_passes_it(
    short_episode: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_weights, "_used", {})
    sentence = f"was made with the weights '{tiny_weights}', .* a path in a recording is not opened. Pass --weights."
    with pytest.raises(ReplayError, match=sentence):
        verify(short_episode)
    assert verify(short_episode, weights=str(tiny_weights)).ok


def test_weights_that_the_program_has_loaded_are_found_by_digest_whatever_path_the_recording_names(
    short_episode: Path, tiny_weights: Path
) -> None:
    os.mkfifo(short_episode.parent / "pipe")
    assert verify(short_episode, weights=str(tiny_weights)).ok
    edit_meta(short_episode, change("env_kwargs", "weights", to=str(short_episode.parent / "pipe")))
    assert not verify(short_episode).differing_blocks


@pytest.mark.parametrize("name", ["../assets/pocket", "assets/pocket", "/dev/zero", "pocket/", "~", "."])
def test_a_name_of_bundled_weights_is_no_path(short_episode: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_weights, "_used", {})
    edit_meta(short_episode, change("env_kwargs", "weights", to=name))
    with pytest.raises(ReplayError, match="a path in a recording is not opened"):
        verify(short_episode)


def test_bundled_weights_are_not_taken_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pocket").mkdir()
    monkeypatch.chdir(tmp_path)
    found = known_weights.find_weights("pocket", {})
    assert found == str(known_weights.BUNDLED / "pocket")


def test_weights_of_a_bundled_model_are_found_by_digest() -> None:
    digests = known_weights.load_card(known_weights.BUNDLED / "pocket").files
    assert known_weights.find_weights("/home/stranger/pocket", digests) == "pocket"


def test_a_lora_by_path_is_refused_until_it_was_loaded_here(
    short_episode: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_weights, "_used_loras", {})
    path = tmp_path / "mine.safetensors"
    path.write_bytes(b"lora")
    edit_meta(short_episode, change("env_kwargs", "lora", to=str(path)))
    with pytest.raises(ReplayError, match=r"made with the LoRA '.*': a path in a recording is not opened. Pass --lora"):
        verify(short_episode)
    model = SimpleNamespace(sha256={"generator/a.pt": "a" * 64, "lora/mine.safetensors": "b" * 64})
    known_weights.remember("wan", path, model)
    assert known_weights.find_lora("/home/stranger/x", {"lora/x": "b" * 64, "generator/b": "c" * 64}) == str(path)
    with pytest.raises(ReplayError, match="Pass --lora"):
        known_weights.find_lora("/home/stranger/x", {"lora/x": "d" * 64})


def test_a_file_that_was_loaded_as_a_released_generator_is_found_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_weights, "_used", {})
    path = tmp_path / "model.pt"
    path.write_bytes(b"weights")
    known_weights.remember(f"causvid@{path}", None, SimpleNamespace(sha256={"generator/model.pt": "a" * 64}))
    assert known_weights.find_weights("/home/stranger/x", {"generator/model.pt": "a" * 64}) == f"causvid@{path}"


@pytest.mark.parametrize(
    ("sampler", "sentence"),
    [
        ([500, 1000], "expected steps to fall"),
        ({"steps": list(range(1000, 0, -1))}, "expected steps to be 1 to 64 whole numbers, got 1000"),
        ({"shift": 1e9}, "expected shift to be above 0 and at most 1000"),
        ({"step": 1}, "unknown sampler setting 'step'"),
        (7, "expected a sampler to be steps or a table of settings"),
        ({"first_steps": [1000, [1]]}, "expected first_steps to be whole numbers"),
    ],
)
def test_steps_of_a_stranger_are_bounded(short_episode: Path, sampler: object, sentence: str) -> None:
    edit_meta(short_episode, change("env_kwargs", "sampler", to=sampler))
    with pytest.raises(ReplayError, match=re.escape(sentence)):
        verify(short_episode)


def test_a_decoder_by_path_is_refused(short_episode: Path) -> None:
    edit_meta(short_episode, change("env_kwargs", "decoder", to="/dev/zero"))
    with pytest.raises(ReplayError, match="expected one of taew2_1, wan_vae"):
        verify(short_episode)


def test_an_episode_that_continues_itself_is_refused(short_episode: Path) -> None:
    edit_meta(short_episode, change("continues", to={"episode": "episode_000", "block": 0}))
    edit_log(short_episode, lambda lines: lines.pop(0))
    with pytest.raises(ReplayError, match="continues block 0 of episode_000, which is lost"):
        verify(short_episode)


def test_an_episode_that_continues_a_block_before_its_parent_is_refused(short_episode: Path) -> None:
    child = shutil.copytree(short_episode, short_episode.parent / "episode_001")
    edit_meta(child, change("continues", to={"episode": "episode_000", "block": 0}))
    edit_log(child, lambda lines: lines.pop(0))
    grandchild = shutil.copytree(child, short_episode.parent / "episode_002")
    edit_meta(grandchild, change("continues", to={"episode": "episode_001", "block": 0}))
    with pytest.raises(ReplayError, match="continues block 0 of episode_001, which is lost"):
        verify(grandchild)


def test_a_parent_that_is_a_link_out_of_the_recording_is_not_opened(short_episode: Path) -> None:
    outside = short_episode.parent / "outside"
    kept = short_episode.parent / "kept"
    kept.mkdir()
    shutil.move(short_episode, outside)
    (kept / "episode_000").symlink_to(outside)
    child = shutil.copytree(outside, kept / "episode_001")
    edit_meta(child, change("continues", to={"episode": "episode_000", "block": 0}))
    edit_log(child, lambda lines: lines.pop(0))
    with pytest.raises(ReplayError, match="is a link to a folder outside of the recording"):
        verify(child)


def test_a_long_chain_of_restored_states_is_replayed(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=3)
    for _ in range(30):
        env.step(STAND)
        env.unwrapped.restore_state(env.unwrapped.save_state())
    env.close()
    newest = sorted(tmp_path.iterdir())[-1]
    assert verify(newest).ok and len(Recording.read(newest).lineage()) == 30
