"""A real server in a process of its own, and a TCP connection to it that a test can cut."""

import contextlib
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


@contextmanager
def serve(*options: str) -> Iterator[str]:
    """Run `infrope serve` with options on a free port; yield the URL that it prints."""
    command = [sys.executable, "-m", "infrope_env.cli", "serve", "--port", "0", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if found := re.search(r"http://\S+", line):
                break
        else:
            raise AssertionError("the server ended before it printed its URL")
        yield found[0]
    finally:
        process.terminate()
        process.communicate()


class Cable:
    """A TCP proxy to a port of this machine, which a test cuts and plugs in again.

    Attributes:
        port: Port of the proxy.
        cuts: Number of connections cut so far.
    """

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.cuts = self._listener.getsockname()[1], 0
        self._sockets: list[socket.socket] = []
        self._is_plugged_in = True
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break all connections and refuse new ones."""
        self._is_plugged_in = False
        broken, self._sockets = self._sockets, []
        self.cuts += len(broken) // 2
        for end in broken:
            _break(end)

    def plug_in(self) -> None:
        """Accept connections again."""
        self._is_plugged_in = True

    def close(self) -> None:
        """Cut and stop."""
        self.cut()
        _break(self._listener)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._is_plugged_in:
                    self._connect(client)
                else:
                    _break(client)

    def _connect(self, client: socket.socket) -> None:
        server = socket.create_connection(self._target)
        self._sockets += [client, server]
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=_pump, args=(source, target), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    _break(source)
    _break(target)


def _break(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
