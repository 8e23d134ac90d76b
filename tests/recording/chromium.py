"""A headless Chromium that plays a video and returns the pixels that a page sees."""

import functools
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PAGE = Path(__file__).with_name("chromium.html").read_text(encoding="utf-8")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]


def pixels_seen(video: Path, times_s: Sequence[float], home: Path) -> np.ndarray:
    """Return what a canvas shows of a video at some times, t H W 3; ValueError when it does not play.

    Args:
        video: The file.
        times_s: Times in seconds.
        home: A new folder for the browser's files.
    """
    assert PROGRAM is not None
    with serve(video, times_s) as (address, answers):
        browser = subprocess.Popen(
            [PROGRAM, *FLAGS, f"--user-data-dir={home}", address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            assert answers.arrived.wait(240), "the page did not answer"
        finally:
            browser.terminate()
            browser.wait(30)
    if "error" in answers.content:
        raise ValueError(answers.content["error"])
    pixels = np.array(answers.content["pixels"], np.uint8)
    return pixels.reshape(len(times_s), answers.content["height"], answers.content["width"], 4)[..., :3]


class Answers:
    """The page's answer, when it has arrived."""

    def __init__(self) -> None:
        self.content: dict[str, Any] = {}
        self.arrived = threading.Event()


class Handler(BaseHTTPRequestHandler):
    """Serves the page and the video, and takes the page's answer."""

    def __init__(self, files: dict[str, bytes], answers: Answers, *arguments: Any) -> None:
        self._files, self._answers = files, answers
        super().__init__(*arguments)

    def do_GET(self) -> None:
        body = self._files.get(self.path)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", "video/mp4" if self.path.endswith("mp4") else "text/html")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def do_POST(self) -> None:
        self._answers.content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self._answers.arrived.set()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve(video: Path, times_s: Sequence[float]) -> Iterator[tuple[str, Answers]]:
    """Serve a page that reads the video; yield its address and what it will answer."""
    answers = Answers()
    files = {"/": PAGE.replace("TIMES", json.dumps(list(times_s))).encode(), "/video.mp4": video.read_bytes()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, files, answers))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", answers
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
