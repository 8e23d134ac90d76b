"""A recorded rollout is replayed, equal to the byte."""

from pathlib import Path

import pytest

import infrope_env
from infrope_env.recording.episode import BlockReference
from infrope_env.recording.files import ReplayError
from infrope_env.recording.reader import Recording
from infrope_env.recording.verification import Report, replay, verify
from tests.recording.episodes import CUT_DESERT, JUMP, STAND, WALK_RIGHT, lines_of, record


def test_an_untouched_recording_is_the_same_in_every_block(episode: Path) -> None:
    report = verify(episode)
    assert report == Report(episode, blocks=6, differing_blocks=())
    assert report.ok and report.exit_code == 0
    assert report.summary() == "episode_000: 6 blocks replayed: every block is the same."


def test_a_prompt_is_logged_with_the_block_it_took_effect_in(episode: Path) -> None:
    asked = [line["asked"] for line in lines_of(episode)]
    nothing = {"given": False, "text": "", "cut": False}
    wizard = {"given": True, "text": "a purple wizard jumps up and down in a dark cave", "cut": False}
    assert asked == [nothing] * 4 + [wizard, nothing]


@pytest.mark.parametrize("prompt", [None, "a red robot waves hello in a city at night"])
def test_a_cut_by_set_prompt_and_a_drawn_seed_and_a_window_are_replayed(
    tiny_weights: Path, tmp_path: Path, prompt: str | None
) -> None:
    env = record(tiny_weights, tmp_path, window={"size": 9}, max_blocks=3)
    _, info = env.reset(options={"scene": "cave"})
    env.unwrapped.set_prompt(prompt or info["prompt"], cut=True)
    _, _, _, _, info = env.step(STAND)
    env.step(STAND)
    env.close()
    assert info["transition"] == "cut"
    assert verify(tmp_path / "episode_000") == Report(tmp_path / "episode_000", blocks=3, differing_blocks=())


def test_a_prompt_that_an_action_replaced_is_replayed(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=1)
    env.unwrapped.set_prompt("a red robot waves hello in a city at night", cut=True)
    env.step(JUMP)
    env.unwrapped.set_prompt("a red robot waves hello in a city at night", cut=True)
    env.step(CUT_DESERT)
    env.close()
    assert verify(tmp_path / "episode_000").ok


def test_a_prompt_that_was_replaced_before_its_block_is_not_needed_for_the_replay(
    tiny_weights: Path, tmp_path: Path
) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=1)
    env.unwrapped.set_prompt("a red robot waves hello in a city at night")
    env.unwrapped.set_prompt("waves hello")
    for action in (STAND, JUMP):
        env.step(action)
    env.close()
    assert verify(tmp_path / "episode_000").ok


def test_the_recorded_action_set_is_used_not_the_file(tiny_weights: Path, tmp_path: Path) -> None:
    toml = tmp_path / "mine.toml"
    bundled = Path(infrope_env.__file__).parent / "assets" / "actions" / "pocket.toml"
    toml.write_text(bundled.read_text().replace('subject = "fox"', 'subject = "penguin"'))
    env = record(tiny_weights, tmp_path / "kept", actions=str(toml))
    _, info = env.reset(seed=0)
    env.step(WALK_RIGHT)
    env.close()
    toml.unlink()
    assert info["subject"] == "penguin"
    assert verify(tmp_path / "kept" / "episode_000").ok


def test_a_restored_state_is_replayed_through_its_parents(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=5)
    env.step(STAND)
    saved = env.unwrapped.save_state()
    env.step(WALK_RIGHT)
    env.unwrapped.restore_state(saved)
    env.step(JUMP)
    second_state = env.unwrapped.save_state()
    env.step(JUMP)
    env.unwrapped.restore_state(second_state)
    env.unwrapped.restore_state(second_state)
    env.step(CUT_DESERT)
    env.close()
    second, third = tmp_path / "episode_001", tmp_path / "episode_002"
    assert Recording.read(second).meta.continues == BlockReference("episode_000", 1)
    assert Recording.read(third).meta.continues == BlockReference("episode_001", 2)
    assert verify(second) == Report(second, blocks=2, differing_blocks=())
    assert verify(third) == Report(third, blocks=1, differing_blocks=())


def test_a_continued_episode_has_the_seed_and_options_of_its_own_rollout(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=5, options={"subject": "frog"})
    saved = env.unwrapped.save_state()
    env.reset(seed=6, options={"subject": "wizard"})
    env.unwrapped.restore_state(saved)
    env.step(JUMP)
    env.close()
    meta = Recording.read(tmp_path / "episode_002").meta
    assert (meta.seed, meta.options, meta.continues) == (5, {"subject": "frog"}, BlockReference("episode_000", 0))


def test_a_pending_prompt_of_a_saved_state_is_replayed(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path)
    env.reset(seed=5)
    env.unwrapped.set_prompt("a red robot waves hello in a city at night", cut=True)
    saved = env.unwrapped.save_state()
    env.step(CUT_DESERT)
    env.unwrapped.restore_state(saved)
    env.step(STAND)
    env.close()
    assert lines_of(tmp_path / "episode_001")[0]["transition"] == "cut"
    assert verify(tmp_path / "episode_001").ok


def test_a_state_that_was_not_recorded_cannot_be_replayed(tiny_weights: Path, tmp_path: Path) -> None:
    other = record(tiny_weights, tmp_path / "other")
    other.reset(seed=9)
    env = record(tiny_weights, tmp_path / "kept")
    env.reset(seed=0)
    env.unwrapped.restore_state(other.unwrapped.save_state())
    env.step(STAND)
    env.close()
    with pytest.raises(ReplayError, match="continues a state that was not recorded"):
        verify(tmp_path / "kept" / "episode_001")


def test_a_replay_can_be_recorded_with_the_same_hashes(episode: Path, tmp_path: Path) -> None:
    assert replay(episode, out=tmp_path / "replayed").ok
    replayed = tmp_path / "replayed" / "episode_000"
    assert [line["sha256"] for line in lines_of(replayed)] == [line["sha256"] for line in lines_of(episode)]
    assert verify(replayed) == Report(replayed, blocks=6, differing_blocks=())


def test_the_replay_of_a_continued_episode_is_recorded_with_its_parent(tiny_weights: Path, tmp_path: Path) -> None:
    env = record(tiny_weights, tmp_path / "kept")
    env.reset(seed=5)
    env.unwrapped.restore_state(env.unwrapped.save_state())
    env.step(JUMP)
    env.close()
    assert replay(tmp_path / "kept" / "episode_001", out=tmp_path / "replayed").ok
    assert verify(tmp_path / "replayed" / "episode_001").ok
