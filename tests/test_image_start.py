"""A rollout may start from a picture, which becomes block 0: play, saved states, recordings and replay."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from infrope_env import cli
from infrope_env import env as env_module
from infrope_env.dynamics.rollout import Rollout
from infrope_env.env import InfinityRopeEnv
from infrope_env.models.block_codec import BlockCodec
from infrope_env.models.resolve import load_model
from infrope_env.pixels.picture import load_picture, static_video
from infrope_env.pixels.taehv import TAEHV, TAEHVEncoder
from infrope_env.recording.verification import Verdict, verify
from infrope_env.recording.wrapper import RecordRollout
from tests.tiny_world import TINY_DECODER

STAND, WALK_RIGHT, JUMP = 0, 2, 3
PICTURE = np.random.default_rng(1).integers(0, 256, (32, 48, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def models_have_an_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every loaded model a picture encoder with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        encoder = TAEHVEncoder(TAEHV(TINY_DECODER).requires_grad_(False))
    monkeypatch.setattr(env_module, "load_model", lambda *a, **k: replace(load_model(*a, **k), encoder=encoder))


@pytest.fixture
def env(tiny_weights: Path) -> InfinityRopeEnv:
    return InfinityRopeEnv(weights=str(tiny_weights), device="cpu", dtype="float32")


def play(env: InfinityRopeEnv, image: object = PICTURE, seed: int = 3) -> list[bytes]:
    """Return the bytes of five observations, the first from the picture."""
    blocks = [env.reset(seed=seed, options={"image": image})[0]]
    blocks += [env.step(action)[0] for action in (STAND, WALK_RIGHT, JUMP, JUMP)]
    return [frames.tobytes() for frames in blocks]


def test_the_first_block_is_the_picture_encoded_and_decoded(env: InfinityRopeEnv):
    observation, info = env.reset(seed=3, options={"image": PICTURE, "subject": "frog"})
    assert env.model.encoder is not None
    latents = env.model.encoder.encode(static_video(PICTURE, 9))
    decoded, _ = env.model.decoder.decode(latents, None)
    assert np.array_equal(observation[3:], decoded[0].numpy())
    assert (info["block"], info["num_frames"], info["transition"]) == (0, 9, "start")
    assert info["subject"] == "frog" and "frog" in info["prompt"]


def test_play_continues_from_the_picture(env: InfinityRopeEnv):
    env.reset(seed=3, options={"image": PICTURE})
    observation, _, _, _, info = env.step(STAND)
    assert (info["block"], info["num_frames"], info["transition"]) == (1, 12, "continue")
    env.reset(seed=3, options={"image": 255 - PICTURE})
    assert not np.array_equal(env.step(STAND)[0], observation)
    assert env.reset(seed=3)[1]["block"] == 0 and env.picture is None


def test_the_cache_holds_the_pictures_latents_under_the_prompt(env: InfinityRopeEnv):
    env.reset(seed=3, options={"image": PICTURE})
    model = env.model
    assert model.encoder is not None
    rollout = Rollout(model.transformer, env.window, model.sampler)
    rollout.prefill(model.encoder.encode(static_video(PICTURE, 9)), model.text_encoder([env.steering.prompt]))
    assert env._rollout.cache.frame_ids == rollout.cache.frame_ids == (0, 1, 2)
    assert torch.equal(env._rollout.cache.keys, rollout.cache.keys)


def test_the_picture_counts_as_a_block(tiny_weights: Path):
    env = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", max_blocks=3)
    env.reset(seed=3, options={"image": PICTURE})
    assert [env.step(STAND)[3] for _ in range(2)] == [False, True]


def test_the_same_seed_picture_and_actions_give_the_same_bytes(env: InfinityRopeEnv):
    blocks = play(env)
    assert play(env) == blocks
    assert play(env, seed=4)[0] == blocks[0] and play(env, seed=4)[1] != blocks[1]


def test_a_file_is_scaled_and_cropped_to_the_frame(env: InfinityRopeEnv, tmp_path: Path):
    Image.fromarray(PICTURE).save(tmp_path / "small.png")
    assert play(env, tmp_path / "small.png") == play(env, str(tmp_path / "small.png")) == play(env)
    Image.fromarray(PICTURE).resize((300, 100)).save(tmp_path / "wide.png")
    assert env.reset(options={"image": tmp_path / "wide.png"})[0].shape == (12, 32, 48, 3)
    assert env.picture is not None and env.picture.shape == (32, 48, 3)


def test_the_picture_fills_a_block_of_another_size(tiny_weights: Path):
    env = InfinityRopeEnv(weights=str(tiny_weights), device="cpu", window={"block": 1})
    observation, info = env.reset(seed=3, options={"image": PICTURE})
    assert observation.shape[0] == 4 and info["num_frames"] == 1
    assert env.step(STAND)[-1]["num_frames"] == 4


def test_a_restored_state_continues_from_its_own_picture(env: InfinityRopeEnv):
    blocks = play(env)
    env.reset(seed=3, options={"image": PICTURE})
    state = env.save_state()
    env.reset(seed=9, options={"image": 255 - PICTURE})
    env.restore_state(state)
    assert np.array_equal(env.picture, PICTURE)
    assert env.step(STAND)[0].tobytes() == blocks[1]


def test_timings_have_the_same_parts(env: InfinityRopeEnv):
    env.reset(options={"image": PICTURE})
    assert set(env.timings) == {"text_s", "denoise_s", "commit_s", "decode_s", "total_s"}
    assert env.timings["denoise_s"] == 0.0 < env.timings["commit_s"]


def test_an_invalid_picture_changes_nothing(env: InfinityRopeEnv):
    blocks = play(env)
    env.reset(seed=3, options={"image": PICTURE})
    with pytest.raises(ValueError, match=r"expected an image to be a uint8 array of shape \(H, W, 3\)"):
        env.reset(seed=5, options={"image": np.zeros((32, 48))})
    assert env.step(STAND)[0].tobytes() == blocks[1]


def test_a_model_without_an_encoder_refuses_a_picture(env: InfinityRopeEnv):
    env._codec = BlockCodec(replace(env.model, encoder=None), env.window.block)
    with pytest.raises(ValueError, match="The model 'tiny-0' has no encoder: it cannot start from an image"):
        env.reset(options={"image": PICTURE})


@pytest.fixture
def episode(tiny_weights: Path, tmp_path: Path) -> Path:
    made = gymnasium.make("infrope/PocketWorld-v0", weights=str(tiny_weights), disable_env_checker=True)
    env = RecordRollout(made, tmp_path / "kept")
    env.reset(seed=3, options={"image": np.repeat(PICTURE, 2, axis=1), "subject": "frog"})
    env.step(WALK_RIGHT)
    env.close()
    return tmp_path / "kept" / "episode_000"


def test_a_recording_keeps_the_picture_and_replays(episode: Path):
    meta = json.loads((episode / "meta.json").read_text())
    assert meta["options"]["subject"] == "frog" and meta["options"]["image"]["file"] == "image.png"
    assert np.asarray(Image.open(episode / "image.png")).shape == (32, 48, 3)
    report = verify(episode)
    assert report.ok and report.blocks == 2


def test_the_play_command_starts_from_a_file(tiny_weights: Path, tmp_path: Path):
    Image.fromarray(PICTURE).save(tmp_path / "fox.png")
    given = ["--image", str(tmp_path / "fox.png"), "--blocks", "2", "--record", str(tmp_path / "kept")]
    assert cli.main(["play", "--headless", "--weights", str(tiny_weights), *given]) == 0
    assert np.array_equal(np.asarray(Image.open(tmp_path / "kept" / "episode_000" / "image.png")), PICTURE)


def test_a_photo_is_rotated_by_its_exif_orientation(tmp_path: Path):
    stored = np.zeros((64, 96, 3), np.uint8)
    stored[:, :48] = 255  # orientation 6 rotates by a quarter: the left half becomes the upper half
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "photo.jpg", exif=exif)
    upright = load_picture(tmp_path / "photo.jpg", (96, 64)).astype(int)
    assert np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "photo.jpg"))).shape == (96, 64, 3)
    assert upright[:48].mean() > 250 and upright[48:].mean() < 5


def brighten(path: Path) -> None:
    Image.fromarray(np.asarray(Image.open(path)) // 2 + 128).save(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (brighten, "image.png was changed after it was written."),
        (Path.unlink, "image.png, the picture that the rollout began from, was removed."),
    ],
)
def test_a_changed_picture_is_reported_as_tampering(episode: Path, change: Callable[[Path], Any], sentence: str):
    change(episode / "image.png")
    report = verify(episode)
    assert report.verdict is Verdict.TAMPERED and report.first_differing_block == 0
    assert report.tampering == (sentence,)


def test_an_episode_from_a_restored_state_replays_from_its_own_picture(tiny_weights: Path, tmp_path: Path):
    made = gymnasium.make("infrope/PocketWorld-v0", weights=str(tiny_weights), disable_env_checker=True)
    env = RecordRollout(made, tmp_path)
    env.reset(seed=3, options={"image": PICTURE})
    state = env.unwrapped.save_state()
    env.step(STAND)
    env.reset(seed=3)
    env.unwrapped.restore_state(state)
    env.step(JUMP)
    env.close()
    assert sorted(path.parent.name for path in tmp_path.glob("*/image.png")) == ["episode_000", "episode_002"]
    assert all(verify(tmp_path / f"episode_00{number}").ok for number in range(3))
