"""A hub on this machine: enough of the protocol for the client to download one repository."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class LocalHub:
    """Files that a hub serves, and the requests that it received.

    Attributes:
        files: Bytes by name, the same in every commit.
        commits: Commit by revision; a commit is its own revision.
        breaks: Bytes after which each of the next responses with a body is cut off.
        requests: Method, revision, file and range of every request.
    """

    repo: str
    files: dict[str, bytes]
    commits: dict[str, str]
    breaks: list[int] = field(default_factory=list)
    status: int = 200
    error: str = ""
    requests: list[tuple[str, str, str, str | None]] = field(default_factory=list)

    def commit_of(self, revision: str) -> str | None:
        return revision if revision in self.commits.values() else self.commits.get(revision)


@contextmanager
def serving(hub: LocalHub) -> Iterator[str]:
    """The address of the running hub."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(hub: LocalHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, with_body: bool) -> None:
            repo, _, rest = self.path.lstrip("/").partition("/resolve/")
            revision, _, name = rest.partition("/")
            hub.requests.append((self.command, revision, name, self.headers["Range"]))
            commit = hub.commit_of(revision)
            if hub.status != 200:
                return self._refuse(hub.status, hub.error)
            if repo != hub.repo:
                return self._refuse(404, "RepoNotFound")
            if commit is None:
                return self._refuse(404, "RevisionNotFound")
            if name not in hub.files:
                return self._refuse(404, "EntryNotFound")
            self._give(hub.files[name], commit, with_body)

        def _give(self, data: bytes, commit: str, with_body: bool) -> None:
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-")) if self.headers["Range"] else 0
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Repo-Commit", commit)
            self.end_headers()
            if with_body:
                self._send(data[start:])

        def _send(self, body: bytes) -> None:
            self.wfile.write(body[: hub.breaks.pop(0)] if hub.breaks else body)
            self.close_connection = True

        def _refuse(self, status: int, error: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", error)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Handler
