"""A server in a thread of a program, for notebooks and tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from infrope_env.remote.hosted_rollout import Env
from infrope_env.remote.server import PlayServer, ServerSettings


@contextmanager
def serving(make_env: Callable[[], Env], settings: ServerSettings | None = None) -> Iterator[PlayServer]:
    """Serve environments until the block ends.

    Args:
        make_env: Makes an environment for one player or agent.
        settings: What the server is asked to do; by default it takes a free port of this machine, without a token.

    Raises:
        OSError: The port cannot be used.
        Exception: The first environment could not be made.
    """
    server = PlayServer(settings or ServerSettings(port=0), make_env)
    server.listen()
    ready = threading.Event()
    failure: list[BaseException] = []
    stops: list[Callable[[], object]] = []

    async def run() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        await server.run(stop, ready.set)

    def run_thread() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # raised again in the thread that waits
            failure.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run_thread, name="infrope server")
    thread.start()
    try:
        ready.wait()
        if failure:
            raise failure[0]
        yield server
    finally:
        if thread.is_alive():
            stops[0]()
        thread.join()
    if failure:
        raise failure[0]
