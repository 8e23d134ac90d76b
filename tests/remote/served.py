"""A real server in a thread of the test's process, on a free port."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium

from infrope_env.remote.lobby import Capacity
from infrope_env.remote.server import PlayServer, ServerSettings

TOKEN = "a-token-of-tests"


@contextmanager
def serving(make_env: Callable[[], gymnasium.Env[Any, Any]], **settings: Any) -> Iterator[PlayServer]:
    """Serve environments until the block ends."""
    chosen = {"port": 0, "token": TOKEN, "capacity": Capacity(players=2)} | settings
    server = PlayServer(ServerSettings(**chosen), make_env)
    server.listen()
    ready, failures = threading.Event(), list[BaseException]()
    stops: list[Callable[[], None]] = []

    async def run() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        await server.run(stop, ready.set)

    def run_thread() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run_thread, name="server of a test")
    thread.start()
    try:
        assert ready.wait(60) and not failures, failures
        yield server
    finally:
        stops[0]()
        thread.join(30)
    assert not thread.is_alive() and not failures, failures
