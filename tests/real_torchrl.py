"""TorchRL drives the environment and the vector environment. Run by hand: the tests do not install TorchRL.

    python -m venv /tmp/torchrl && /tmp/torchrl/bin/pip install -e . torchrl -c tests/constraints.txt
    /tmp/torchrl/bin/python -m tests.real_torchrl               # the bundled world: about two minutes
    /tmp/torchrl/bin/python -m tests.real_torchrl rows WEIGHTS  # one part: single, rows or train; another world

Every block that TorchRL collects is compared with a single environment: pixels, reward, end and the reset after it;
in float32, in which rows made together are equal to single ones.
Vector environments are those of autoreset_mode="Disabled", which TorchRL prefers: it resets rows by itself. It refuses
NEXT_STEP, and under SAME_STEP it stores infos as tensors, which texts cannot be.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch
from tensordict.nn import TensorDictModule
from torch import Tensor, nn

import infrope_env  # noqa: F401  # registers the environments

ID, ROWS, SEED = "infrope/PocketWorld-v0", 2, 7
BLOCKS = 16
"""Blocks of a rollout: several episodes of at most 5."""
BATCH, STEPS = 16, 48
"""Blocks of an update and of the training; enough to see that it runs, not to learn anything."""


def brightness(frames: np.ndarray, info: dict[str, Any]) -> tuple[float, bool]:
    """Return the brightness of a block as its reward, and whether it ends the episode: an odd one with a jump does."""
    return float(frames.mean()) / 255, info["motion"] == "jump" and info["block"] % 2 == 1


def make_rows(arguments: dict[str, Any]) -> Any:
    """Return a vector environment whose rows TorchRL resets."""
    return gymnasium.make_vec(ID, num_envs=ROWS, autoreset_mode="Disabled", **arguments)


def wrap(envs: Any) -> Any:
    """Return an environment of Gymnasium, or a vector environment, as TorchRL's; its specs are checked."""
    from torchrl.envs import GymWrapper
    from torchrl.envs.utils import check_env_specs

    env = GymWrapper(envs, categorical_action_encoding=True)
    check_env_specs(env)
    env.set_seed(SEED)
    return env


def compare(rollout: Any, arguments: dict[str, Any]) -> None:
    """Make the blocks of every row, (rows, blocks), again in single environments; they must be equal."""
    for number, row in enumerate(rollout):
        env = gymnasium.make(ID, **arguments)
        observation, _ = env.reset(seed=SEED + number)
        for _ in range(5):  # TorchRL may have reset it more than once
            if same(row["observation"][0], observation):
                break
            observation, _ = env.reset()
        for block in row:
            assert same(block["observation"], observation)
            observation, reward, terminated, truncated, _ = env.step(int(block["action"]))
            then = block["next"]
            assert same(then["observation"], observation) and np.isclose(then["reward"].item(), float(reward))
            assert (then["terminated"].item(), then["truncated"].item()) == (terminated, truncated)
            if terminated or truncated:
                observation, _ = env.reset()
        env.close()


def same(ours: Tensor, observation: np.ndarray) -> bool:
    """Return whether two observations are equal, pixel by pixel."""
    return np.array_equal(ours.numpy(), observation)


def roll_out(name: str, envs: Any, arguments: dict[str, Any]) -> None:
    """Collect random blocks through the ends of episodes, and compare them."""
    env = wrap(envs)
    rollout = env.rollout(BLOCKS, break_when_any_done=False)
    ends = int(rollout["next", "done"].sum())
    compare(rollout if env.batch_size else rollout[None], arguments)
    assert ends > 2
    print(f"{name}: {rollout.numel()} blocks, {ends} ends of episodes, all as in single environments")
    env.close()


class Features(nn.Module):
    """A small network on the newest pixel frame of a block, ... t H W 3."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 8, stride=4), nn.ReLU(), nn.Conv2d(8, 16, 4, stride=4), nn.ReLU(), nn.Flatten(),
            nn.LazyLinear(32), nn.ReLU(), nn.Linear(32, outputs),
        )  # fmt: skip

    def forward(self, observation: Tensor) -> Tensor:
        """Return the outputs for every observation."""
        newest = observation[..., -1, :, :, :].float() / 255
        outputs = self.layers(newest.flatten(0, -4).permute(0, 3, 1, 2))  # (...) H W 3 -> batch 3 H W
        return outputs.view(*newest.shape[:-3], -1)


def train(arguments: dict[str, Any]) -> None:
    """Let TorchRL's collector and its PPO step the rows, through two updates and more."""
    from torchrl.collectors import Collector
    from torchrl.modules import ProbabilisticActor, ValueOperator
    from torchrl.objectives import ClipPPOLoss
    from torchrl.objectives.value import GAE

    env = wrap(make_rows(arguments))
    actions = int(env.full_action_spec["action"].space.n)
    choose = TensorDictModule(Features(actions), in_keys=["observation"], out_keys=["logits"])
    actor = ProbabilisticActor(
        choose, in_keys=["logits"], distribution_class=torch.distributions.Categorical, return_log_prob=True
    )
    critic = ValueOperator(Features(1), in_keys=["observation"])
    for module in (actor, critic):
        module(env.reset())
    loss = ClipPPOLoss(actor, critic)
    advantage = GAE(gamma=0.99, lmbda=0.95, value_network=critic)
    optimizer = torch.optim.Adam(loss.parameters(), 1e-3)
    before = [parameter.detach().clone() for parameter in loss.parameters()]
    updates = 0
    for blocks in Collector(env, actor, frames_per_batch=BATCH, total_frames=STEPS):
        advantage(blocks)
        losses = loss(blocks.reshape(-1))
        optimizer.zero_grad()
        sum(losses[name] for name in ("loss_objective", "loss_critic", "loss_entropy")).backward()
        optimizer.step()
        updates += 1
    changed = sum(not torch.equal(old, new) for old, new in zip(before, loss.parameters(), strict=True))
    assert updates == STEPS // BATCH and changed == len(before)
    print(f"PPO: {STEPS} blocks of {ROWS} rows, {updates} updates, all {changed} tensors of weights have changed")


PARTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "single": lambda arguments: roll_out("one environment", gymnasium.make(ID, **arguments), arguments),
    "rows": lambda arguments: roll_out(f"{ROWS} rows", make_rows(arguments), arguments),
    "train": train,
}


def main(part: str = "all", weights: str = "pocket") -> None:
    """Run one part, or all."""
    import torchrl

    torch.manual_seed(0)
    torch.set_num_threads(1)
    print(f"TorchRL {torchrl.__version__}, torch {torch.__version__}, Gymnasium {gymnasium.__version__}")
    arguments = {"weights": weights, "device": "cpu", "dtype": "float32", "max_blocks": 5}
    arguments |= {"reward": f"{__spec__.name}:brightness"}
    for name in PARTS if part == "all" else [part]:
        PARTS[name](arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
