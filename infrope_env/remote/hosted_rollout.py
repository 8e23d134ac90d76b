"""One place to play: an environment, the rollout in it, the session that steers it, and everybody who watches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import gymnasium

from infrope_env.control.frames import Frames
from infrope_env.control.playable import playable
from infrope_env.control.reset_options import TEXT_OPTIONS
from infrope_env.errors import shown
from infrope_env.player.inspection import stop_measuring
from infrope_env.remote.agent_play import AgentAnswer, AgentPlay
from infrope_env.remote.client_messages import Command, Inspect, Reset
from infrope_env.remote.feed import BlockFeed
from infrope_env.remote.frame_encoding import encode_frames
from infrope_env.remote.live_play import LivePlay
from infrope_env.remote.metrics import Metrics
from infrope_env.remote.server_messages import Error, Notice, Result, State
from infrope_env.remote.session import Answer, Session

logger = logging.getLogger(__name__)

Env = gymnasium.Env[Frames, Any]


@dataclass(frozen=True)
class Start:
    """The start of every player's first rollout.

    Attributes:
        seed: Seed; None draws one.
        options: Options of the reset.
    """

    seed: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


class HostedRollout:
    """One place to play. It stays when its player leaves, and the next one gets the same environment.

    Attributes:
        id: Its id, "1" for the first.
        owner: Session that steers it; None while it is free.
        sessions: Sessions that look at it, the owner included.
        feed: Its blocks.
        env: Its environment; None before the first player needs it.
        play: The rollout; None while it is free.
    """

    def __init__(self, rollout_id: str, make_env: Callable[[], Env], start: Start, metrics: Metrics, fps: int) -> None:
        """Prepare a place, in a running loop.

        Args:
            rollout_id: Its id.
            make_env: Makes its environment.
            start: Start of every player's first rollout.
            metrics: Where times go.
            fps: Pixel frames per second.
        """
        self.id = rollout_id
        self.owner: Session | None = None
        self.sessions: set[Session] = set()
        self.feed = BlockFeed(rollout_id, fps)
        self.env: Env | None = None
        self.play: LivePlay | AgentPlay | None = None
        self._make_env, self._start, self._metrics, self._fps = make_env, start, metrics, fps
        self._problem: str | None = None
        self._loading = asyncio.Lock()
        self._opened = asyncio.Event()  # set when the owner can play, or has gone; every owner has its own

    async def load(self) -> Env:
        """Return the environment; it is made, in a thread, when there is none."""
        async with self._loading:  # the player who began to load it may have left, and the next one be here
            if self.env is None:
                self.env = await asyncio.to_thread(self._make_env)
            return self.env

    async def open_for(self, session: Session) -> None:
        """Begin to play for a session, which has become the owner."""
        try:
            env = await self.load()
            if session is self.owner:  # it may have gone in the meantime
                self._begin(env, session)
        finally:
            if session is self.owner:
                self._opened.set()

    def _begin(self, env: Env, session: Session) -> None:
        if session.role == "agent":
            self.play = AgentPlay(env, self.feed, self._metrics)
            return
        self.play = LivePlay(env, self.feed, self._metrics, self._fail)
        first = self.play.start(self._start.seed, self._start.options)
        self._first = asyncio.create_task(self._check_first(first))
        if session.connection is not None:
            self.play.attach(session.connection.outbox)
        else:
            self.play.detach()

    async def free(self) -> None:
        """Stop to play; the place can be opened for another session."""
        play, self.play = self.play, None
        self._opened.set()
        self._opened = asyncio.Event()
        if isinstance(play, AgentPlay):
            await asyncio.to_thread(play.close)
        elif play is not None:
            await play.close()
        if self.env is not None and play is not None and play.attention.has_begun:
            stop_measuring(playable(self.env))  # the next player may not ask
        self.owner = None

    async def close(self) -> None:
        """Stop, and close the environment."""
        await self.free()
        await self.feed.close()
        if self.env is not None:
            await asyncio.to_thread(self.env.close)

    def state(self) -> State:
        """Return the state of the rollout, as a message."""
        live = self.play if isinstance(self.play, LivePlay) else None
        return State(
            paused=live is not None and live.paused,
            saved=None if live is None else live.saved,
            viewers=sum(session.seat in ("viewer", "queued") for session in self.sessions),
            away=self.owner is not None and self.owner.connection is None,
        )

    def announce(self) -> None:
        """Send the state to everybody who looks."""
        state = self.state()
        for session in self.sessions:
            session.send(state)

    def check_recording(self) -> None:
        """Tell everybody when recording has stopped."""
        problem = getattr(self.env, "problem", None)
        if problem != self._problem:
            self._problem = problem
            for session in self.sessions:
                session.send(Notice(text=problem or ""))

    async def execute(self, command: Command, load_picture: Callable[[], Frames | None]) -> Answer:
        """Execute a command of the owner.

        Args:
            command: The command.
            load_picture: Reads the picture of a reset; it runs in a thread.
        """
        try:
            if isinstance(command, Reset):
                _require_texts(command.options)
            picture = await asyncio.to_thread(load_picture) if isinstance(command, Reset) else None
            owner = self.owner
            if owner is not None and owner.role == "agent":
                await self._opened.wait()  # its first command may come before its play has begun
            if self.play is None or self.owner is not owner:
                raise ValueError("the rollout is not ready yet: wait for its first block")
            if isinstance(self.play, AgentPlay):
                return self._agent_answer(command, await _outcome(self.play.command(command, picture)))
            info = await _outcome(self.play.command(command, picture))
            self.announce()
            return Result(id=command.id, info=dict(info or {})), None
        except Exception as error:
            return _refusal(command, error)

    async def inspect(self, session: Session, command: Inspect) -> Answer:
        """Send a client what blocks see from now on, and what the newest one saw, or no longer.

        The answer has the reason where attention is not measured; the frames and coordinates are sent nevertheless.
        """
        if session.connection is not None:
            session.connection.inspects = command.on
        measuring = None if self.play is None else self.play.attention.update()
        try:
            if command.on and (newest := await self.feed.newest_strip()) is not None:
                session.send(*newest)
            if measuring is not None:
                await _outcome(measuring)
            return Result(id=command.id), None
        except Exception as error:
            return _refusal(command, error)

    def _agent_answer(self, command: Command, answer: AgentAnswer) -> Answer:
        if answer.block is None:
            return Result(id=command.id, **answer.fields), None
        if any(session.seat != "agent" for session in self.sessions):
            now = asyncio.get_running_loop().time()
            self.feed.publish(answer.block, due_s=now, frame_s=1 / self._fps, timings=answer.fields.get("timings"))
        body = b"".join(encode_frames(answer.block.frames, "raw", self._fps))
        return Result(id=command.id, info=dict(answer.block.info), **answer.fields), body

    async def _check_first(self, future: Future[Any]) -> None:
        try:
            await _outcome(future)
        except Exception as error:
            self._fail(f"The first block could not be made: {error}")

    def _fail(self, reason: str) -> None:
        if self.owner is not None and self.owner.connection is not None:
            self.owner.connection.end(Error(code="failed", text=reason, retry=False))


def _refusal(command: Command, error: Exception) -> Answer:
    """Return the answer to a command that was refused, or that failed, which the log tells."""
    if not isinstance(error, ValueError | TypeError | RuntimeError | gymnasium.error.Error):
        logger.error("the command %r failed", command.type, exc_info=error)
    sentence = " ".join(str(error).split()) or type(error).__name__
    return Result(id=command.id, error=sentence, kind=type(error).__name__), None


def _require_texts(options: Mapping[str, str]) -> None:
    """Raise ValueError for a reset option that is no text: "image" would be a path on the server."""
    for name in options:
        if name not in TEXT_OPTIONS:
            raise ValueError(f"expected reset options to be among {', '.join(TEXT_OPTIONS)}, got {shown(name)}")


async def _outcome(future: Future[Any]) -> Any:
    """Return the result of a Future of a thread, or raise its error; RuntimeError when it was cancelled."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    future.add_done_callback(lambda _: loop.call_soon_threadsafe(wake))
    await done
    if future.cancelled():
        raise RuntimeError("The rollout has ended.")
    return future.result()
