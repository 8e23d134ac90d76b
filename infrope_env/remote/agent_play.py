"""A rollout that a program steps over the network: one block for each command, in a thread of its own."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import gymnasium

from infrope_env.control.frames import Frames, valid_frames
from infrope_env.control.playable import playable
from infrope_env.player.inspection import Inspection, inspect_newest, measure_attention
from infrope_env.player.playback import BlockFrames
from infrope_env.remote.attention_demand import AttentionDemand
from infrope_env.remote.client_messages import Command, EncodePrompts, Forget, Reset, Restore, Save, SetPrompt, Step
from infrope_env.remote.feed import BlockFeed
from infrope_env.remote.limits import MOST_ENCODED, MOST_STATES, LimitError
from infrope_env.remote.metrics import Metrics


@dataclass(frozen=True)
class AgentAnswer:
    """The result of a command.

    Attributes:
        block: The newest block, which the command made or restored; None if it did neither.
        fields: Fields of the result, besides info.
    """

    block: BlockFrames | None = None
    fields: dict[str, Any] = field(default_factory=dict)


class AgentPlay:
    """A rollout that makes nothing between commands.

    Attributes:
        saved: Number of saved states.
        attention: Measures attention while a viewer asks for it.
    """

    def __init__(self, env: gymnasium.Env[Frames, Any], feed: BlockFeed, metrics: Metrics) -> None:
        """Prepare. Nothing else may use `env` until `close` is done."""
        self._env, self._player, self._metrics = env, playable(env), metrics
        self._states: dict[str, tuple[Any, Inspection | None]] = {}
        self._inspection: Inspection | None = None  # of the newest block
        self._worker = ThreadPoolExecutor(1, "infrope agent")
        self.attention = AttentionDemand(feed, lambda on: self._worker.submit(measure_attention, self._player, on))

    @property
    def saved(self) -> int:
        """Number of saved states."""
        return len(self._states)

    def command(self, message: Command, picture: Frames | None = None) -> Future[AgentAnswer]:
        """Run a command in the thread of the rollout, after those before it; returns the Future of its answer."""
        self.attention.update()  # viewers that asked may have left
        future = self._worker.submit(self._do, message, picture)
        if isinstance(message, Reset | Step):
            self._worker.submit(self._commit)
        return future

    def close(self) -> None:
        """Wait for the command that is running, and stop."""
        self._worker.shutdown(cancel_futures=True)

    def _do(self, message: Command, picture: Frames | None) -> AgentAnswer:
        match message:
            case Reset(seed=seed, options=options):
                image = {} if picture is None else {"image": picture}
                return self._make(lambda: self._env.reset(seed=seed, options=options | image))
            case Step(action=action):
                return self._step(action)
            case SetPrompt(text=text, cut=cut):
                self._player.set_prompt(text, cut)
                return AgentAnswer()
            case EncodePrompts(texts=texts):
                if len(texts) > MOST_ENCODED:
                    raise LimitError(f"expected at most {MOST_ENCODED} prompts at a time, got {len(texts)}")
                self._player.encode_prompts(texts)
                return AgentAnswer()
            case Save():
                return self._save()
            case Restore(handle=handle):
                return self._restore(handle)
            case Forget(handles=handles):
                for handle in handles:
                    self._states.pop(handle, None)
                return AgentAnswer()
        raise ValueError(f"an agent has no command {message.type!r}; only players have it")

    def _commit(self) -> None:
        """Run the commit pass of the newest block while its answer is on its way."""
        if self._player.newest is not None:
            self._player.commit()

    def _make(self, make: Callable[[], tuple[Frames, dict[str, Any]]]) -> AgentAnswer:
        began_s = time.monotonic()
        observation, info = make()
        return AgentAnswer(self._block(observation, info, began_s), {"timings": self._timings()})

    def _step(self, action: int) -> AgentAnswer:
        began_s = time.monotonic()
        observation, reward, terminated, truncated, info = self._env.step(action)
        ends = {"reward": float(reward), "terminated": bool(terminated), "truncated": bool(truncated)}
        return AgentAnswer(self._block(observation, info, began_s), ends | {"timings": self._timings()})

    def _block(self, observation: Frames, info: dict[str, Any], began_s: float) -> BlockFrames:
        work_s = time.monotonic() - began_s
        self._inspection = inspect_newest(self._player, observation, self._inspection if info["block"] else None)
        block = self._newest_block(observation, info)
        self._metrics.count("blocks")
        self._metrics.observe("block_seconds", work_s)
        self._metrics.add_work(len(block.frames) / self._env.metadata["render_fps"], work_s)
        return block

    def _save(self) -> AgentAnswer:
        if len(self._states) >= MOST_STATES:
            raise LimitError(f"expected at most {MOST_STATES} saved states, got one more: drop some first")
        handle = uuid.uuid4().hex
        self._states[handle] = self._player.save_state(), self._inspection
        return AgentAnswer(fields={"handle": handle})

    def _restore(self, handle: str) -> AgentAnswer:
        if handle not in self._states:
            raise ValueError("expected the handle of a state that was saved in this session and not dropped")
        state, inspection = self._states[handle]
        observation, info = self._player.restore_state(state)
        self._inspection = inspection
        return AgentAnswer(self._newest_block(observation, info))

    def _newest_block(self, observation: Frames, info: dict[str, Any]) -> BlockFrames:
        frames = valid_frames(observation, info)
        return BlockFrames(frames, info, immediate=True, inspection=self._inspection)

    def _timings(self) -> dict[str, float]:
        parts = getattr(self._env.unwrapped, "timings", {})
        return {name.removesuffix("_s"): 1000 * seconds for name, seconds in parts.items()}
