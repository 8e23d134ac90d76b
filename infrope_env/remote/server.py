"""The server of remote play: HTTP routes, the WebSocket, and one TCP port for both.

uvicorn and Starlette speak HTTP, the package websockets speaks WebSocket. Sessions and rollouts know none of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mimetypes
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from infrope_env.player.log_notices import LogNotices
from infrope_env.recording.episode import VIDEO
from infrope_env.recording.wrapper import find_recorder
from infrope_env.remote.access import Access, Grant
from infrope_env.remote.client_handler import ClientHandler, Disconnected
from infrope_env.remote.hosted_rollout import Env, HostedRollout, Start
from infrope_env.remote.http_protocols import PatientWebSocket, make_protocol
from infrope_env.remote.limits import MOST_PENDING
from infrope_env.remote.lobby import Capacity, Lobby
from infrope_env.remote.metrics import Metrics
from infrope_env.remote.protocol import MOST_MESSAGE_BYTES, VERSION, Wire
from infrope_env.remote.world_facts import WorldFacts

logger = logging.getLogger(__name__)

PAGE = Path(__file__).with_name("page")
SAFETY = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",  # the address has the token
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
MOST_CLIP_S = 60.0
NOTICE_S = 1.0
EVERY_ADDRESS = ("0.0.0.0", "::")
STILL_SENDING_S = 20
"""Seconds after which the kernel gives up a connection that takes no data."""


@dataclass(frozen=True)
class ServerSettings:
    """The settings of a server.

    Attributes:
        host: Address to listen on.
        port: Port; 0 takes a free one.
        token: Token of players; empty for none.
        origins: Origins of pages besides the server's own.
        capacity: How many sessions it takes.
        start: Start of every player's first rollout.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str = ""
    origins: Collection[str] = ()
    capacity: Capacity = field(default_factory=Capacity)
    start: Start = field(default_factory=Start)


