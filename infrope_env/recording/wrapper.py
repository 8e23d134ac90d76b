"""The wrapper that records rollouts: it describes each episode and each block to the writer."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils import RecordConstructorArgs

from infrope_env.control.frames import Frames, valid_frames
from infrope_env.control.playable import newest_block_id
from infrope_env.control.storyboard import Subtitle
from infrope_env.env import InfinityRopeEnv
from infrope_env.env_state import PromptRequest
from infrope_env.pixels.picture import to_png
from infrope_env.recording.episode import (
    IMAGE,
    AttentionRecord,
    BlockRecord,
    BlockReference,
    EpisodeMeta,
    frames_digest,
    to_plain_json,
)
from infrope_env.recording.known_weights import remember
from infrope_env.recording.quality import Quality, require_quality
from infrope_env.recording.run_info import RunInfo
from infrope_env.recording.writer import Recorder, RecordingError


class RecordingStopped(UserWarning):
    """Writing to the disk failed during play. Earlier blocks are kept and play continues."""


class RecordRollout(gymnasium.Wrapper[Frames, Any, Frames, Any], RecordConstructorArgs):
    """A wrapper that records every rollout in a folder: one episode for each reset or restored state.

    It belongs directly around the environment, inside FrameByFrame, LastFrame and StackChannels, because it needs all
    pixel frames of a block. When the disk fails during play, it warns once with RecordingStopped and play continues.

    Attributes:
        problem: Reason why recording stopped; None while it works.
        subtitles: Subtitles of every episode that a reset begins, written beside the video as video.srt.
    """

    def __init__(
        self,
        env: gymnasium.Env[Frames, Any],
        folder: Path | str,
        quality: Quality = "standard",
        attention: bool = False,
    ) -> None:
        """Wrap an environment that `gymnasium.make` has made.

        Args:
            env: The environment.
            folder: Folder of episodes; made when missing. Existing episodes are kept.
            quality: How the videos store pixels: "standard" is for any player, "high" keeps colours at full
                resolution, "lossless" decodes to the exact pixels.
            attention: Measure the attention mass of every frame that a block saw, and log it with the block.

        Raises:
            RecordingError: The folder cannot be written to.
            TypeError: The environment's arguments are not JSON.
            ValueError: The quality has another name, or `env` does not return all pixel frames of a block, is not an
                infrope environment, was not made by `gymnasium.make`, or cannot measure attention.
        """
        RecordConstructorArgs.__init__(self, folder=str(folder), quality=quality, attention=attention)
        gymnasium.Wrapper.__init__(self, env)
        if not isinstance(env.unwrapped, InfinityRopeEnv):
            raise ValueError(f"expected an infrope environment to record, got {env.unwrapped}")
        if env.spec is None:
            raise ValueError("Only an environment from gymnasium.make can be recorded: its arguments must be known.")
        if env.observation_space.shape != env.unwrapped.block_shape:
            raise ValueError("RecordRollout goes directly around the environment, inside wrappers that change frames.")
        to_plain_json(env.spec.kwargs)  # raises before a block is made
        self._inner, self._spec, self._attention = env.unwrapped, env.spec, attention
        remember(env.spec.kwargs.get("weights"), env.spec.kwargs.get("lora"), env.unwrapped.model)
        self._recorder = Recorder(Path(folder), self._inner.metadata["render_fps"], require_quality(quality))
        self.problem: str | None = None
        self.subtitles: tuple[Subtitle, ...] = ()
        self._recorded: tuple[int, dict[str, Any] | None] | None = None  # identity of the newest block recorded
        if attention:
            self._inner.measure_attention(True, needed_by=self)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frames, dict[str, Any]]:
        """Reset the environment and begin a new episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._begin_episode(None)
        self._record(observation, info, None)
        return observation, info

    def step(self, action: Any) -> tuple[Frames, Any, bool, bool, dict[str, Any]]:
        """Step the environment and record the block.

        After a restored state, or a block made without this wrapper, the block begins a new episode that names the
        block it continues.
        """
        if self._inner.newest is not None and newest_block_id(self._inner) != self._recorded:
            saved = self._recorder.find_block(self._inner.block_id)
            self._begin_episode(saved or BlockReference(None, self._inner.newest[1]["block"]))
        asked = self._asked()  # raises, if at all, before the block is made
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._record(observation, info, asked, reward, terminated, truncated)
        return observation, reward, terminated, truncated, info

    @property
    def episodes(self) -> tuple[Path, ...]:
        """Folders of the episodes recorded so far, in order."""
        return tuple(self._recorder.episodes)

    def finish(self) -> None:
        """Close the episode. The environment stays usable; its next reset begins another episode."""
        self._write(self._recorder.close)

    def close(self) -> None:
        """Close the episode and the environment."""
        self.finish()
        if self._attention:
            self._inner.measure_attention(False, needed_by=self)
        super().close()

    def _begin_episode(self, continues: BlockReference | None) -> None:
        picture = self._inner.picture
        image = None if picture is None else to_png(picture)
        meta = describe_episode(self._inner, self._spec, continues, image, self._recorder.quality).to_json()
        subtitles = self.subtitles if continues is None else ()
        self._write(lambda: self._recorder.begin_episode(meta, subtitles, image))

    def _asked(self) -> PromptRequest | None:
        """Return the `set_prompt` call that takes effect with the next block, in plain types."""
        pending = self._inner.pending_prompt
        return None if pending is None else PromptRequest(str.__str__(pending.text), bool(pending.cut))

    def _record(
        self,
        observation: Frames,
        info: Mapping[str, Any],
        asked: PromptRequest | None,
        reward: Any = 0.0,
        terminated: bool = False,
        truncated: bool = False,
    ) -> None:
        self._recorded = newest_block_id(self._inner)
        frames, strip = valid_frames(observation, info), self._inner.strip
        record = BlockRecord(
            block=info["block"],
            action=int(info["action"]),
            asked=asked,
            subject=info["subject"],
            scene=info["scene"],
            motion=info["motion"],
            prompt=info["prompt"],
            transition=info["transition"],
            sha256=frames_digest(frames),
            reward=float(reward),
            terminated=bool(terminated),
            truncated=bool(truncated),
            compiled=self._inner.newest_is_compiled,
            attention=AttentionRecord.of(strip) if self._attention and strip is not None else None,
        )
        self._write(lambda: self._recorder.write(frames, record, self._inner.block_id))

    def _write(self, write: Callable[[], None]) -> None:
        """Run a write to the disk; a failure stops the recording, not the rollout."""
        try:
            write()
        except RecordingError as error:
            self.problem = str(error)
            warnings.warn(self.problem, RecordingStopped, stacklevel=4)


def find_recorder(env: gymnasium.Env[Any, Any]) -> RecordRollout | None:
    """Return the recorder among the wrappers around an environment, or None."""
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, RecordRollout):
            return env
        env = env.env
    return None


def describe_episode(
    env: InfinityRopeEnv, spec: EnvSpec, continues: BlockReference | None, image: bytes | None, quality: Quality
) -> EpisodeMeta:
    """Return the meta data of the rollout that has just begun in `env`.

    Args:
        env: The environment, after its reset.
        spec: The id and arguments it was made with.
        continues: The block that a restored state continues from, if any.
        image: PNG file of the picture that the rollout starts from, if any.
        quality: How the video stores pixels.
    """
    file = {} if image is None else {"image": {"file": IMAGE, "sha256": hashlib.sha256(image).hexdigest()}}
    return EpisodeMeta(
        env_id=spec.id,
        env_kwargs=spec.kwargs,
        actions=env.action_set.to_dict(),
        window=asdict(env.window),
        frame_rate=env.metadata["render_fps"],
        seed=env.seed_used,
        options=env.names_used | file,
        continues=continues,
        made_with=RunInfo.of(env.model, env.may_be_compiled, env.batch),
        quality=quality,
    )
