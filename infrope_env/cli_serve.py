"""`infrope serve`: a world to play from anywhere, over one TCP port."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infrope_env.cli_options import EnvironmentOptions
from infrope_env.recording.quality import Quality

if TYPE_CHECKING:
    import gymnasium

    from infrope_env.remote.server import PlayServer

MOST_PLAYERS, MOST_VIEWERS = 64, 1000
TOKEN = re.compile(r"[A-Za-z0-9._~-]{8,200}")


@dataclass(kw_only=True)
class Serve(EnvironmentOptions):
    """Serve a world to browsers, to 'infrope play --connect' and to agents, over one TCP port.

    Prints one URL. From another machine, forward the port: ssh -L 8765:localhost:8765 user@server
    """

    host: str = "127.0.0.1"
    """Address to listen on. Any other than this machine's own needs a token, and TLS from a proxy in front."""
    port: int = 8765
    """TCP port; 0 takes a free one."""
    token: str | None = None
    """Token in the URL; by default a new one at every start. "" needs none, on this machine only."""
    origin: tuple[str, ...] = ()
    """Origins of web pages that may connect besides the server's own, such as https://play.example.org."""
    players: int = 1
    """Players at the same time, each with a rollout of its own; further ones wait in a queue."""
    viewers: int = 16
    """Viewers at the same time."""
    record: Path | None = None
    """Record every rollout in this folder."""
    quality: Quality | None = None
    """Pixels of the recorded videos: standard (4:2:0, for any player; the default), high (4:4:4) or lossless."""
    subject: str | None = None
    """Subject at the start, by its name in the action set."""
    scene: str | None = None
    """Scene at the start, by its name in the action set."""

    def run(self) -> int:
        """Serve until Ctrl-C; return the exit code."""
        self.check()
        try:
            from infrope_env.remote.server import PlayServer, ServerSettings
        except ImportError as error:
            raise ImportError(
                f"'infrope serve' needs more packages ({error}): pip install 'infrope-env[serve]'"
            ) from error
        from infrope_env.remote.access import new_token
        from infrope_env.remote.hosted_rollout import Start
        from infrope_env.remote.lobby import Capacity

        names = {"subject": self.subject, "scene": self.scene}
        settings = ServerSettings(
            host=self.host,
            port=self.port,
            token=new_token() if self.token is None else self.token,
            origins=self.origin,
            capacity=Capacity(players=self.players, viewers=self.viewers),
            start=Start(self.seed, {name: text for name, text in names.items() if text is not None}),
        )
        server = PlayServer(settings, self._make_recorded_env)
        try:
            server.listen()
        except OSError as error:
            place = f"{self.host}:{self.port}"
            raise ValueError(f"{place} cannot be used ({error.strerror}): choose another --host or --port") from error
        asyncio.run(self._serve(server))
        return 0

    def check(self) -> None:
        """Raise ValueError for options that have no valid value, before anything is loaded."""
        from infrope_env.remote.access import is_loopback

        if self.quality is not None and self.record is None:
            raise ValueError("--quality is that of a recording: give --record too")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"expected --port to be from 0 to 65535, got {self.port}")
        if not 1 <= self.players <= MOST_PLAYERS:
            raise ValueError(f"expected --players to be from 1 to {MOST_PLAYERS}, got {self.players}")
        if self.offload and self.players > 1:
            raise ValueError("--offload serves one environment at a time: leave --players out")
        if not 0 <= self.viewers <= MOST_VIEWERS:
            raise ValueError(f"expected --viewers to be from 0 to {MOST_VIEWERS}, got {self.viewers}")
        if self.token == "" and not is_loopback(self.host):
            raise ValueError(f"--host {self.host} lets other machines connect: it needs a token. Leave --token out.")
        if self.token and not TOKEN.fullmatch(self.token):
            raise ValueError("expected --token to have at least 8 letters, digits or any of -._~ and no others")

    def _make_recorded_env(self) -> gymnasium.Env[Any, Any]:
        env = self.make_env()
        if self.record is None:
            return env
        from infrope_env.recording.wrapper import RecordRollout

        return RecordRollout(env, self.record, self.quality or "standard")

    async def _serve(self, server: PlayServer) -> None:
        def show_url() -> None:
            print(f"Play at {server.url}", flush=True)
            print("Ctrl-C ends the server.", flush=True)

        print(f"loading {self.env} ...", flush=True)
        stop = asyncio.Event()
        with _stopped_by_signals(stop):
            await server.run(stop, show_url)


@contextlib.contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set an event on SIGINT and SIGTERM, so that recordings are closed; a second signal ends the process."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, _: object) -> None:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        print("infrope: stopping; once more ends at once", file=sys.stderr)
        loop.call_soon_threadsafe(stop.set)

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
