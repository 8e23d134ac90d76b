import numpy as np
import pytest

from infrope_env.control.keyboard import KeyboardController, Receipt

STAND, LEFT, RIGHT, JUMP, RUN, CUT = range(6)
KEYS = {("left",): LEFT, ("right",): RIGHT, ("d",): RIGHT, ("space",): JUMP, ("shift", "right"): RUN, ("3",): CUT}
NAMES = ("stand", "left", "right", "jump", "run", "cut_snow")
NOTHING = np.zeros((12, 1, 1, 3), np.uint8)


class Player:
    """A keyboard, and the count of blocks that it has chosen actions for."""

    def __init__(self) -> None:
        self.keyboard = KeyboardController(KEYS, once=[CUT], names=NAMES)
        self.block = 0

    def choose(self, blocks: int = 1) -> list[int]:
        chosen = []
        for _ in range(blocks):
            chosen.append(self.keyboard(NOTHING, {"block": self.block, "motion": "stand", "free_prompt": False}))
            self.block += 1
        return chosen

    def tap(self, key: str, generating: bool = False) -> None:
        self.keyboard.press(key, 0.0, generating)
        self.keyboard.release(key)


@pytest.fixture
def player() -> Player:
    return Player()


def test_pressing_nothing_is_action_0(player: Player) -> None:
    assert player.choose(2) == [STAND, STAND]


def test_a_tap_shorter_than_a_block_gets_one_block(player: Player) -> None:
    player.tap("space")
    assert player.choose(3) == [JUMP, STAND, STAND]


def test_taps_queue_in_order_and_none_is_lost(player: Player) -> None:
    for key in ("left", "space", "space", "d", "3"):
        player.tap(key)
    assert player.choose(7) == [LEFT, JUMP, JUMP, RIGHT, CUT, STAND, STAND]


def test_a_held_key_applies_until_it_is_released(player: Player) -> None:
    player.keyboard.press("right")
    assert player.choose(3) == [RIGHT, RIGHT, RIGHT]
    player.keyboard.release("right")
    assert player.choose() == [STAND]


def test_a_tap_interrupts_a_held_key_for_one_block(player: Player) -> None:
    player.keyboard.press("right")
    player.choose()
    player.tap("space", generating=True)
    assert player.choose(2) == [JUMP, RIGHT]


def test_the_newest_held_key_applies_and_the_older_one_returns(player: Player) -> None:
    player.keyboard.press("right")
    player.keyboard.press("left")
    assert player.choose() == [LEFT]
    player.keyboard.release("left")
    assert player.choose(2) == [RIGHT, RIGHT]


def test_a_press_outranked_by_a_newer_one_leaves_no_late_tap(player: Player) -> None:
    player.keyboard.press("right")
    player.keyboard.press("left")
    player.choose()
    player.keyboard.release("right")
    player.keyboard.release("left")
    assert player.choose() == [STAND]


def test_presses_during_a_block_each_get_one_even_when_still_held(player: Player) -> None:
    player.keyboard.press("right", generating=True)
    player.keyboard.press("space", generating=True)
    assert player.choose(4) == [RIGHT, JUMP, JUMP, JUMP]  # then the newest held key


def test_a_held_press_that_a_tap_preceded_is_not_lost_when_released(player: Player) -> None:
    player.tap("space")
    player.keyboard.press("left")
    assert player.choose() == [JUMP]
    player.keyboard.release("left")
    assert player.choose(2) == [LEFT, STAND]


@pytest.mark.parametrize("keys", [("shift", "right"), ("right", "shift")])
def test_the_longest_held_chord_applies(player: Player, keys: tuple[str, str]) -> None:
    for key in keys:
        player.keyboard.press(key)
    player.keyboard.press("left")  # newer, but shorter
    assert player.choose(2) == [RUN, RUN]
    player.keyboard.release("shift")
    assert player.choose() == [LEFT]


def test_a_tapped_chord_is_one_tap(player: Player) -> None:
    for key in ("right", "shift"):
        player.keyboard.press(key)
    for key in ("shift", "right"):
        player.keyboard.release(key)
    assert player.choose(2) == [RUN, STAND]


def test_a_cut_acts_once_per_press_however_long_it_is_held(player: Player) -> None:
    player.keyboard.press("right")
    player.choose()
    player.keyboard.press("3")
    assert player.choose(3) == [CUT, RIGHT, RIGHT]
    player.keyboard.release("3")
    player.keyboard.press("3")
    assert player.choose(2) == [CUT, RIGHT]


def test_autorepeat_is_not_a_press(player: Player) -> None:
    for _ in range(5):
        player.keyboard.press("3")
    assert player.choose(2) == [CUT, STAND]


def test_losing_the_focus_releases_all_keys(player: Player) -> None:
    player.keyboard.press("right")
    player.choose()
    player.keyboard.release_all()
    assert player.choose() == [STAND]


def test_unbound_keys_do_nothing(player: Player) -> None:
    player.tap("q")
    assert player.choose() == [STAND]
    assert player.keyboard.receipts == ()


@pytest.mark.parametrize(("free_prompt", "action"), [(True, JUMP), (False, STAND)])
def test_pressing_nothing_keeps_a_typed_prompt_and_no_other(player: Player, free_prompt: bool, action: int) -> None:
    assert player.keyboard(NOTHING, {"block": 0, "motion": "jump", "free_prompt": free_prompt}) == action


def test_a_held_key_replaces_a_typed_prompt(player: Player) -> None:
    player.keyboard.press("right")
    assert player.keyboard(NOTHING, {"block": 0, "motion": "jump", "free_prompt": True}) == RIGHT


def test_a_receipt_has_the_press_its_block_and_its_latency(player: Player) -> None:
    player.keyboard.press("space", now=1.0, generating=True)
    (waiting,) = player.keyboard.receipts
    assert (waiting.keys, waiting.action, waiting.name) == (("space",), JUMP, "jump")
    assert (waiting.block, waiting.shown_s, waiting.latency_s) == (None, None, None)
    player.choose()
    assert player.keyboard.receipts[0].block == 1
    player.keyboard.shown(0, now=1.5)
    assert player.keyboard.receipts[0].latency_s is None
    player.keyboard.shown(1, now=1.75)
    assert player.keyboard.receipts == (Receipt(("space",), JUMP, "jump", 1.0, block=1, shown_s=1.75),)
    assert player.keyboard.receipts[0].latency_s == 0.75


def test_a_restarted_rollout_completes_no_old_receipt(player: Player) -> None:
    player.tap("space")
    player.choose()
    player.keyboard.forget_unshown()
    player.keyboard.shown(1, now=9.0)
    assert player.keyboard.receipts == ()
