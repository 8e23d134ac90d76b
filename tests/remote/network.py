"""A TCP proxy that a test can cut and throttle."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from infrope_env.remote.server import PlayServer

PIECE = 4096


class Proxy:
    """A proxy to a port of this machine.

    Attributes:
        port: Its own port.
        bytes_per_s: Rate from the server to the clients; None does not limit it.
        passed: Bytes passed to clients so far.
    """

    def __init__(self, target: int, bytes_per_s: float | None = None) -> None:
        self.port, self.bytes_per_s, self.passed = 0, bytes_per_s, 0
        self.is_open = True
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def cut(self) -> None:
        """Reset every connection."""
        self._call(lambda: [writer.transport.abort() for writer in list(self._writers)])

    def _call(self, function) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(function)

    async def run(self, ready: threading.Event, stop: asyncio.Event) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=PIECE)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if not self.is_open:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target, limit=PIECE)
        self._writers |= {writer, far_writer}
        try:
            up = asyncio.create_task(self._copy(reader, far_writer, None))
            down = asyncio.create_task(self._copy(far_reader, writer, self.bytes_per_s))
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            up.cancel()
            down.cancel()
            await asyncio.wait([up, down])
        finally:
            for each in (writer, far_writer):
                self._writers.discard(each)
                each.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: float | None) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(PIECE):
                writer.write(data)
                await writer.drain()
                if rate is not None:
                    self.passed += len(data)
                    await asyncio.sleep(len(data) / rate)
        writer.transport.abort()


def port_of(server: PlayServer) -> int:
    """Return the port of a server."""
    return int(server.url.partition("/?")[0].rpartition(":")[2])


def through(server: PlayServer, proxy: Proxy) -> str:
    """Return the URL of a server behind a proxy."""
    return server.url.replace(f":{port_of(server)}", f":{proxy.port}")


@contextmanager
def proxy_to(port: int, bytes_per_s: float | None = None) -> Iterator[Proxy]:
    """Run a proxy in a thread until the block ends."""
    proxy, ready = Proxy(port, bytes_per_s), threading.Event()
    stops = []

    async def run() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(stop.set))
        await proxy.run(ready, stop)

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="proxy of a test")
    thread.start()
    assert ready.wait(10)
    try:
        yield proxy
    finally:
        stops[0]()
        thread.join(10)
