"""A hub on this machine: enough of the protocol for the client to download repositories, and plain files."""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

CHUNK = 1 << 20

Content = bytes | Path


@dataclass
class LocalHub:
    """Files that a hub serves, and the requests that it received.

    Attributes:
        repo: Name of the repository of `files`.
        files: Content by name, the same in every commit; a path is read while it is sent.
        commits: Commit by revision; a commit is its own revision.
        more: Other repositories: content by name, by repository.
        plain: Content by path of the address, outside of repositories.
        breaks: Bytes after which each of the next responses with a body is cut off.
        delays: Seconds before each of the next answers.
        holds: Bytes after which the response for a name stops until the client is gone.
        headers: Headers that replace those of every response; None leaves one out.
        requests: Method, revision, file and range of every request.
        sent: Bytes of bodies that were sent, by name.
    """

    repo: str
    files: dict[str, Content]
    commits: dict[str, str]
    more: dict[str, dict[str, Content]] = field(default_factory=dict)
    plain: dict[str, Content] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    holds: dict[str, int] = field(default_factory=dict)
    headers: dict[str, str | None] = field(default_factory=dict)
    status: int = 200
    error: str = ""
    requests: list[tuple[str, str, str, str | None]] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)

    def commit_of(self, revision: str) -> str | None:
        return revision if revision in self.commits.values() else self.commits.get(revision)

    def files_of(self, repo: str) -> dict[str, Content] | None:
        return self.files if repo == self.repo else self.more.get(repo)


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


@cache
def sha256_of(content: Content) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def length_of(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def pieces(content: Content, start: int, end: int) -> Iterator[bytes]:
    """The bytes from start to end, a megabyte at a time."""
    if isinstance(content, bytes):
        yield content[start:end]
        return
    with content.open("rb") as file:
        file.seek(start)
        while start < end and (piece := file.read(min(CHUNK, end - start))):
            start += len(piece)
            yield piece


def _handler(hub: LocalHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, with_body: bool) -> None:
            path = unquote(urlsplit(self.path).path).lstrip("/")  # a proxy is asked for a whole address
            repo, _, rest = path.partition("/resolve/")
            revision, _, name = rest.partition("/") if rest else ("", "", path)
            hub.requests.append((self.command, revision, name, self.headers["Range"]))
            if hub.delays:
                time.sleep(hub.delays.pop(0))
            if hub.status != 200:
                return self._refuse(hub.status, hub.error)
            if path in hub.plain:
                return self._give(path, hub.plain[path], None, with_body)
            files, commit = hub.files_of(repo), hub.commit_of(revision)
            if files is None:
                return self._refuse(404, "RepoNotFound")
            if commit is None:
                return self._refuse(404, "RevisionNotFound")
            if name not in files:
                return self._refuse(404, "EntryNotFound")
            self._give(name, files[name], commit, with_body)

        def _give(self, name: str, content: Content, commit: str | None, with_body: bool) -> None:
            asked, etag, length = self.headers["Range"], f'"{sha256_of(content)}"', length_of(content)
            if self.headers["If-Range"] not in (None, etag):
                asked = None
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            self.send_response(206 if start else 200)
            headers = {"Content-Length": str(length - start), "ETag": etag, "X-Repo-Commit": commit}
            if start:
                headers["Content-Range"] = f"bytes {start}-{length - 1}/{length}"
            for key, value in (headers | hub.headers).items():
                if value is not None:
                    self.send_header(key, value)
            self.end_headers()
            if with_body:
                self._send(name, content, start, length)
            self.close_connection = True

        def _send(self, name: str, content: Content, start: int, length: int) -> None:
            end = min(length, start + hub.breaks.pop(0)) if hub.breaks else length
            hold = hub.holds.pop(name, None)
            for piece in pieces(content, start, end if hold is None else min(end, hold)):
                self.wfile.write(piece)
                hub.sent[name] = hub.sent.get(name, 0) + len(piece)
            if hold is not None:
                self.connection.settimeout(60)
                self.connection.recv(1)  # returns when the client is gone

        def _refuse(self, status: int, error: str) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", error)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Handler
