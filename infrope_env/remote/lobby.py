"""The sessions of a server: who plays which rollout, who watches, and who waits for a place to play."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from infrope_env.remote.access import Access
from infrope_env.remote.hosted_rollout import Env, HostedRollout, Start
from infrope_env.remote.limits import MOST_QUEUED, RELOAD_S, RESUME_S, LimitError
from infrope_env.remote.live_play import LivePlay
from infrope_env.remote.message import Role
from infrope_env.remote.metrics import Metrics
from infrope_env.remote.server_messages import Error, Notice, Seat
from infrope_env.remote.session import Connection, Session

logger = logging.getLogger(__name__)

GOODBYE_S = 1.0


@dataclass(frozen=True)
class Capacity:
    """How many sessions a server takes.

    Attributes:
        players: Rollouts at the same time, one for each player or agent.
        viewers: Viewers of all rollouts together.
        queued: Players that wait.
        resume_s: Seconds for which a lost session is kept.
        reload_s: Seconds for which the seat of a page that has gone is kept even if another player wants it.
    """

    players: int = 1
    viewers: int = 16
    queued: int = MOST_QUEUED
    resume_s: float = RESUME_S
    reload_s: float = RELOAD_S


class Lobby:
    """The sessions of a server and its rollouts.

    Attributes:
        rollouts: The places to play, by id.
        sessions: All sessions by id, the lost ones that can be resumed included.
        is_closing: Whether the server stops, and takes nobody any more.
    """

    def __init__(
        self,
        make_env: Callable[[], Env],
        fps: int,
        access: Access,
        metrics: Metrics,
        capacity: Capacity,
        start: Start,
    ) -> None:
        """Prepare, in a running loop; environments are made when they are needed."""
        self.capacity, self._access, self._metrics = capacity, access, metrics
        ids = [str(number + 1) for number in range(capacity.players)]
        self.rollouts = {each: HostedRollout(each, make_env, start, metrics, fps) for each in ids}
        self.sessions: dict[str, Session] = {}
        self.is_closing = False
        self._queue: list[Session] = []
        self._leavers: list[Session] = []  # sessions whose page has gone for good, kept until a player wants a seat
        self._tasks: set[asyncio.Task[None]] = set()

    async def say_goodbye(self) -> None:
        """End the connections, because the server stops, and wait for a moment until they know."""
        self.is_closing = True
        for session in self.sessions.values():
            if session.connection is not None:
                session.connection.end(Error(code="stopping", text="The server has stopped.", retry=True))
        deadline_s = time.monotonic() + GOODBYE_S
        while time.monotonic() < deadline_s and any(each.connection for each in self.sessions.values()):
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        """End all sessions and close the environments."""
        for session in list(self.sessions.values()):
            if session.expiry is not None:
                session.expiry.cancel()
            session.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for rollout in self.rollouts.values():
            await rollout.close()

    def notify(self, text: str) -> None:
        """Send a sentence to everybody."""
        for session in self.sessions.values():
            session.send(Notice(text=text))

    def count(self) -> dict[str, int]:
        """Return the number of sessions by seat."""
        seats = Counter({"player": 0, "agent": 0, "viewer": 0, "queued": 0})
        seats.update(session.seat for session in self.sessions.values())
        return dict(seats)

    def join(self, role: Role, rollout_id: str) -> Session:
        """Begin a session; LimitError when there is no room for it.

        Args:
            role: Wanted role.
            rollout_id: Rollout that a viewer wants to watch; an unknown one means the first.
        """
        rollout = self.rollouts.get(rollout_id) or next(iter(self.rollouts.values()))
        if role == "viewer":
            if self.count()["viewer"] >= self.capacity.viewers:
                raise LimitError(f"This server takes {self.capacity.viewers} viewers, and all of them are here.")
            session = Session(role, "viewer", rollout)
        else:
            session = self._seat(role, rollout)
        self.sessions[session.id] = session
        session.rollout.sessions.add(session)
        return session

    def connect(self, session: Session, connection: Connection) -> None:
        """Use a connection for a session, in place of the one before; the caller sends the welcome first."""
        if session.connection is not None:
            session.connection.end(Error(code="replaced", text="The session continues elsewhere.", retry=False))
            self._detach(session)
        if session.expiry is not None:
            session.expiry.cancel()
            session.expiry = None
        session.has_left = False
        self._forget_leaver(session)
        session.connection = connection
        connection.set_seat(session.seat)
        session.rollout.feed.add(connection)
        if isinstance(session.rollout.play, LivePlay) and session.rollout.owner is session:
            session.rollout.play.attach(connection.outbox)
        session.rollout.announce()

    def disconnect(self, session: Session, connection: Connection) -> None:
        """Keep a session whose connection is lost, until it is resumed or the time for that has passed.

        The seat of a page that has gone is kept as long, but only for some seconds if another player wants it.
        """
        if session.connection is not connection or session.id not in self.sessions:
            return
        self._detach(session)
        session.connection = None
        if session.seat == "viewer":  # it has nothing to come back to
            self.end(session)
            return
        capacity = self.capacity
        if session.has_left:
            self._expire(session, min(capacity.reload_s, capacity.resume_s), self._offer_seat)
        else:
            self._expire(session, capacity.resume_s, self.end)
        session.rollout.announce()

    def end(self, session: Session) -> None:
        """End a session; its place goes to the first in the queue."""
        if self.sessions.pop(session.id, None) is None:
            return
        if session.expiry is not None:
            session.expiry.cancel()
        session.cancel()
        self._detach(session)
        session.connection = None
        session.rollout.sessions.discard(session)
        self._forget_leaver(session)
        if session in self._queue:
            self._queue.remove(session)
            self._tell_places()
        if session.rollout.owner is session:
            self._start(self._pass_on(session.rollout))
        session.rollout.announce()

    def place(self, session: Session) -> int:
        """Return the place of a session in the queue, from 1; 0 when it is not there."""
        return self._queue.index(session) + 1 if session in self._queue else 0

    def viewer_path(self, session: Session) -> str:
        """Return path and query of the page for viewers of a session's rollout."""
        token = f"token={self._access.viewer_token}&" if self._access.viewer_token else ""
        return f"/?{token}watch={session.rollout.id}"

    def seat_message(self, session: Session) -> Seat:
        """Return the seat of a session, as a message."""
        return Seat(
            seat=session.seat,
            place=self.place(session),
            rollout=session.rollout.id,
            viewer_path=self.viewer_path(session),
        )

    def _seat(self, role: Role, rollout: HostedRollout) -> Session:
        """Return a session of a player or agent with a free place, or else one in the queue."""
        free = next((each for each in self.rollouts.values() if each.owner is None), None)
        if free is not None:
            session = Session(role, "agent" if role == "agent" else "player", free)
            free.owner = session
            self._start(self._open(free, session))
            return session
        if len(self._queue) >= self.capacity.queued:
            raise LimitError(f"All {self.capacity.players} places to play are taken, and {len(self._queue)} wait.")
        session = Session(role, "queued", rollout)
        self._queue.append(session)
        if self._leavers:
            self.end(self._leavers[0])
        return session

    def _offer_seat(self, session: Session) -> None:
        """End a session whose page has not come back if another player waits; else keep it until one does."""
        if self._queue or session.seat == "queued":
            self.end(session)
            return
        self._leavers.append(session)
        self._expire(session, max(0.0, self.capacity.resume_s - self.capacity.reload_s), self.end)

    def _forget_leaver(self, session: Session) -> None:
        if session in self._leavers:
            self._leavers.remove(session)

    def _expire(self, session: Session, seconds: float, end: Callable[[Session], None]) -> None:
        """Call a function with a lost session when the time in which it can be resumed has passed."""
        session.expiry = asyncio.get_running_loop().call_later(seconds, end, session)

    async def _pass_on(self, rollout: HostedRollout) -> None:
        """Free a place and give it to the first in the queue."""
        await rollout.free()
        if not self._queue:
            return
        session = self._queue.pop(0)
        self._move(session, rollout)
        self._tell_places()
        await self._open(rollout, session)

    async def _open(self, rollout: HostedRollout, session: Session) -> None:
        """Begin to play for a session; one whose rollout cannot begin is ended with the reason."""
        try:
            await rollout.open_for(session)
        except Exception as error:
            logger.exception("a rollout could not begin")
            if session.connection is not None:
                text = f"The rollout cannot begin: {' '.join(str(error).split())}"
                session.connection.end(Error(code="failed", text=text, retry=False))
            self.end(session)

    def _move(self, session: Session, rollout: HostedRollout) -> None:
        """Make a queued session the owner of a rollout."""
        self._detach(session)
        session.rollout.sessions.discard(session)
        before, session.rollout = session.rollout, rollout
        session.seat = "agent" if session.role == "agent" else "player"
        rollout.owner = session
        rollout.sessions.add(session)
        if session.connection is not None:
            session.connection.set_seat(session.seat)
            session.send(self.seat_message(session))
            rollout.feed.add(session.connection)
        before.announce()
        rollout.announce()

    def _detach(self, session: Session) -> None:
        """Stop to send blocks to a session's connection, and stop its rollout if it steers one."""
        if session.connection is not None:
            session.rollout.feed.remove(session.connection)
        if isinstance(session.rollout.play, LivePlay) and session.rollout.owner is session:
            session.rollout.play.detach()

    def _tell_places(self) -> None:
        for session in self._queue:
            session.send(self.seat_message(session))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in the background."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
