"""One connection of a client: hello, welcome, then messages in both directions until one side ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np

from infrope_env import __version__
from infrope_env.control.frames import Frames
from infrope_env.pixels.picture_file import check_size, decode_picture
from infrope_env.remote.client_messages import Ack, Command, Hello, Inspect, Key, Leave, Pong, ReleaseAll, Reset, Shown
from infrope_env.remote.limits import (
    BYTES_AT_ONCE,
    BYTES_PER_S,
    HEARTBEAT_S,
    HELLO_S,
    MESSAGES_AT_ONCE,
    MESSAGES_PER_S,
    MOST_PICTURE_PIXELS,
    MOST_UNACKNOWLEDGED,
    LimitError,
    RateLimit,
)
from infrope_env.remote.live_play import LivePlay
from infrope_env.remote.lobby import Lobby
from infrope_env.remote.message import MOST_PROMPT_CHARACTERS, Encoding, Message
from infrope_env.remote.metrics import Metrics
from infrope_env.remote.protocol import (
    MOST_PICTURE_BYTES,
    VERSION,
    ProtocolError,
    Wire,
    decode_from_client,
    encode,
    expect,
    version_problem,
)
from infrope_env.remote.server_messages import Error, Ping, Result, Welcome
from infrope_env.remote.session import Connection, Session
from infrope_env.remote.world_facts import WorldFacts

logger = logging.getLogger(__name__)

MOST_KEY_TO_PIXEL_MS = 60_000.0


class Socket(Protocol):
    """A WebSocket that is open."""

    async def receive(self) -> Wire:
        """Return the next message; Disconnected when there will be none."""

    async def send(self, wire: Wire) -> None:
        """Send a message, when the network can take it; Disconnected when it cannot any more."""

    async def close(self, reason: str) -> None:
        """Close it, with a reason."""


class Disconnected(Exception):
    """The other side has closed the connection, or the network has."""


class ClientHandler:
    """Serves the connections of one server."""

    def __init__(self, lobby: Lobby, facts: WorldFacts, metrics: Metrics, is_recording: bool) -> None:
        self._lobby, self._facts, self._metrics, self._is_recording = lobby, facts, metrics, is_recording

    async def serve(self, socket: Socket, may_play: bool, on_session: Callable[[], None] = lambda: None) -> None:
        """Serve a client until its connection ends.

        Args:
            socket: Its connection.
            may_play: Whether it may do more than watch.
            on_session: Called when it has a session.
        """
        try:
            hello = await self._receive_hello(socket)
            session, resumed = self._find_session(hello, may_play)
        except _Refusal as refusal:
            await self._end(socket, refusal.error)
            return
        except Disconnected:
            return
        on_session()
        connection = Connection(self._choose_encoding(hello), session.seat)
        connection.outbox.put(self._welcome(session, connection, resumed))
        self._lobby.connect(session, connection)
        error = await self._talk(socket, session, connection)
        if error is None:
            self._lobby.disconnect(session, connection)
            return
        if error.code != "replaced":
            leave = self._lobby.disconnect if error.retry else lambda session, _: self._lobby.end(session)
            leave(session, connection)
        await self._end(socket, error)

    # The beginning.

    async def _receive_hello(self, socket: Socket) -> Hello:
        try:
            message, _ = decode_from_client(await asyncio.wait_for(socket.receive(), HELLO_S))
            hello = expect(message, Hello)
        except TimeoutError:
            raise _Refusal("limit", f"Expected a hello within {HELLO_S:g} seconds.", retry=True) from None
        except ProtocolError as error:
            raise _Refusal("malformed", _sentence(error)) from None
        if problem := version_problem(hello.version):
            raise _Refusal("version", problem)
        if not self._encodings(hello):
            raise _Refusal("version", "The client reads none of the encodings h264, jpeg and raw.")
        return hello

    def _find_session(self, hello: Hello, may_play: bool) -> tuple[Session, bool]:
        """Return the session to resume, or a new one, and whether it was resumed."""
        if self._lobby.is_closing:
            raise _Refusal("stopping", "The server has stopped.", retry=True)
        known = self._lobby.sessions.get(hello.session)
        if known is not None and (may_play or known.role == "viewer"):
            self._metrics.count("sessions_resumed")
            return known, True
        if hello.role != "viewer" and not may_play:
            raise _Refusal("busy", "This link is for viewers: it cannot play.")
        try:
            return self._lobby.join(hello.role, hello.rollout), False
        except LimitError as error:
            raise _Refusal("busy", str(error), retry=True) from None

    def _encodings(self, hello: Hello) -> list[Encoding]:
        known: tuple[Encoding, ...] = ("h264", "jpeg", "raw")
        return [each for name in hello.encodings for each in known if each == name]

    def _choose_encoding(self, hello: Hello) -> Encoding:
        return self._encodings(hello)[0]

    def _welcome(self, session: Session, connection: Connection, resumed: bool) -> Welcome:
        seat, state = self._lobby.seat_message(session), session.rollout.state()
        return Welcome(
            version=VERSION,
            server=f"infrope {__version__}",
            session=session.id,
            resumed=resumed,
            **vars(seat),
            encoding=connection.encoding,
            codec=self._facts.codec if connection.encoding == "h264" else "",
            next_seq=session.next_seq,
            **self._facts.for_welcome(),
            recording=self._is_recording,
            paused=state.paused,
            saved=state.saved,
            heartbeat_s=HEARTBEAT_S,
            lost_s=session.lost_s,
            resume_s=self._lobby.capacity.resume_s,
            most_unacknowledged=MOST_UNACKNOWLEDGED,
            most_prompt_characters=MOST_PROMPT_CHARACTERS,
            most_picture_bytes=MOST_PICTURE_BYTES,
        )

    # The conversation.

    async def _talk(self, socket: Socket, session: Session, connection: Connection) -> Error | None:
        """Send and receive until one side ends; return the last message to send, or None when nobody is there."""
        tasks = [
            asyncio.create_task(self._receive(socket, session, connection)),
            asyncio.create_task(self._send(socket, connection)),
            asyncio.create_task(self._beat(session, connection)),
        ]
        try:
            waiting: list[asyncio.Future[Any]] = [*tasks, connection.ended]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if connection.ended.done():
            return connection.ended.result()
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                return self._last_message(error)
        return None

    def _last_message(self, error: BaseException) -> Error | None:
        """Return what to tell a client whose conversation has failed; None when it is not there any more."""
        if isinstance(error, Disconnected | TimeoutError):
            self._metrics.count("connections_lost")
            return None
        if isinstance(error, ProtocolError | LimitError):
            return Error(
                code="limit" if isinstance(error, LimitError) else "malformed", text=_sentence(error), retry=False
            )
        logger.error("a connection has failed", exc_info=error)
        return Error(code="failed", text="The server has failed; its log says why.", retry=True)

    async def _send(self, socket: Socket, connection: Connection) -> None:
        while True:
            dropped = connection.outbox.dropped
            wire = await connection.outbox.next()
            await socket.send(wire)
            self._metrics.count("bytes_sent", len(wire))
            self._metrics.count("blocks_dropped", connection.outbox.dropped - dropped)

    async def _beat(self, session: Session, connection: Connection) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            session.send(Ping(time_ms=round(1000 * time.monotonic(), 1), rtt_ms=round(connection.rtt_ms, 1)))
            session.rollout.check_recording()

    async def _receive(self, socket: Socket, session: Session, connection: Connection) -> None:
        messages = RateLimit(MESSAGES_PER_S, MESSAGES_AT_ONCE, "messages")
        amount = RateLimit(BYTES_PER_S, BYTES_AT_ONCE, "bytes")
        acknowledged = _Arrivals(self._metrics)
        while True:
            wire = await asyncio.wait_for(socket.receive(), session.lost_s)
            now = time.monotonic()
            messages.take(1, now)
            amount.take(len(wire), now)
            message, body = decode_from_client(wire)
            match message:
                case Pong(time_ms=time_ms):
                    connection.rtt_ms = max(0.0, 1000 * now - time_ms)
                case Ack(seq=seq):
                    self._acknowledge(session, connection, seq, acknowledged, now)
                case Shown():
                    self._measure(session, message)
                case Leave(may_return=may_return):
                    if not may_return:
                        self._lobby.end(session)
                    elif session.connection is connection:  # the page may be loaded again already
                        session.has_left = True
                    return
                case Hello():
                    raise ProtocolError("expected one hello, got another")
                case _:
                    self._handle(session, message, body)

    def _handle(self, session: Session, message: Message, body: bytes) -> None:
        """Handle a message of a player or agent, or of a viewer who asks what blocks saw."""
        owner = session.rollout.owner is session
        if isinstance(message, Key | ReleaseAll):
            if owner and isinstance(session.rollout.play, LivePlay) and session.accepts(message.seq):
                session.rollout.play.handle_key(message)
        elif isinstance(message, Inspect) and session.seat != "agent":
            session.execute(message, session.rollout.inspect(session, message))
        elif isinstance(message, Command):
            if not owner:
                refusal = "Only the player can do that: you are watching."
                session.send(Result(id=message.id, error=refusal, kind=PermissionError.__name__))
                return
            session.execute(message, session.rollout.execute(message, _picture_loader(message, body)))

    def _acknowledge(self, session: Session, connection: Connection, seq: int, arrivals: _Arrivals, now: float) -> None:
        if connection.outbox.acknowledge(seq) and isinstance(session.rollout.play, LivePlay) and connection.steers:
            arrivals.add(seq, now, session.rollout.play.paused)
            session.rollout.play.acknowledged()

    def _measure(self, session: Session, message: Shown) -> None:
        if session.seat != "player":
            return
        for ms in message.key_to_pixel_ms[:16]:
            if 0 <= ms <= MOST_KEY_TO_PIXEL_MS:
                self._metrics.observe("key_to_pixel_seconds", ms / 1000)
        if 0 <= message.late_ms <= MOST_KEY_TO_PIXEL_MS:
            self._metrics.observe("late_seconds", message.late_ms / 1000)

    async def _end(self, socket: Socket, error: Error) -> None:
        self._metrics.refuse(error.code)
        with contextlib.suppress(Disconnected, TimeoutError):
            async with asyncio.timeout(1):
                await socket.send(encode(error))
                await socket.close(error.text)


class _Refusal(Exception):
    """A client that cannot be served; its error is the last message to it."""

    def __init__(self, code: str, text: str, retry: bool = False) -> None:
        super().__init__(text)
        self.error = Error(code=code, text=text, retry=retry)


class _Arrivals:
    """Measures the time between the acknowledgements of consecutive blocks."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._newest: tuple[int, float] | None = None

    def add(self, seq: int, now: float, paused: bool) -> None:
        """Register that a block has arrived at `now`; a pause interrupts the measurement."""
        if self._newest is not None and seq == self._newest[0] + 1:
            self._metrics.observe("block_interarrival_seconds", now - self._newest[1])
        self._newest = None if paused else (seq, now)


def _picture_loader(message: Command, body: bytes) -> Callable[[], Frames | None]:
    """Return the function that reads the picture in the body of a reset."""
    if not body or not isinstance(message, Reset):
        return lambda: None
    if not message.raw_picture:
        return partial(decode_picture, body, "the picture", MOST_PICTURE_PIXELS)
    return partial(_raw_picture, message.raw_picture, body)


def _raw_picture(size: list[int], body: bytes) -> Frames:
    height, width = size if len(size) == 2 else (0, 0)
    if height < 1 or width < 1 or 3 * height * width != len(body):
        raise ValueError(f"expected a picture of {size} pixels to have 3 bytes for each, got {len(body)}")
    check_size(width, height, "the picture", MOST_PICTURE_PIXELS)
    return np.frombuffer(body, np.uint8).reshape(height, width, 3)


def _sentence(error: Exception) -> str:
    return f"The server closes the connection: {error}."
