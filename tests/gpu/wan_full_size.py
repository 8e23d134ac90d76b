"""Wan at full size on a GPU, with random weights: does it hold its promises, and how fast is it?

Flush, cut and reset; agreement of bfloat16 with float32; no waiting and no compiling inside play; constant time and
memory over hundreds of blocks; the time of a block by arm; one block of 14B. Prints a table, writes JSON, exits with 1
when a promise is broken. `--tiny` runs all of it on a processor in a few minutes, to see that the script works.

Try:
    python -m tests.gpu.wan_full_size --out wan_gpu.json
    python -m tests.gpu.wan_full_size --tiny
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from infrope_env.config import WAN_1_3B, WAN_14B, ModelConfig, Sampler, Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.models.compile import compile_model, paths_to_context_lengths
from infrope_env.models.world_model import WorldModel
from infrope_env.pixels.codec import Decoder
from infrope_env.pixels.taehv import TAEHV
from infrope_env.pixels.wan_vae import WanVAE
from infrope_env.recording.run_info import processor

TINY = ModelConfig(dim=128, ffn_dim=256, num_heads=1, num_layers=2, latent_size=(4, 6), text_dim=32, text_len=16)
START, CONTINUE, SWITCH, CUT = Transition.START, Transition.CONTINUE, Transition.SWITCH, Transition.CUT
ROUND = (CONTINUE, CONTINUE, SWITCH, CONTINUE, CUT, CONTINUE, SWITCH, SWITCH, CONTINUE, CONTINUE)
WARM_UP = 10


@dataclass
class WanGpu:
    """What to measure."""

    out: Path | None = None
    """Write the JSON here."""
    blocks: int = 300
    """Of the long rollout."""
    timed: int = 30
    """Blocks that an arm is timed for."""
    tiny: bool = False
    """A tiny network on the processor: nothing it measures means anything."""
    without_14b: bool = False
    """Leave the large generator out; it takes about 40 GB."""


@dataclass
class Findings:
    """Promises kept or broken, and numbers."""

    checks: dict[str, bool] = field(default_factory=dict)
    numbers: dict[str, object] = field(default_factory=dict)

    def check(self, promise: str, kept: bool) -> None:
        """Write down and say whether a promise was kept."""
        self.checks[promise] = bool(kept)
        print(f"{'kept  ' if kept else 'BROKEN'}  {promise}", flush=True)


def main(asked: WanGpu) -> int:
    """Measure; returns the exit code."""
    if not asked.tiny and not torch.cuda.is_available():
        print("There is no GPU here. --tiny runs the same on the processor, with a tiny network.", file=sys.stderr)
        return 2
    device = torch.device("cpu" if asked.tiny else "cuda")
    config = TINY if asked.tiny else WAN_1_3B
    blocks, timed = (20, 4) if asked.tiny else (asked.blocks, asked.timed)
    found = Findings()
    found.numbers |= {"device": _name(device), "processor": processor(), "torch": torch.__version__, **asdict(asked)}
    with torch.inference_mode():
        agree_with_float32(found, replace(config, latent_size=(8, 12)), device)
        transformer = random_transformer(config, device, torch.bfloat16)
        rollout = Rollout(transformer, Window(), Sampler())
        transitions_hold(found, rollout)
        stays_constant(found, rollout, blocks)
        waits_for_nothing(found, rollout)
        time_arms(found, transformer, rollout, timed, asked.tiny)
        del rollout, transformer
        if not asked.without_14b:
            one_large_block(found, TINY if asked.tiny else WAN_14B, device)
    return report(found, asked.out)


def random_transformer(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> CausalWanTransformer:
    """Every weight normal with deviation 0.02 but norms' at 1: Wan's own beginning has a head of zeros."""
    with torch.device("meta"):
        transformer = CausalWanTransformer(config).to(dtype)
    transformer.to_empty(device=device)
    random = torch.Generator(device).manual_seed(0)
    for name, parameter in transformer.named_parameters():
        if "norm" in name and name.endswith("weight"):
            parameter.data.fill_(1)
        else:
            parameter.data.normal_(std=0.02, generator=random)
    return transformer.eval().requires_grad_(False)


def prompt(rollout: Rollout, seed: int) -> Tensor:
    """A made-up embedding, b text_len text_dim."""
    config = rollout.model.config
    rows = torch.randn(1, config.text_len, config.text_dim, generator=torch.Generator().manual_seed(seed))
    return rows.to(rollout.device, rollout.dtype)


def play(rollout: Rollout, transitions: tuple[Transition, ...], seed: int = 0) -> list[Tensor]:
    """Latents of a new rollout; a switch or a cut takes the other prompt."""
    prompts = [prompt(rollout, 0), prompt(rollout, 1)]
    rollout.reset(seed)
    latents = []
    for transition in (START, *transitions):
        prompts = prompts[::-1] if transition in (SWITCH, CUT) else prompts
        latents.append(rollout.advance(prompts[0], transition).latents)
    return latents


def agree_with_float32(found: Findings, config: ModelConfig, device: torch.device) -> None:
    """A small grid in both precisions, the same weights."""
    exact = random_transformer(config, device, torch.float32)
    expected = play(Rollout(exact, Window(), Sampler()), ROUND[:5])
    got = play(Rollout(exact.to(torch.bfloat16), Window(), Sampler()), ROUND[:5])
    errors = [float((a - b.float()).norm() / a.norm()) for a, b in zip(expected, got, strict=True)]
    found.numbers["bfloat16_relative_error"] = errors
    found.check("bfloat16 agrees with float32 within 5% over six blocks", max(errors) < 0.05)


def transitions_hold(found: Findings, rollout: Rollout) -> None:
    """Flush, cut and reset do what they say."""
    text = prompt(rollout, 0)
    play(rollout, (CONTINUE, CONTINUE))
    blocks = {transition: rollout.advance(text, transition) for transition in (CONTINUE, SWITCH, CUT)}
    finite = all(bool(block.latents.isfinite().all()) for block in blocks.values())
    found.check("every number is finite", finite)
    seen = {transition: len(block.layout.slots) for transition, block in blocks.items()}
    found.check("a flush and a cut see sink and newest frame only", seen == {CONTINUE: 3, SWITCH: 2, CUT: 2})
    found.check("a cut sits at 45 46 47", blocks[CUT].layout.block == (45, 46, 47))
    first, again = play(rollout, ROUND[:4]), play(rollout, ROUND[:4])
    found.check("a reset with the same seed gives the same bytes", all(map(torch.equal, first, again)))


def stays_constant(found: Findings, rollout: Rollout, blocks: int) -> None:
    """A long rollout with switches and cuts: time and memory of a block at its end as at its beginning."""
    prompts, millis, memory = [prompt(rollout, 0), prompt(rollout, 1)], [], []
    rollout.reset(0)
    for index in range(blocks):
        transition = ROUND[index % len(ROUND)] if index else START
        started = _now(rollout.device)
        rollout.advance(prompts[index // 5 % 2], transition)
        millis.append(1000 * (_now(rollout.device) - started))
        memory.append(_held(rollout.device))
    half = (WARM_UP + blocks) // 2
    early, late = np.median(millis[WARM_UP:half]), np.median(millis[half:])
    found.numbers["long"] = {"blocks": blocks, "early_ms": early, "late_ms": late, "held_gb": memory[-1] / 1e9}
    if rollout.device.type == "cuda":
        found.numbers["long"] |= {"peak_gb": torch.cuda.max_memory_allocated() / 1e9}  # type: ignore[operator]
        found.check(f"{blocks} blocks: the last half takes the time of the first, within 5%", late < 1.05 * early)
        found.check(f"{blocks} blocks: memory is what it was after {WARM_UP}", len(set(memory[WARM_UP:])) == 1)


def waits_for_nothing(found: Findings, rollout: Rollout) -> None:
    """No synchronisation inside a block."""
    if rollout.device.type != "cuda":
        return print("skipped  no synchronisation inside a block: there is no GPU", flush=True)
    texts = [prompt(rollout, 0), prompt(rollout, 1)]
    rollout.reset(0)
    problem = ""
    torch.cuda.set_sync_debug_mode("error")
    try:
        for index, transition in enumerate((START, *ROUND)):
            rollout.advance(texts[index % 2], transition)
    except RuntimeError as error:
        problem = str(error)
    torch.cuda.set_sync_debug_mode("default")
    found.numbers["synchronisation"] = problem
    found.check("no block waits for the GPU, whatever its transition", not problem)


def time_arms(found: Findings, transformer: CausalWanTransformer, rollout: Rollout, timed: int, tiny: bool) -> None:
    """Plain, then compiled, each with both decoders: milliseconds of a block, decoding apart."""
    decoders = {"taew2_1": random_taehv(rollout.device), "wan_vae": random_vae(rollout.device, tiny)}
    arms: dict[str, object] = {}
    for name, decoder in decoders.items():
        arms[f"plain {name}"] = time_arm(rollout, decoder, timed)
    found.numbers["compile_s"] = compile_model(
        _world(transformer, decoders["taew2_1"], rollout), rollout, "eager" if tiny else "inductor"
    )
    with _compiling_nothing(found):
        for name, decoder in decoders.items():
            arms[f"compiled {name}"] = time_arm(rollout, decoder, timed)
    found.numbers["arms"] = arms
    found.numbers["context_lengths"] = sorted(paths_to_context_lengths(rollout.window))


def time_arm(rollout: Rollout, decoder: Decoder, timed: int) -> dict[str, dict[str, float]]:
    """Milliseconds by part, at p10, p50 and p90."""
    prompts, parts, memory = [prompt(rollout, 0), prompt(rollout, 1)], [], None
    rollout.reset(0)
    for index in range(WARM_UP + timed):
        transition = ROUND[index % len(ROUND)] if index else START
        began = _now(rollout.device)
        latents = rollout.advance(prompts[index // 5 % 2], transition).latents
        made = _now(rollout.device)
        frames, memory = decoder.decode(latents, memory)
        frames.cpu()
        parts.append((made - began, _now(rollout.device) - made))
    millis = 1000 * np.array(parts[WARM_UP:])
    columns = {"generate": millis[:, 0], "decode": millis[:, 1], "total": millis.sum(1)}
    return {
        part: {f"p{q}": round(float(np.percentile(values, q)), 2) for q in (10, 50, 90)}
        for part, values in columns.items()
    }


def one_large_block(found: Findings, config: ModelConfig, device: torch.device) -> None:
    """14B: does one block fit, and how long does it take?"""
    try:
        rollout = Rollout(random_transformer(config, device, torch.bfloat16), Window(), Sampler())
        play(rollout, (CONTINUE,))
        started = _now(device)
        block = rollout.advance(prompt(rollout, 0), CONTINUE)
    except torch.OutOfMemoryError:
        found.numbers["14b"] = "out of memory"
        return print("skipped  a block of 14B: it does not fit into this GPU", flush=True)
    took_ms = 1000 * (_now(device) - started)
    found.numbers["14b"] = {"block_ms": took_ms, "held_gb": _held(device) / 1e9}
    found.check("a block of 14B is made", bool(block.latents.isfinite().all()))


def random_taehv(device: torch.device) -> TAEHV:
    """The fast decoder at its size."""
    codec = TAEHV()
    codec.encoder = nn.Sequential()
    return codec.to(device, torch.bfloat16, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def random_vae(device: torch.device, tiny: bool) -> WanVAE:
    """The full VAE at its size, or a narrow one."""
    from diffusers import AutoencoderKLWan

    return WanVAE(AutoencoderKLWan(base_dim=4 if tiny else 96).to(device, torch.bfloat16))


def report(found: Findings, out: Path | None) -> int:
    """Print the arms and one JSON line; 1 when a promise is broken."""
    print(f"\n{'arm':20}{'generate ms':>14}{'decode ms':>12}{'total ms':>12}{'frames/s':>10}")
    for name, arm in found.numbers["arms"].items():  # type: ignore[attr-defined]
        generate, decode, total = (arm[part]["p50"] for part in ("generate", "decode", "total"))
        print(f"{name:20}{generate:14.1f}{decode:12.1f}{total:12.1f}{12_000 / total:10.1f}")
    text = json.dumps({"checks": found.checks, **found.numbers}, default=str)
    print(f"\n{text}")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n")
    return 0 if all(found.checks.values()) else 1


@contextmanager
def _compiling_nothing(found: Findings) -> Iterator[None]:
    counters: Callable[[], dict[str, int]] = lambda: dict(torch._dynamo.utils.counters["stats"])  # noqa: E731
    before = counters()
    yield
    found.check("after warming up nothing is compiled, whatever is played", counters() == before)


def _world(transformer: CausalWanTransformer, decoder: Decoder, rollout: Rollout) -> WorldModel:
    config = transformer.config
    height, width = (8 * side for side in config.latent_size)
    return WorldModel(
        name="random",
        transformer=transformer,
        text_encoder=None,  # type: ignore[arg-type]  # embeddings are made up
        decoder=decoder,
        config=config,
        window=rollout.window,
        sampler=Sampler(),
        frame_size=(height, width),
        sha256={},
        device=rollout.device,
        dtype=rollout.dtype,
        compiled=True,
    )


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _held(device: torch.device) -> int:
    return torch.cuda.memory_allocated() if device.type == "cuda" else 0


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else "cpu"


if __name__ == "__main__":
    torch.set_num_threads(1 if "--tiny" in sys.argv else torch.get_num_threads())
    sys.exit(main(tyro.cli(WanGpu, description=__doc__)))
