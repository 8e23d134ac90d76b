"""A connection to a server of remote play, which comes back by itself when it is lost."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any

from infrope_env.remote.address import ServerAddress
from infrope_env.remote.client_errors import CommandError, RemoteError, as_remote_error, reason_of
from infrope_env.remote.client_messages import Ack, Command, Hello, Leave, Pong, Withdraw
from infrope_env.remote.message import Encoding, Message, Role
from infrope_env.remote.protocol import VERSION, ProtocolError, Wire, decode_from_server, encode, version_problem
from infrope_env.remote.server_messages import Block, Error, Ping, Result, Seat, Welcome

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

OPEN_TIMEOUT_S = 10.0
RETRY_AFTER_S = (0.0, 0.25, 0.5, 1.0, 2.0)  # pauses before the attempts to connect again; the last one repeats

Answer = tuple[Result, bytes]


class RemoteConnection:
    """A session on a server: one thread receives messages, answers pings, acknowledges blocks and reconnects.

    A lost connection is resumed with its session id; commands that were not answered are sent again, and the server
    executes each once.

    Attributes:
        welcome: The newest welcome; None before `open`.
        is_connected: Whether messages reach the server now.
        seat: "player", "viewer", "agent" or "queued"; empty before `open`.
        place: Place in the queue from 1; 0 unless queued.
        failure: Why the connection will not come back; None while it may.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        role: Role = "player",
        encodings: Sequence[Encoding] = ("jpeg",),
        client: str = "infrope",
        give_up_s: float | None = None,
        on_message: Callable[[Message, bytes], None] = lambda message, body: None,
        on_connection: Callable[[bool, str], None] = lambda is_connected, reason: None,
    ) -> None:
        """Prepare a connection; `open` makes it.

        Args:
            url: URL that the server printed; its token may be given in `token` instead.
            token: Token of the server; None takes that of the URL.
            role: Wanted role.
            encodings: Encodings that the client reads, the preferred one first.
            client: Name of the client, for the log of the server.
            give_up_s: Seconds without a connection after which no more attempts are made; None never gives up.
            on_message: Called with every message and its body but pings and results, the welcomes included, by the
                thread that receives them.
            on_connection: Called with False and the reason when the connection is lost or an attempt to come back
                failed, and with True when it is back.

        Raises:
            ValueError: The URL is none of a server.
        """
        self.welcome: Welcome | None = None
        self.is_connected = False
        self.seat, self.place = "", 0
        self.failure: RemoteError | None = None
        self._address = ServerAddress.parse(url, token)
        self._role: Role = role
        self._encodings: list[str] = list(encodings)
        self._client = client
        self._give_up_s = give_up_s
        self._on_message, self._on_connection = on_message, on_connection
        self._socket: ClientConnection | None = None
        self._ids = itertools.count(1)
        self._open_commands: dict[int, tuple[Wire, Future[Answer]]] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self, timeout_s: float = OPEN_TIMEOUT_S) -> Welcome:
        """Connect, say hello, and start the thread that receives.

        Raises:
            RemoteError: There is no server, or it refused the connection.
        """
        welcome = self._connect(timeout_s)
        self._thread = threading.Thread(target=self._run, name="infrope connection", daemon=True)
        self._thread.start()
        return welcome

    def send(self, message: Message, body: bytes | None = None) -> bool:
        """Send a message; return False when it is lost because the connection is."""
        return self._send(encode(message, body))

    def request(self, kind: type[Command], body: bytes | None = None, **fields: Any) -> Future[Answer]:
        """Send a command and return the Future of its answer.

        The Future has a CommandError when the server refuses it, and a RemoteError when the session was lost or closed.

        Args:
            kind: Class of the command.
            body: Body of the command.
            fields: Its fields besides the id.
        """
        command = kind(id=next(self._ids), **fields)
        wire, future = encode(command, body), Future[Answer]()
        with self._lock:
            if self._closing.is_set():
                future.set_exception(RemoteError("The connection is closed."))
                return future
            self._open_commands[command.id] = wire, future
        self._send(wire)
        return future

    def withdraw(self, answer: Future[Answer]) -> None:
        """Take a prompt back that the server has not answered; `answer` is the Future of its command."""
        with self._lock:
            number = next((number for number, (_, future) in self._open_commands.items() if future is answer), None)
        if number is not None:
            self.request(Withdraw, command=number)

    def close(self) -> None:
        """Leave the session and stop the thread; a second call does nothing."""
        self.send(Leave())
        self._closing.set()
        self._disconnect()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._fail_commands(RemoteError("The connection is closed."))

    def drop(self) -> None:
        """Close the connection but keep the session, as if the network had failed; it is resumed at once."""
        self._disconnect()

    # One connection.

    def _connect(self, timeout_s: float) -> Welcome:
        """Open a connection and exchange hello and welcome; RemoteError when that fails."""
        try:
            from websockets.sync.client import connect
        except ImportError as error:
            raise ImportError(f"{error}: pip install 'infrope-env[serve]' has what a connection needs") from error
        with as_remote_error(self._address):
            opening = connect(
                self._address.socket_url,
                additional_headers=self._address.headers,
                open_timeout=timeout_s,
                close_timeout=1,
                compression=None,
                max_size=None,
                ping_interval=None,
                user_agent_header=self._client,
            )
            socket = opening.__enter__()  # `_disconnect` closes it
        try:
            with as_remote_error(self._address):
                session = self.welcome.session if self.welcome else ""
                hello = Hello(
                    version=VERSION,
                    role=self._role,
                    encodings=self._encodings,
                    session=session,
                    rollout=self._address.rollout,
                    client=self._client,
                )
                socket.send(encode(hello))
                welcome = _read_welcome(socket.recv(timeout_s))
        except BaseException:
            socket.close()
            raise
        self._begin(socket, welcome)
        return welcome

    def _begin(self, socket: ClientConnection, welcome: Welcome) -> None:
        """Put a connection in use, and send again what was not answered on the one before."""
        if not welcome.resumed:
            self._fail_commands(RemoteError("The session on the server has ended."))
        self._socket, self.welcome = socket, welcome
        self.seat, self.place = welcome.seat, welcome.place
        self.is_connected = True
        self._on_message(welcome, b"")
        with self._lock:
            waiting = [wire for wire, _ in self._open_commands.values()]
        for wire in waiting:
            self._send(wire)

    def _disconnect(self) -> None:
        if (socket := self._socket) is not None:
            socket.close()

    def _send(self, wire: Wire) -> bool:
        from websockets.exceptions import ConnectionClosed

        if (socket := self._socket) is None or not self.is_connected:
            return False
        try:
            socket.send(wire)
        except (ConnectionClosed, OSError):
            return False
        return True

    # The thread that receives.

    def _run(self) -> None:
        error = RemoteError("The connection is closed.")
        while not self._closing.is_set():
            reason = self._receive_until_lost()
            self.is_connected = False
            if self._closing.is_set():
                break
            self._on_connection(False, str(reason))
            failure = self._reconnect() if reason.retry else reason
            if failure is not None:
                error = failure
                break
            self._on_connection(True, "")
        self.failure = error
        self._fail_commands(error)

    def _receive_until_lost(self) -> RemoteError:
        """Handle messages until the connection is lost; return why."""
        from websockets.exceptions import ConnectionClosed

        socket, welcome = self._socket, self.welcome
        assert socket is not None and welcome is not None
        try:
            while True:
                message, body = decode_from_server(socket.recv(welcome.lost_s))
                if isinstance(message, Error):
                    return RemoteError(message.text, message.retry)
                self._handle(message, body)
        except TimeoutError:
            return RemoteError(f"The server has been silent for {welcome.lost_s:g} s.", retry=True)
        except ConnectionClosed as error:
            return RemoteError(f"The connection was lost ({reason_of(error)}).", retry=True)
        except (OSError, ProtocolError) as error:
            return RemoteError(f"The connection was lost ({error}).", retry=True)
        finally:
            self._disconnect()

    def _handle(self, message: Message, body: bytes) -> None:
        if isinstance(message, Ping):
            self.send(Pong(time_ms=message.time_ms))
        elif isinstance(message, Result):
            self._answer(message, body)
        else:
            if isinstance(message, Block):
                self.send(Ack(seq=message.seq))
            elif isinstance(message, Seat):
                self.seat, self.place = message.seat, message.place
            self._on_message(message, body)

    def _answer(self, result: Result, body: bytes) -> None:
        with self._lock:
            _, future = self._open_commands.pop(result.id, (None, None))
        if future is not None:
            with contextlib.suppress(InvalidStateError):  # the caller has cancelled it
                if result.error:
                    future.set_exception(CommandError(result.error, result.kind))
                else:
                    future.set_result((result, body))

    def _reconnect(self) -> RemoteError | None:
        """Connect again; return the reason when that is hopeless or takes too long, None when it worked."""
        lost_s = time.monotonic()
        for pause_s in _pauses():
            if self._closing.wait(pause_s):
                return RemoteError("The connection is closed.")
            try:
                self._connect(OPEN_TIMEOUT_S)
            except RemoteError as error:
                if not error.retry:
                    self._on_connection(False, str(error))
                    return error
                if self._give_up_s is not None and time.monotonic() - lost_s > self._give_up_s:
                    return RemoteError(f"{error} Gave up after {self._give_up_s:g} s.")
                self._on_connection(False, str(error))
            else:
                return None
        raise AssertionError("the pauses have no end")

    def _fail_commands(self, error: RemoteError) -> None:
        with self._lock:
            waiting, self._open_commands = list(self._open_commands.values()), {}
        for _, future in waiting:
            with contextlib.suppress(InvalidStateError):
                future.set_exception(error)


def _pauses() -> Iterator[float]:
    yield from RETRY_AFTER_S
    yield from itertools.repeat(RETRY_AFTER_S[-1])


def _read_welcome(wire: Wire) -> Welcome:
    message, _ = decode_from_server(wire)
    if isinstance(message, Error):
        raise RemoteError(message.text, message.retry)
    if not isinstance(message, Welcome):
        raise RemoteError(f"Expected the server's welcome, got a message {message.type!r}.")
    if problem := version_problem(VERSION, message.version):
        raise RemoteError(problem)
    return message
