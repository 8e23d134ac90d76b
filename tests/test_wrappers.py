from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

import infrope_env  # noqa: F401  registers the worlds
from infrope_env.wrappers import FrameByFrame, LastFrame, NumericInfo, StackChannels
from tests.tiny_world import tiny_world

STAND, WALK_RIGHT, JUMP = 0, 2, 3
FIRST, LATER = 9, 12  # valid frames of the first block and of every other


def make(weights: Path, **arguments: object) -> gymnasium.Env:
    return gymnasium.make("infrope/PocketWorld-v0", weights=str(weights), device="cpu", **arguments)


@pytest.fixture
def blocks(tiny_weights) -> list[np.ndarray]:
    """Valid frames of a reset and two steps."""
    env = make(tiny_weights)
    return [env.reset(seed=4)[0][-FIRST:], env.step(WALK_RIGHT)[0], env.step(JUMP)[0]]


def ends_at_block_one(frames, info):
    return 5.0, info["block"] == 1


class ShadesOfGrey(gymnasium.Env):
    """Blocks whose n-th valid frame since reset has brightness 6 n, which a lossy video keeps."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 16}  # noqa: RUF012
    render_mode = "rgb_array"
    observation_space = gymnasium.spaces.Box(0, 255, (LATER, 32, 48, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.made = 0
        return self._block(FIRST)

    def step(self, action):
        block, info = self._block(LATER)
        return block, 0.0, False, self.made == FIRST + 2 * LATER, info

    def _block(self, valid):
        shades = 6 * np.arange(self.made - LATER + valid, self.made + valid).clip(self.made)
        self.made += valid
        block = np.zeros(self.observation_space.shape, np.uint8) + shades.astype(np.uint8)[:, None, None, None]
        return block, {"num_frames": valid}


def test_frame_by_frame_returns_every_valid_frame_once(tiny_weights, blocks):
    env = FrameByFrame(make(tiny_weights))
    frames = [env.reset(seed=4)[0]] + [env.step(WALK_RIGHT)[0] for _ in range(FIRST - 1 + LATER)]
    assert np.array_equal(frames, np.concatenate(blocks[:2]))
    assert frames[0] in env.observation_space and env.observation_space.shape == (32, 48, 3)


def test_frame_by_frame_applies_an_action_only_when_the_block_has_no_frame_left(tiny_weights, blocks):
    env = FrameByFrame(make(tiny_weights))
    env.reset(seed=4)
    for _ in range(FIRST - 1):
        assert env.step(JUMP)[-1]["block"] == 0  # too early to have an effect
    frame, *_, info = env.step(WALK_RIGHT)
    assert (info["block"], info["action"], info["frame"]) == (1, WALK_RIGHT, 0)
    assert np.array_equal(frame, blocks[1][0])
    frames = [env.step(STAND)[0] for _ in range(LATER - 1)]
    assert np.array_equal(frames, blocks[1][1:])


def test_frame_by_frame_ends_with_the_last_frame(tiny_weights):
    env = FrameByFrame(make(tiny_weights, max_blocks=2, reward=f"{__name__}:ends_at_block_one"))
    for _ in range(2):
        env.reset(seed=4)
        outcomes = [env.step(STAND)[1:4] for _ in range(FIRST - 1 + LATER)]
        assert set(outcomes[:-1]) == {(0.0, False, False)}
        assert outcomes[-1] == (5.0, True, True)


def test_a_reset_drops_the_frames_that_were_left(tiny_weights, blocks):
    env = FrameByFrame(make(tiny_weights))
    env.reset(seed=9)
    env.step(STAND)
    assert np.array_equal(env.reset(seed=4)[0], blocks[0][0])
    assert np.array_equal(env.step(STAND)[0], blocks[0][1])


def test_a_restored_state_drops_the_frames_that_were_left(tiny_weights, blocks):
    env = FrameByFrame(make(tiny_weights))
    env.reset(seed=4)
    for _ in range(FIRST - 1):
        env.step(STAND)
    state = env.unwrapped.save_state()
    env.step(JUMP)
    env.unwrapped.restore_state(state)
    assert np.array_equal(env.step(WALK_RIGHT)[0], blocks[1][0])


def test_restoring_the_newest_block_drops_the_frames_that_were_left_too(tiny_weights):
    env = FrameByFrame(make(tiny_weights))
    env.reset(seed=4)
    env.unwrapped.restore_state(env.unwrapped.save_state())
    assert env.step(STAND)[-1]["block"] == 1


def test_an_interrupted_reset_drops_the_frames_that_were_left(tiny_weights, monkeypatch):
    env = FrameByFrame(make(tiny_weights))
    env.reset(seed=4)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(type(env.unwrapped.model.decoder), "decode", interrupt)
        env.reset(seed=5)
    with pytest.raises(ResetNeeded):
        env.step(STAND)


def test_a_refused_reset_keeps_the_frames_that_were_left(tiny_weights, blocks):
    env = FrameByFrame(make(tiny_weights))
    env.reset(seed=4)
    with pytest.raises(ValueError, match="subject"):
        env.reset(seed=5, options={"subject": "nobody"})
    assert np.array_equal(env.step(STAND)[0], blocks[0][1])


def test_a_reset_without_the_wrapper_drops_the_frames_that_were_left(tiny_weights):
    env = FrameByFrame(make(tiny_weights))
    env.reset(seed=4)
    env.unwrapped.reset(seed=5)
    assert env.step(STAND)[-1]["block"] == 1


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_frame_by_frame_renders_what_it_returned(tiny_weights):
    env = FrameByFrame(make(tiny_weights, render_mode="rgb_array"))
    assert np.array_equal(env.reset(seed=4)[0], env.render())
    assert np.array_equal(env.step(STAND)[0], env.render())


def test_frame_by_frame_lists_the_frames_since_the_last_call(tiny_weights, blocks):
    env = FrameByFrame(make(tiny_weights, render_mode="rgb_array_list"))
    env.reset(seed=4)
    for _ in range(3):
        env.step(STAND)
    assert np.array_equal(env.render(), blocks[0][:4]) and env.render() == []
    assert env.unwrapped.render() == []  # no second list grows below


def test_record_video_writes_every_valid_frame_at_16_fps(tmp_path):
    pytest.importorskip("moviepy")
    import av

    env = gymnasium.wrappers.RecordVideo(
        FrameByFrame(ShadesOfGrey()), str(tmp_path / "videos"), episode_trigger=lambda _: True
    )
    for _ in range(2):
        env.reset()
        while not env.step(0)[3]:
            pass
    env.close()
    videos = sorted((tmp_path / "videos").glob("*.mp4"))
    assert len(videos) == 2
    for video in videos:
        with av.open(str(video)) as file:
            assert file.streams.video[0].average_rate == 16
            shades = [frame.to_ndarray(format="rgb24").mean() for frame in file.decode(video=0)]
        assert np.round(np.array(shades) / 6).tolist() == list(range(FIRST + 2 * LATER))


@pytest.mark.filterwarnings("ignore:.*matplotlib is not installed")
def test_gymnasium_s_own_player_works_with_keys(tiny_weights, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import pygame
    from gymnasium.utils.play import play

    infos = []

    def press_and_quit(before, after, action, reward, terminated, truncated, info):
        infos.append(info)
        if len(infos) == 3:
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_RIGHT))
        if len(infos) == FIRST - 1 + LATER - 2:
            pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.K_RIGHT))
        if len(infos) == FIRST - 1 + LATER + 2:
            pygame.event.post(pygame.event.Event(pygame.QUIT))

    play(FrameByFrame(make(tiny_weights, render_mode="rgb_array")), fps=10_000, callback=press_and_quit, seed=4)
    assert [info["block"] for info in infos] == [0] * (FIRST - 1) + [1] * LATER + [2] * 2
    assert [info["action"] for info in infos[-LATER - 2 :]] == [WALK_RIGHT] * LATER + [STAND] * 2


def test_record_video_around_the_environment_itself_warns_that_frames_are_lost(tiny_weights, tmp_path):
    pytest.importorskip("moviepy")
    env = gymnasium.wrappers.RecordVideo(make(tiny_weights, render_mode="rgb_array"), str(tmp_path / "videos"))
    env.reset(seed=4)
    with pytest.warns(UserWarning, match="one of the 12 pixel frames of a block.*FrameByFrame") as warned:
        env.step(STAND)
        env.step(STAND)
    assert len(warned) == 1
    env.close()


def test_rendering_one_block_twice_warns_of_nothing(tiny_weights, recwarn):
    env = make(tiny_weights, render_mode="rgb_array")
    env.reset(seed=4)
    assert np.array_equal(env.render(), env.render()) and not recwarn.list


def test_numeric_info_keeps_the_numbers_of_every_block(tiny_weights):
    env = NumericInfo(FrameByFrame(make(tiny_weights)))
    infos = [env.reset(seed=4)[1]] + [env.step(JUMP)[-1] for _ in range(FIRST)]
    assert infos[0] == {"block": 0, "num_frames": FIRST, "action": -1, "free_prompt": 0, "seed": 4, "frame": 0}
    assert infos[-1] == {"block": 1, "num_frames": LATER, "action": JUMP, "free_prompt": 0, "seed": 4, "frame": 0}
    assert {type(value) for info in infos for value in info.values()} == {int}
    vector = gymnasium.vector.SyncVectorEnv([lambda: NumericInfo(make(tiny_weights))] * 2)
    assert {value.dtype.kind for value in vector.reset(seed=0)[1].values()} <= {"i", "b"}
    vector.close()


def test_last_frame_is_the_newest(tiny_weights, blocks):
    env = LastFrame(make(tiny_weights))
    assert np.array_equal(env.reset(seed=4)[0], blocks[0][-1])
    frame = env.step(WALK_RIGHT)[0]
    assert np.array_equal(frame, blocks[1][-1]) and frame in env.observation_space


def test_stacked_channels_are_the_newest_frames_oldest_first(tiny_weights, blocks):
    env = StackChannels(make(tiny_weights), frames=4)
    env.reset(seed=4)
    image = env.step(WALK_RIGHT)[0]
    assert image.shape == (32, 48, 12) and image in env.observation_space and image.flags.c_contiguous
    assert all(np.array_equal(image[..., 3 * i : 3 * i + 3], blocks[1][LATER - 4 + i]) for i in range(4))


def test_an_image_id_observes_the_newest_frame_as_its_wrapper_does(tiny_weights, blocks):
    env = gymnasium.make("infrope/PocketWorldImage-v0", weights=str(tiny_weights), render_mode="rgb_array")
    assert np.array_equal(env.reset(seed=4)[0], blocks[0][-1])
    assert np.array_equal(env.step(WALK_RIGHT)[0], blocks[1][-1])
    with pytest.warns(UserWarning, match="is different from the unwrapped version") as warned:
        check_env(env, skip_render_check=True)
    assert len(warned) == 1
    assert isinstance(gymnasium.make(env.spec), LastFrame)
    assert "infrope/WanImage-v0" in gymnasium.registry
    vector = gymnasium.make_vec("infrope/PocketWorldImage-v0", num_envs=2, weights=str(tiny_weights))
    assert vector.reset(seed=4)[0].shape == (2, 32, 48, 3)
    vector.close()


def test_stable_baselines_can_learn_from_an_id():
    sb3 = pytest.importorskip("stable_baselines3")
    sb3.PPO("CnnPolicy", "infrope/PocketWorldImage-v0", n_steps=2, batch_size=2, n_epochs=1, device="cpu").learn(2)


@pytest.mark.parametrize("frames", [0, 13])
def test_more_frames_than_a_block_has_cannot_be_stacked(tiny_weights, frames):
    with pytest.raises(ValueError, match=f"expected frames to be from 1 to 12, those of a block, got {frames}"):
        StackChannels(make(tiny_weights), frames)


@pytest.mark.parametrize("wrapper", [FrameByFrame, LastFrame, StackChannels])
def test_wrappers_require_blocks(wrapper):
    with pytest.raises(ValueError, match=r"expected an environment whose observations are blocks, t H W 3, got"):
        wrapper(gymnasium.make("CartPole-v1"))


@pytest.mark.parametrize("wrapper", [FrameByFrame, LastFrame, StackChannels, NumericInfo])
def test_wrapped_environments_pass_check_env_and_can_be_made_again(tiny_weights, wrapper):
    env = wrapper(make(tiny_weights, render_mode="rgb_array"))
    with pytest.warns(UserWarning, match="is different from the unwrapped version") as warned:
        check_env(env, skip_render_check=True)
    assert len(warned) == 1
    again = gymnasium.make(env.spec)
    assert isinstance(again, wrapper) and again.observation_space == env.observation_space


@pytest.mark.parametrize("wrapper", [LastFrame, StackChannels])
def test_stable_baselines_can_learn_from_it(tmp_path, wrapper):
    sb3 = pytest.importorskip("stable_baselines3")
    weights = tiny_world(tmp_path, latent_size=(6, 8))  # its CNN needs 36 pixels
    env = wrapper(make(weights, max_blocks=5, reward=f"{__name__}:ends_at_block_one"))
    agent = sb3.PPO("CnnPolicy", env, n_steps=8, batch_size=8, n_epochs=1, device="cpu").learn(16)
    action, _ = agent.predict(env.reset(seed=0)[0])
    env.step(action)
