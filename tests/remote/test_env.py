"""The environment over the network is the one on the server: the same pixels, infos, states and errors."""

import asyncio
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

import infrope_env  # noqa: F401  # registers the environments
from infrope_env import env as env_module
from infrope_env.models.resolve import load_model
from infrope_env.pixels.taehv import TAEHV, TAEHVEncoder
from infrope_env.remote.client_errors import RemoteError
from infrope_env.remote.client_messages import Reset
from infrope_env.remote.env import RemoteEnv
from infrope_env.remote.hosted_rollout import HostedRollout
from infrope_env.remote.metrics import Metrics
from infrope_env.remote.server import PlayServer
from infrope_env.remote.session import Session
from infrope_env.wrappers import FrameByFrame
from tests.remote.served import TOKEN, serving
from tests.tiny_world import TINY_DECODER

WALK, JUMP, CUT = 2, 3, 8


def make_local(weights: Path) -> gymnasium.Env[Any, Any]:
    return gymnasium.make("infrope/PocketWorld-v0", weights=str(weights), device="cpu", disable_env_checker=True)


@pytest.fixture(scope="module", autouse=True)
def models_have_an_encoder() -> Iterator[None]:
    """Give every loaded model a picture encoder with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        encoder = TAEHVEncoder(TAEHV(TINY_DECODER).requires_grad_(False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(env_module, "load_model", lambda *a, **k: replace(load_model(*a, **k), encoder=encoder))
        yield


@pytest.fixture(scope="module")
def server(tiny_weights: Path) -> Iterator[PlayServer]:
    with serving(lambda: make_local(tiny_weights)) as running:
        yield running


@pytest.fixture
def remote(server: PlayServer) -> Iterator[RemoteEnv]:
    env = gymnasium.make("infrope/Remote-v0", url=server.url, disable_env_checker=True)
    yield env.unwrapped  # type: ignore[misc]
    env.close()


def test_blocks_are_those_of_a_local_environment_bit_by_bit(remote: RemoteEnv, tiny_weights: Path) -> None:
    local = make_local(tiny_weights)
    picture = np.random.default_rng(0).integers(0, 255, (50, 40, 3), np.uint8)
    for seed, options in ((5, {"subject": "fox"}), (None, {"prompt": "a green frog waves hello in a dark cave"})):
        ours, theirs = remote.reset(seed=seed, options=options), local.reset(seed=seed, options=options)
        assert (ours[0] == theirs[0]).all() and ours[1] == theirs[1]
        for action in (WALK, WALK, np.int64(JUMP), CUT):
            ours_step, theirs_step = remote.step(action), local.step(action)
            assert (ours_step[0] == theirs_step[0]).all() and ours_step[1:] == theirs_step[1:]
        for env in (remote, local.unwrapped):
            env.set_prompt("a red robot jumps up and down in a sunny beach", cut=True)
        assert remote.steering == local.unwrapped.steering
        assert (remote.step(JUMP)[0] == local.step(JUMP)[0]).all()
        assert remote.steering == local.unwrapped.steering
    ours, theirs = (env.reset(seed=1, options={"image": picture})[0] for env in (remote, local))
    assert (ours == theirs).all()


def test_spaces_and_facts_are_those_of_the_server(remote: RemoteEnv, tiny_weights: Path) -> None:
    local = make_local(tiny_weights).unwrapped
    assert remote.observation_space == local.observation_space and remote.action_space == local.action_space
    for name in ("action_set", "action_names", "block_shape", "window"):
        assert getattr(remote, name) == getattr(local, name)
    assert remote.get_keys_to_action() == local.get_keys_to_action()


def test_a_saved_state_branches_the_rollout_and_is_dropped_with_its_handle(remote: RemoteEnv) -> None:
    remote.reset(seed=3)
    remote.step(WALK)
    state = remote.save_state()
    jump = remote.step(JUMP)[0]
    observation, info = remote.restore_state(state)
    assert (observation == state.observation).all() and info == state.info and remote.restores == 1
    assert (remote.step(JUMP)[0] == jump).all()
    for _ in range(70):  # more than a server keeps
        state = remote.save_state()
    held = [remote.save_state() for _ in range(60)]
    with pytest.raises(ValueError, match="at most 64 saved states"):
        held += [remote.save_state() for _ in range(10)]


def test_errors_are_those_of_the_local_environment(remote: RemoteEnv, tmp_path: Path) -> None:
    with pytest.raises(ResetNeeded):
        remote.step(WALK)
    with pytest.raises(ResetNeeded):
        remote.save_state()
    with pytest.raises(ValueError, match="expected subject to be one of"):
        remote.reset(options={"subject": "dragon"})
    with pytest.raises(ValueError, match="expected reset options to be among"):
        remote.reset(options={"weights": "/etc/passwd"})
    with pytest.raises(ValueError, match="no picture that can be read"):
        remote.reset(options={"image": str(tmp_path / "missing.png")})
    remote.reset(seed=1)
    with pytest.raises(ValueError, match="expected an action from 0 to 11"):
        remote.step(12)
    with pytest.raises(ValueError, match="xyzzy"):
        remote.set_prompt("xyzzy")
    with pytest.raises(ValueError, match="xyzzy"):
        remote.encode_prompts(["a red robot", "xyzzy"])
    remote.encode_prompts(["a red robot waves hello in a dark cave"])
    assert remote.step(WALK)[4]["block"] == 1


def test_the_first_reset_waits_until_the_server_is_ready(server: PlayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    open_for = HostedRollout.open_for

    async def open_late(rollout: HostedRollout, session: Session) -> None:
        await asyncio.sleep(0.5)
        await open_for(rollout, session)

    monkeypatch.setattr(HostedRollout, "open_for", open_late)
    env = RemoteEnv(server.url)
    assert env.reset(seed=1)[1]["block"] == 0
    env.close()


def test_a_command_that_waits_is_refused_when_its_agent_leaves() -> None:
    """The next owner's play must not execute it."""

    async def leave_early() -> str:
        rollout = HostedRollout("a", Mock(), Mock(), Metrics(), 16)
        rollout.owner = Mock(role="agent")
        command = asyncio.create_task(rollout.execute(Reset(id=1), lambda: None))
        await asyncio.sleep(0.05)
        assert not command.done()
        await rollout.free()
        rollout.owner, rollout.play = Mock(role="agent"), Mock()
        return (await asyncio.wait_for(command, 5))[0].error

    assert asyncio.run(leave_early()) == "the rollout is not ready yet: wait for its first block"