class PlayServer:
    """A server of remote play, in one event loop.

    Attributes:
        settings: What it was asked to do.
        access: Its rules.
        metrics: What it measures.
        lobby: Its sessions; None unless it runs.
    """

    def __init__(self, settings: ServerSettings, make_env: Callable[[], Env]) -> None:
        """Prepare a server.

        Args:
            settings: What it is asked to do.
            make_env: Makes an environment for one player; called in a thread, for the first player before it listens.
        """
        self.settings, self._make_env = settings, make_env
        self.access, self.metrics = Access(settings.token, settings.origins), Metrics()
        self.lobby: Lobby | None = None
        self._handler: ClientHandler | None = None
        self._greeting = 0  # WebSockets without a session
        self._socket: socket.socket | None = None

    @property
    def url(self) -> str:
        """URL of the page, with the token; the server listens already."""
        assert self._socket is not None
        host, port = self._socket.getsockname()[:2]
        if host in EVERY_ADDRESS:
            host = socket.gethostname()
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{port}/" + (f"?token={self.access.token}" if self.access.token else "")

    def listen(self) -> None:
        """Take the port; OSError when that is impossible."""
        self._socket = _listening_socket(self.settings.host, self.settings.port)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop`, then end all sessions and close their environments.

        Args:
            stop: Event that ends it.
            on_ready: Called when the first environment is loaded and connections are served.
        """
        if self._socket is None:
            self.listen()
        env = await asyncio.to_thread(self._make_env)
        facts = await asyncio.to_thread(WorldFacts.of, env)
        made = [env]
        make_env = self._make_env
        lobby = Lobby(
            lambda: made.pop() if made else make_env(),
            facts.frame_rate,
            self.access,
            self.metrics,
            self.settings.capacity,
            self.settings.start,
        )
        await next(iter(lobby.rollouts.values())).load()
        self.lobby = lobby
        self._handler = ClientHandler(lobby, facts, self.metrics, find_recorder(env) is not None)
        with LogNotices() as log:
            notices = asyncio.create_task(_pass_on_notices(log, lobby))
            try:
                await self._serve(stop, on_ready)
            finally:
                notices.cancel()
                await lobby.close()

    async def _serve(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        assert self._socket is not None
        config = uvicorn.Config(
            self._app(),
            http=make_protocol(MOST_PENDING),
            ws=PatientWebSocket,
            ws_max_size=MOST_MESSAGE_BYTES,
            ws_per_message_deflate=False,
            ws_ping_interval=None,
            lifespan="off",
            log_config=None,
            access_log=False,
            log_level="error",  # strangers cannot fill the terminal with warnings
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=2,
        )
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]  # they are the caller's
        serving = asyncio.create_task(server.serve([self._socket]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        on_ready()
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self.lobby is not None:
            await self.lobby.say_goodbye()
        server.should_exit = True
        await serving

    # HTTP.

    def _app(self) -> Starlette:
        routes = [
            Route("/", self._page),
            Route("/page/{name}", self._page_file),
            Route("/check", self._check),
            Route("/metrics", self._metrics),
            Route("/clip.mp4", self._clip),
            Route("/recording.mp4", self._recording),
            WebSocketRoute("/ws", self._websocket),
        ]
        return Starlette(routes=routes)

    def _grant(self, connection: HTTPConnection) -> Grant:
        return self.access.grant(connection.headers, connection.query_params.get("token", ""))

    def _refuse(self, connection: HTTPConnection) -> Response | None:
        """Return the refusal of a request that may not even watch; None if it may."""
        if refusal := self._grant(connection).refusal:
            self.metrics.refuse("access")
            return PlainTextResponse(refusal + "\n", 403, SAFETY)
        return None

    async def _page(self, request: Request) -> Response:
        return self._refuse(request) or _page_response("index.html")

    async def _page_file(self, request: Request) -> Response:
        return _page_response(request.path_params["name"])

    async def _check(self, request: Request) -> Response:
        return self._refuse(request) or JSONResponse({"version": VERSION}, headers=SAFETY)

    async def _metrics(self, request: Request) -> Response:
        assert self.lobby is not None
        text = self.metrics.text(self.lobby.count())
        return self._refuse(request) or PlainTextResponse(text, media_type="text/plain; version=0.0.4", headers=SAFETY)

    async def _clip(self, request: Request) -> Response:
        if refusal := self._refuse(request):
            return refusal
        rollout = self._rollout(request)
        try:
            seconds = min(MOST_CLIP_S, float(request.query_params.get("seconds", 10)))
        except ValueError:
            return PlainTextResponse("Expected the seconds to be a number.\n", 400, SAFETY)
        video = b"" if rollout is None else await rollout.feed.clip(seconds)
        if not video:
            return PlainTextResponse("There is no video yet.\n", 404, SAFETY)
        return Response(video, media_type="video/mp4", headers=SAFETY | _as_download("infrope-clip.mp4"))

    async def _recording(self, request: Request) -> Response:
        if refusal := self._refuse(request):
            return refusal
        rollout = self._rollout(request)
        recorder = None if rollout is None or rollout.env is None else find_recorder(rollout.env)
        if recorder is None or not recorder.episodes:
            return PlainTextResponse("Nothing is recorded: start the server with --record DIR.\n", 404, SAFETY)
        folder = recorder.episodes[-1]
        headers = SAFETY | _as_download(f"infrope-{folder.name}.mp4")
        return FileResponse(folder / VIDEO, media_type="video/mp4", headers=headers)

    def _rollout(self, request: Request) -> HostedRollout | None:
        assert self.lobby is not None
        return self.lobby.rollouts.get(request.query_params.get("rollout", "1"))

    # The WebSocket.

    async def _websocket(self, websocket: WebSocket) -> None:
        assert self._handler is not None
        grant = self._grant(websocket)
        if refusal := self._refuse(websocket):
            await websocket.send_denial_response(refusal)
            return
        if self._greeting >= MOST_PENDING:
            self.metrics.refuse("limit")
            await websocket.send_denial_response(PlainTextResponse("Too many connections at once.\n", 503, SAFETY))
            return
        await websocket.accept()
        with self._counted() as greeted:
            await self._handler.serve(_Socket(websocket), grant.may_play, greeted)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[Callable[[], None]]:
        """Count a connection as one without a session until the function that this yields is called."""
        self._greeting += 1
        with contextlib.ExitStack() as ends:
            ends.callback(self._greeted)
            yield ends.close

    def _greeted(self) -> None:
        self._greeting -= 1


async def _pass_on_notices(log: LogNotices, lobby: Lobby) -> None:
    """Show what the terminal shows, such as the progress of a long prompt, to everybody."""
    while True:
        await asyncio.sleep(NOTICE_S)
        if (text := log.take()) is not None:
            lobby.notify(text)


class _Socket:
    """A WebSocket of Starlette, as the handler of clients wants it."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> Wire:
        message = await self._websocket.receive()
        if message["type"] != "websocket.receive":
            raise Disconnected
        text = message.get("text")
        wire: Wire = message["bytes"] if text is None else text
        return wire

    async def send(self, wire: Wire) -> None:
        send = self._websocket.send_text if isinstance(wire, str) else self._websocket.send_bytes
        try:
            await send(wire)  # type: ignore[arg-type]
        except (WebSocketDisconnect, RuntimeError, OSError) as error:
            raise Disconnected from error

    async def close(self, reason: str) -> None:
        if self._websocket.application_state is WebSocketState.CONNECTED:
            short = reason.encode()[:120].decode(errors="ignore")  # a close frame has no room for more
            try:
                await self._websocket.close(1008, short)
            except (WebSocketDisconnect, RuntimeError, OSError) as error:
                raise Disconnected from error


@cache
def _page_files() -> Mapping[str, Path]:
    """Return the files of the page by name: requests name no path."""
    return {path.name: path for path in PAGE.iterdir() if path.is_file()} if PAGE.is_dir() else {}


def _page_response(name: str) -> Response:
    path = _page_files().get(name)
    if path is None:
        return PlainTextResponse("There is no such file.\n", 404, SAFETY)
    kind = "text/javascript" if path.suffix == ".js" else mimetypes.guess_type(name)[0]
    return FileResponse(path, media_type=kind, headers=SAFETY)


def _as_download(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}


def _listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens; the kernel ends its connections when the other side takes no data for long."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * STILL_SENDING_S)
        listening.bind(address)
        listening.listen(128)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening
