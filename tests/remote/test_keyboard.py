"""The keyboard of a remote session: what it sends, and the receipts of what the server answers."""

import pytest

from infrope_env.control.actions import ActionSet
from infrope_env.remote.keyboard import UNANSWERED_S, RemoteKeyboard


class Server:
    """Numbers the events that it is sent, unless it is cut off."""

    def __init__(self) -> None:
        self.events: list[tuple[str, bool]] = []
        self.reachable = True
        self.latencies_s: list[float] = []

    def key(self, key: str, down: bool, now: float) -> int | None:
        if not self.reachable:
            return None
        self.events.append((key, down))
        return len(self.events)

    def release_all(self) -> None:
        self.events.append(("", False))

    def shown(self, latencies_s: list[float]) -> None:
        self.latencies_s += latencies_s


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def keyboard(server: Server) -> RemoteKeyboard:
    return RemoteKeyboard(ActionSet.load("wan"), server.key, server.release_all, server.shown)


def test_a_press_has_a_receipt_from_the_key_to_the_pixel(keyboard: RemoteKeyboard, server: Server) -> None:
    keyboard.press("right", 1.0)
    keyboard.release("right")
    assert server.events == [("right", True), ("right", False)]
    (queued,) = keyboard.receipts
    assert (queued.name, queued.block, queued.shown_s) == ("walk_right", None, None)
    keyboard.answer([{"seq": 1, "action": 2, "name": "walk_right"}], block=7)
    keyboard.shown(6, 1.2)
    keyboard.shown(7, 1.5)
    (receipt,) = keyboard.receipts
    assert receipt.block == 7 and receipt.latency_s == pytest.approx(0.5)
    assert server.latencies_s == [pytest.approx(0.5)]


def test_a_chord_is_the_binding_that_its_last_key_completes(keyboard: RemoteKeyboard) -> None:
    keyboard.press("shift", 1.0)
    keyboard.press("right", 1.1)
    (receipt,) = keyboard.receipts
    assert receipt.keys == ("shift", "right") and receipt.name == "run_right"


def test_autorepeat_and_keys_that_are_not_down_are_not_sent(keyboard: RemoteKeyboard, server: Server) -> None:
    for _ in range(3):
        keyboard.press("d")
    keyboard.release("a")
    keyboard.release_all()
    keyboard.release_all()
    keyboard.release("d")
    assert server.events == [("d", True), ("", False)]


def test_held_keys_are_sent_again_after_a_lost_connection_and_lost_presses_forgotten(
    keyboard: RemoteKeyboard, server: Server
) -> None:
    keyboard.press("right", 1.0)
    server.reachable = False
    keyboard.press("space", 1.1)
    keyboard.release("space")
    server.reachable = True
    keyboard.press_held_again(2.0)
    assert server.events == [("right", True), ("right", True)] and keyboard.receipts == ()


def test_presses_that_no_block_answers_are_forgotten(keyboard: RemoteKeyboard) -> None:
    keyboard.press("e", 1.0)
    keyboard.press("q", 1.0 + UNANSWERED_S)
    assert [receipt.name for receipt in keyboard.receipts] == ["dance"]


def test_a_replaced_block_takes_its_receipts_along(keyboard: RemoteKeyboard) -> None:
    keyboard.press("e", 1.0)
    keyboard.press("q", 1.0)
    keyboard.answer([{"seq": 1, "action": 5, "name": "wave"}], block=3)
    keyboard.forget_unshown()
    assert [receipt.name for receipt in keyboard.receipts] == ["dance"]