def test_it_passes_gymnasiums_checks(server: PlayServer) -> None:
    with warnings.catch_warnings(), gymnasium.make("infrope/Remote-v0", url=server.url) as env:
        warnings.simplefilter("error", UserWarning)  # those of Gymnasium
        warnings.filterwarnings("ignore", ".*render.*human.*")
        check_env(env.unwrapped, skip_render_check=True)


def test_it_renders_as_a_local_environment(server: PlayServer) -> None:
    with gymnasium.make("infrope/Remote-v0", url=server.url, render_mode="rgb_array") as env:
        observation, _ = env.reset(seed=1)
        assert (env.render() == observation[-1]).all()  # type: ignore[operator]
    with gymnasium.make("infrope/Remote-v0", url=server.url, render_mode="rgb_array_list") as env:
        env.reset(seed=1)
        env.step(WALK)
        assert len(env.render()) == 21  # type: ignore[arg-type]


def test_wrappers_go_around_it(remote: RemoteEnv) -> None:
    frames = FrameByFrame(remote)
    observation, _ = frames.reset(seed=1)
    assert observation.shape == remote.block_shape[1:]


def test_a_step_whose_connection_is_lost_is_executed_once(remote: RemoteEnv, tiny_weights: Path) -> None:
    local = make_local(tiny_weights)
    remote.reset(seed=4)
    local.reset(seed=4)
    for i in range(6):
        if i % 2:
            remote._connection.drop()
        ours, theirs = remote.step(i), local.step(i)
        assert (ours[0] == theirs[0]).all() and ours[4] == theirs[4]


def test_the_token_can_be_given_apart(server: PlayServer) -> None:
    url = server.url.partition("?")[0]
    RemoteEnv(url, token=TOKEN).close()
    with pytest.raises(RemoteError, match="not the token of this server"):
        RemoteEnv(url, token="another-token")


def test_without_a_server_the_error_says_so() -> None:
    with pytest.raises(RemoteError, match=r"There is no server at 127.0.0.1:1 .*Is it running"):
        RemoteEnv("http://127.0.0.1:1/?token=x")
    with pytest.raises(ValueError, match="expected the URL of a server"):
        RemoteEnv("ftp://somewhere")


def test_a_closed_environment_frees_its_place_and_the_next_waits_for_it(server: PlayServer) -> None:
    with RemoteEnv(server.url) as first, RemoteEnv(server.url) as second:
        first.reset(seed=1)
        second.close()
        with RemoteEnv(server.url) as third:
            assert third.reset(seed=1)[1]["block"] == 0
        third.close()  # again
