"""Play on a server with random keys, as a client of one's own, and print the times that a player would notice.

Start `infrope serve`, then try, with the URL that it prints:
    python examples/remote_player.py "http://127.0.0.1:8765/?token=..." --minutes 1
"""

import random
import threading
import time
from urllib.request import Request, urlopen

import numpy as np

from infrope_env.output import run_program
from infrope_env.remote.address import ServerAddress
from infrope_env.remote.client import RemoteConnection
from infrope_env.remote.client_messages import Key, Shown
from infrope_env.remote.message import Encoding, Message
from infrope_env.remote.server_messages import Block

HELD_S = 0.2
METRICS = ("realtime_factor", "underruns_total", "blocks_total", "time_to_first_block_seconds_sum", "block_inter")


class Screen:
    """A screen that nobody sees: it knows when each block would be on show.

    Attributes:
        arrivals: When each block came.
        key_to_pixel_s: Seconds from each key press to the block that answers it.
        late_s: Seconds for which the picture stood still before each block.
    """

    def __init__(self, url: str, encoding: Encoding) -> None:
        """Connect."""
        self.arrivals, self.key_to_pixel_s, self.late_s = list[float](), list[float](), list[float]()
        self.first = threading.Event()
        self._pressed: dict[int, float] = {}
        self._end_s: float | None = None
        self.connection = RemoteConnection(url, encodings=[encoding], on_message=self._take, on_connection=print)
        self._seq = self.connection.open().next_seq

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        for down in (True, False):
            if down:
                self._pressed[self._seq] = time.monotonic()
            self.connection.send(Key(seq=self._seq, key=key, down=down))
            self._seq += 1
            time.sleep(HELD_S if down else 0)

    def _take(self, message: Message, body: bytes) -> None:
        if not isinstance(message, Block):
            return
        now = time.monotonic()
        self.arrivals.append(now)
        is_first = self._end_s is None or message.immediate
        begins_s = now if self._end_s is None or message.immediate else max(now, self._end_s)
        late_s = 0.0 if is_first or self._end_s is None else begins_s - self._end_s
        self._end_s = begins_s + message.frame_ms / 1000 * len(message.sizes)
        answered = [begins_s - self._pressed.pop(each["seq"]) for each in message.answers]
        self.late_s.append(late_s)
        self.key_to_pixel_s += answered
        shown_ms = [1000 * seconds for seconds in answered]
        self.connection.send(Shown(seq=message.seq, key_to_pixel_ms=shown_ms, late_ms=1000 * late_s))
        self.first.set()


def main(url: str, /, minutes: float = 1.0, encoding: Encoding = "h264", seed: int = 0) -> None:
    """Play, then print what client and server have measured.

    Args:
        url: URL that `infrope serve` printed.
        minutes: Duration.
        encoding: Encoding of the frames.
        seed: Seed of the keys.
    """
    screen, rng = Screen(url, encoding), random.Random(seed)
    welcome = screen.connection.welcome
    assert welcome is not None
    keys = [button["key"] for button in welcome.buttons]
    screen.first.wait()
    ends_s = time.monotonic() + 60 * minutes
    while time.monotonic() < ends_s:
        screen.press(rng.choice(keys))
        time.sleep(rng.uniform(0.5, 2.0))
    intervals = np.diff(screen.arrivals)
    for name, values in (("interval", intervals), ("key to pixel", screen.key_to_pixel_s), ("late", screen.late_s)):
        p50, p95 = 1000 * np.percentile(values or [np.nan] if isinstance(values, list) else values, [50, 95])
        print(f"{name:<13} {p50:7.1f} ms (p50) {p95:7.1f} ms (p95)  of {len(values)}")
    address = ServerAddress.parse(url)
    page = Request(f"http://{address.name}/metrics", headers=address.headers)
    lines = urlopen(page).read().decode().splitlines()
    print(*(line for line in lines if line.startswith(tuple(f"infrope_{name}" for name in METRICS))), sep="\n")
    screen.connection.close()


if __name__ == "__main__":
    run_program(main, description=__doc__)
