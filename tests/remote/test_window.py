"""The pygame window on a real server, with real keys under Xvfb. The tests continue from the one before."""

import re
from collections.abc import Iterator

import pytest

from tests.player.real_window import x_server
from tests.remote.network import Proxy, proxy_to
from tests.remote.page_player import recorded_world
from tests.remote.remote_window import RemoteWindow
from tests.remote.served import serving
from tests.remote.strips import facts_of, laid_out


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, str]]:
    """A server behind a proxy, and the URL of the proxy."""
    folder = tmp_path_factory.mktemp("recordings")
    with serving(lambda: recorded_world(folder)) as server:
        port = int(re.findall(r":(\d+)/", server.url)[0])
        with proxy_to(port) as proxy:
            yield proxy, server.url.replace(f":{port}/", f":{proxy.port}/")


@pytest.fixture(scope="module")
def game(network: tuple[Proxy, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteWindow]:
    with x_server() as display:
        game = RemoteWindow(display, tmp_path_factory.mktemp("window"), network[1])
        yield game
        game.close()


def test_keys_walk_jump_and_cut_and_every_press_has_a_receipt(game: RemoteWindow) -> None:
    game.xdotool("keydown", "Right")
    game.until_shown(motion="walk_right")
    game.xdotool("keyup", "Right")
    game.keys("space", "4")
    game.until_shown(scene="city", transition="cut")
    receipts = {name: latency_s for name, _, latency_s in game.state["receipts"]}
    assert all(receipts[name] > 0 for name in ("walk_right", "jump", "cut_city"))


def test_a_prompt_is_refused_by_the_server_and_then_taken(game: RemoteWindow) -> None:
    game.keys("t")
    game.until(lambda: game.state["typed"] == "", "the prompt line")
    game.xdotool("type", "a blue unicorn")
    game.keys("Return")
    game.until(lambda: "'unicorn'" in game.state["notice"], "the refusal")
    game.keys("BackSpace", "BackSpace", "BackSpace", "BackSpace", "BackSpace", "BackSpace", "BackSpace")
    game.xdotool("type", "penguin waves hello in a dark cave")
    game.keys("shift+Return")
    game.until_shown(prompt="a blue penguin waves hello in a dark cave", scene="cave")
    assert game.state["typed"] is None


def test_save_and_restore_and_pause_and_step_back(game: RemoteWindow) -> None:
    game.keys("F5")
    game.until(lambda: game.state["notice"].startswith("saved at block"), "the saved state")
    game.keys("1")
    game.until_shown(scene="meadow")
    game.keys("F9")
    game.until(lambda: game.state["notice"].startswith("back at block"), "the restored state")
    game.until_shown(scene="cave")
    game.keys("p")
    game.until(lambda: game.state["paused"], "the pause")
    game.keys("p")
    game.until(lambda: not game.state["paused"], "the end of the pause")
    game.keys("BackSpace", "BackSpace")
    game.until(lambda: game.state["notice"].startswith("stepped back to block"), "the earlier block")


def test_the_key_i_shows_what_the_servers_model_saw(game: RemoteWindow) -> None:
    assert "cells" not in game.state
    game.keys("i")
    game.until(lambda: game.state.get("cells", [{}])[0].get("mass"), "the attention mass")
    game.keys("5")
    game.until_shown(scene="beach", transition="cut")
    game.until(lambda: "cells" in game.state, "what the block saw")
    told = [state for state in game.states if "cells" in state]
    assert {"continue", "cut"} <= {state["info"]["transition"] for state in told}
    for state in told:
        assert [list(cell) for cell in facts_of(state["cells"])] == [list(cell) for cell in laid_out(state["info"])]
    assert [cell["coordinate"] for cell in told[-1]["cells"]][-3:] in ([45, 46, 47], [2, 3, 4], [3, 4, 5])
    assert sum(cell["mass"] or 0 for cell in told[-1]["cells"]) == pytest.approx(1, abs=1e-3)
    game.keys("i")
    game.until(lambda: "cells" not in game.state, "blocks without a strip")


def test_a_cut_connection_is_said_and_comes_back_without_a_stuck_key(
    game: RemoteWindow, network: tuple[Proxy, str]
) -> None:
    proxy, _ = network
    game.xdotool("keydown", "Left")
    game.until_shown(motion="walk_left")
    proxy.is_open = False
    proxy.cut()
    game.until(lambda: "Connecting again" in game.state["trouble"], "the trouble")
    game.xdotool("keyup", "Left")
    proxy.is_open = True
    game.until(lambda: not game.state["trouble"], "the connection")
    game.until_shown(motion="stand")


def test_escape_leaves(game: RemoteWindow) -> None:
    game.keys("Escape")
    assert game.process.wait(30) == 0
