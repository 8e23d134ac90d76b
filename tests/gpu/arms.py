"""The arms of the comparison on a GPU: one generator in several orders and precisions, timed in turns.

Every arm plays the steady state: the window is full and the prompt stays. A round starts from the same prefilled frames
and the same noise, so that the arms' first blocks can be compared.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from infrope_env.config import Sampler, Window
from infrope_env.dynamics.graphs import GraphedNetwork
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.transformer import CausalWanTransformer, Network
from infrope_env.models.compile import compile_layers
from infrope_env.models.fp8 import round_to_fp8
from tests.gpu.measurements import CONTINUE, random_embedding
from tests.gpu.release_order import release_rollout

RELEASE, EAGER, GRAPHS, COMPILED, COMPILED_GRAPHS, FP8 = (
    "release order",
    "eager",
    "graphs",
    "compiled",
    "compiled graphs",
    "fp8 compiled graphs",
)
PLAIN = (RELEASE, EAGER, GRAPHS)
"""Arms that compile nothing."""
ARMS = (*PLAIN, COMPILED, COMPILED_GRAPHS, FP8)


class Networks:
    """The generator in the forms that the arms take: plain, with compiled layers, and in fp8 with compiled layers.

    The compiled one shares its weights with the plain one.
    """

    def __init__(self, plain: CausalWanTransformer, backend: str) -> None:
        self.plain, self._backend = plain, backend
        self._made: dict[str, CausalWanTransformer] = {}

    def of(self, arm: str) -> CausalWanTransformer:
        """Return the generator of an arm; it is made when it is first asked for."""
        kind = "fp8" if arm == FP8 else "compiled" if arm in (COMPILED, COMPILED_GRAPHS) else "plain"
        if kind == "plain":
            return self.plain
        if kind not in self._made:
            self._made[kind] = made = share_weights(self.plain)
            if kind == "fp8":
                round_to_fp8(made)
            compile_layers(made, self._backend)
        return self._made[kind]


def share_weights(transformer: CausalWanTransformer) -> CausalWanTransformer:
    """Return another network over the same weights, so that compiling or rounding it leaves the first one alone."""
    with torch.device("meta"):
        other = CausalWanTransformer(transformer.config)
    other.load_state_dict(transformer.state_dict(), assign=True)
    return other.eval().requires_grad_(False)


@dataclass
class Arm:
    """One arm at one window.

    Attributes:
        name: One of `ARMS`.
        rollout: Its rollout.
        network: Network of its timed blocks.
        filler: Network of the prefilled frames, which are many shapes: nothing is compiled for them.
        embedding: The prompt.
        first_block: Latents of the first block after the prefilled frames, b f c h w.
        blocks_ms: Milliseconds of every timed block by part.
    """

    name: str
    rollout: Rollout
    network: Network
    filler: Network
    embedding: Tensor
    first_block: Tensor | None = None
    blocks_ms: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def make(cls, name: str, networks: Networks, window: Window) -> Arm:
        """Return an arm, with nothing compiled or captured yet."""
        model = networks.of(name)
        if name == RELEASE:
            prompt: list[Tensor] = []
            rollout = release_rollout(model, window, lambda: prompt[0])
            prompt.append(random_embedding(rollout, 0))
            return cls(name, rollout, rollout.network, rollout.network, prompt[0])
        rollout = Rollout(model, window, Sampler())
        network: Network = GraphedNetwork(model) if name in (GRAPHS, COMPILED_GRAPHS, FP8) else model
        filler = networks.plain if name != FP8 else model
        return cls(name, rollout, network, filler, random_embedding(rollout, 0))

    def fill(self) -> None:
        """Start over, with a window full of the same clean frames in every arm."""
        rollout, config = self.rollout, self.rollout.model.config
        rollout.network = self.filler
        rollout.reset(seed=0)
        block = rollout.window.block
        frames = -(-rollout.window.size // block) * block
        shape = (1, frames, config.latent_channels, *config.latent_size)
        latents = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        with torch.compiler.set_stance("force_eager"):
            rollout.prefill(latents, self.embedding)
        rollout.network = self.network

    def make_block(self) -> Tensor:
        """Make a block and commit it, as play does on a GPU; return its latents."""
        latents = self.rollout.generate(self.embedding, CONTINUE).latents
        self.rollout.commit()
        self.rollout.draw_ahead()
        return latents

    def warm_up(self, blocks: int) -> float:
        """Make blocks until everything is compiled and captured, keep the first; return seconds."""
        started = time.perf_counter()
        self.fill()
        self.first_block = self.make_block().clone()
        for _ in range(blocks - 1):
            self.make_block()
        synchronize(self.rollout.device)
        return time.perf_counter() - started

    def noise_alone(self) -> Tensor:
        """Return the latents of the first block if the network predicted zeros."""
        self.fill()
        self.rollout.network = Zeros()
        latents = self.rollout.generate(self.embedding, CONTINUE).latents
        self.rollout.reset(seed=0)  # drops the commit that is due
        return latents

    def play_round(self, blocks: int) -> None:
        """Make and time blocks from the prefilled frames on."""
        self.fill()
        self.make_block()
        marks = Marks(self.rollout.device)
        for _ in range(blocks):
            self.rollout.generate(self.embedding, CONTINUE)
            marks.mark()
            self.rollout.commit()
            self.rollout.draw_ahead()
            marks.mark()
        millis = marks.millis()
        for denoise, commit in zip(millis[::2], millis[1::2], strict=True):
            self.blocks_ms.append({"denoise": denoise, "commit": commit, "block": denoise + commit})

    def percentiles(self) -> dict[str, dict[str, float]]:
        """Return p10, p50 and p90 of every part in milliseconds."""
        return {part: percentiles([block[part] for block in self.blocks_ms]) for part in self.blocks_ms[0]}


class Zeros:
    """A `Network` that predicts zeros."""

    def __call__(self, latents: Tensor, *_: object) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(latents)

    def update_cache(self, *_: object) -> None:
        """Do nothing."""


class Marks:
    """Times on the device, taken without waiting for it."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._marks = device, list[torch.cuda.Event | float]()
        synchronize(device)
        self.mark()

    def mark(self) -> None:
        """Mark the time at which the work queued so far is done."""
        if self._device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def millis(self) -> list[float]:
        """Wait for the last mark and return the milliseconds between neighbours."""
        synchronize(self._device)
        pairs = zip(self._marks, self._marks[1:], strict=False)
        return [
            1000 * (b - a) if isinstance(a, float) and isinstance(b, float) else a.elapsed_time(b)  # type: ignore
            for a, b in pairs
        ]


def play_in_turns(arms: Sequence[Arm], rounds: int, blocks: int) -> Iterator[int]:
    """Let every arm play in every round, in reversed order in every other one; yield the number of finished rounds."""
    for index in range(rounds):
        for arm in arms if index % 2 == 0 else reversed(arms):
            arm.play_round(blocks)
        yield index + 1


def compare(arm: Arm, other: Arm, noise_alone: Tensor) -> dict[str, object]:
    """Return whether two arms' first blocks are equal bytes, and their difference relative to the network's part.

    With random weights most of a block can be its noise, which all arms share.
    """
    assert arm.first_block is not None and other.first_block is not None
    exact, mine = other.first_block.float(), arm.first_block.float()
    return {
        "equal": torch.equal(arm.first_block, other.first_block),
        "relative_error": float((mine - exact).norm() / (exact - noise_alone.float()).norm()),
    }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return p10, p50 and p90."""
    return {f"p{q}": round(float(np.percentile(values, q)), 2) for q in (10, 50, 90)}


def synchronize(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
