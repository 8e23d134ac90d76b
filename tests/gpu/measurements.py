"""Measurements of Wan at full size, with random weights: precision, synchronisation, time and memory.

Each function returns numbers; `test_wan_full_size.py` compares them with the claims and keeps them in `Results`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from infrope_env.config import WAN_1_3B, WAN_14B, ModelConfig, Sampler
from infrope_env.control.actions import Transition
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.state import GeneratedBlock
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.models.wan.codecs import codec_dtype
from infrope_env.models.world_model import WorldModel
from infrope_env.pixels.codec import Decoder
from infrope_env.pixels.taehv import TAEHV, TAEHVConfig
from infrope_env.pixels.wan_vae import WanVAE, lay_out_for_gpu

START, CONTINUE, SWITCH, CUT = Transition.START, Transition.CONTINUE, Transition.SWITCH, Transition.CUT
CYCLE = (CONTINUE, CONTINUE, SWITCH, CONTINUE, CUT, CONTINUE, SWITCH, SWITCH, CONTINUE, CONTINUE)
"""Transitions that are repeated for as long as a measurement takes."""

BLOCKS_PER_PROMPT = 5
TINY = ModelConfig(dim=128, ffn_dim=256, num_heads=1, num_layers=2, latent_size=(4, 6), text_dim=32, text_len=16)
TINY_DECODER = TAEHVConfig(encoder_width=4, decoder_widths=(16, 8, 8, 8))


@dataclass(frozen=True)
class Scale:
    """Device and sizes of a run.

    Attributes:
        device: Where everything runs.
        generator: Shape of the generator that is tested.
        large_generator: Shape of the generator that makes a single block.
        long_blocks: Blocks of the long rollout.
        warm_up_blocks: First blocks of a rollout that no measurement counts.
        timed_blocks: Blocks that each configuration is timed for, after the warm-up.
        fast_decoder: Layer widths of the fast decoder.
        vae_width: Channels of the full VAE's narrowest layer; Wan's own is 96.
        compile_backend: Backend of `torch.compile`.
        windows: Sizes of the attention window that are timed.
        profiled_blocks: Blocks of each arm in the profiler.
    """

    device: torch.device
    generator: ModelConfig = WAN_1_3B
    large_generator: ModelConfig = WAN_14B
    long_blocks: int = 300
    warm_up_blocks: int = 10
    timed_blocks: int = 30
    fast_decoder: TAEHVConfig = field(default_factory=TAEHVConfig)
    vae_width: int = 96
    compile_backend: str = "inductor"
    windows: tuple[int, int] = (6, 21)
    profiled_blocks: int = 3

    @classmethod
    def tiny(cls) -> Scale:
        """Return the scale of a rehearsal: every step on the CPU in seconds, with numbers that mean nothing."""
        return cls(torch.device("cpu"), TINY, TINY, 20, 2, 2, TINY_DECODER, 4, "eager", (6, 9), 1)

    @property
    def small_grid(self) -> ModelConfig:
        """The generator on 8 x 12 latent pixels, where float32 takes little memory."""
        return replace(self.generator, latent_size=(8, 12))


@dataclass
class Results:
    """Outcomes of the checks by sentence, and measured numbers by name."""

    checks: dict[str, bool] = field(default_factory=dict)
    numbers: dict[str, object] = field(default_factory=dict)
    block_ms: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)

    def check(self, claim: str, holds: bool) -> None:
        """Record whether a claim holds, and fail the test if it does not."""
        self.checks[claim] = bool(holds)
        assert holds, claim

    def to_json(self) -> str:
        """Return everything as one line of JSON."""
        return json.dumps({"checks": self.checks, **self.numbers, "block_ms": self.block_ms}, default=str)

    def table(self) -> Iterator[str]:
        """Yield one line per check, then one line per timed configuration: medians in milliseconds, frames a second."""
        for claim, holds in self.checks.items():
            yield f"{'passed' if holds else 'FAILED'}  {claim}"
        yield f"{'configuration':20}{'generate ms':>14}{'decode ms':>12}{'total ms':>12}{'frames/s':>10}"
        for name, parts in self.block_ms.items():
            generate, decode, total = (parts[part]["p50"] for part in ("generate", "decode", "total"))
            yield f"{name:20}{generate:14.1f}{decode:12.1f}{total:12.1f}{12_000 / total:10.1f}"


def random_transformer(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> CausalWanTransformer:
    """Return a generator with normal weights of deviation 0.02 and norm weights of 1.

    Wan's own initialisation has an output head of zeros, which would hide every error before it.
    """
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


def random_decoders(scale: Scale) -> dict[str, Decoder]:
    """Return both decoders of Wan as they run beside a generator in bfloat16: the fast one, and the full VAE."""
    return {"taew2_1": random_fast_decoder(scale), "wan_vae": random_vae(scale)}


def random_fast_decoder(scale: Scale) -> TAEHV:
    """Return the fast decoder."""
    fast = TAEHV(scale.fast_decoder)
    fast.encoder = nn.Sequential()
    dtype = codec_dtype(scale.device, torch.bfloat16)
    return fast.to(scale.device, dtype, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]


def random_vae(scale: Scale) -> WanVAE:
    """Return the full VAE."""
    from diffusers import AutoencoderKLWan

    vae = AutoencoderKLWan(base_dim=scale.vae_width).to(scale.device, codec_dtype(scale.device, torch.bfloat16))
    return WanVAE(lay_out_for_gpu(vae) if scale.device.type == "cuda" else vae)


def random_model(rollout: Rollout, decoder: Decoder) -> WorldModel:
    """Return a rollout's generator and a decoder as a compiled model without a text encoder."""
    height, width = (8 * side for side in rollout.model.config.latent_size)
    return WorldModel(
        name="random",
        transformer=rollout.model,
        text_encoder=None,  # type: ignore[arg-type]  # the embeddings are random
        decoder=decoder,
        window=rollout.window,
        sampler=Sampler(),
        frame_size=(height, width),
        sha256={},
        device=rollout.device,
        dtype=rollout.dtype,
        compiled=True,
    )


def random_embedding(rollout: Rollout, seed: int) -> Tensor:
    """Return an embedding of normal noise, b text_len text_dim."""
    config = rollout.model.config
    rows = torch.randn(1, config.text_len, config.text_dim, generator=torch.Generator().manual_seed(seed))
    return rows.to(rollout.device, rollout.dtype)


def play(rollout: Rollout, transitions: Sequence[Transition], seed: int = 0) -> list[GeneratedBlock]:
    """Start over and make a first block and one more per transition; a switch or a cut takes the other prompt."""
    prompts = [random_embedding(rollout, 0), random_embedding(rollout, 1)]
    rollout.reset(seed)
    blocks = []
    for transition in (START, *transitions):
        prompts = prompts[::-1] if transition in (SWITCH, CUT) else prompts
        blocks.append(rollout.advance(prompts[0], transition))
    return blocks


def relative_errors(exact: Sequence[Tensor], approximate: Sequence[Tensor]) -> list[float]:
    """Return |approximate - exact| / |exact| of each pair of tensors, in the Euclidean norm."""
    return [float((a - b.float()).norm() / a.norm()) for a, b in zip(exact, approximate, strict=True)]


def cycled_blocks(rollout: Rollout, count: int) -> Iterator[GeneratedBlock]:
    """Start over and make `count` blocks through the cycle of transitions, with two prompts by turns."""
    prompts = [random_embedding(rollout, 0), random_embedding(rollout, 1)]
    rollout.reset(0)
    for index in range(count):
        transition = CYCLE[index % len(CYCLE)] if index else START
        yield rollout.advance(prompts[index // BLOCKS_PER_PROMPT % 2], transition)


def time_and_memory(rollout: Rollout, blocks: int) -> tuple[list[float], list[int]]:
    """Return milliseconds and allocated bytes after each block of a long rollout."""
    millis, allocated = [], []
    started = now_s(rollout.device)
    for _ in cycled_blocks(rollout, blocks):
        ended = now_s(rollout.device)
        millis.append(1000 * (ended - started))
        allocated.append(allocated_bytes(rollout.device))
        started = now_s(rollout.device)
    return millis, allocated


def synchronisation_in_a_block(rollout: Rollout) -> str:
    """Return PyTorch's complaint about the first operation of a rollout that waits for the GPU; "" without one."""
    prompts = [random_embedding(rollout, 0), random_embedding(rollout, 1)]
    rollout.reset(0)
    return complaint_of(
        lambda: [rollout.advance(prompts[index % 2], transition) for index, transition in enumerate((START, *CYCLE))]
    )


def complaint_of(call: Callable[[], object]) -> str:
    """Return PyTorch's complaint about the first operation of a call that waits for the GPU; "" without one."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        call()
    except RuntimeError as error:
        return str(error)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return ""


@torch.inference_mode()
def time_blocks(rollout: Rollout, decoder: Decoder, scale: Scale) -> dict[str, dict[str, float]]:
    """Return milliseconds of a block by part ("generate", "decode", "total") at p10, p50 and p90."""
    parts, state = [], None
    started = now_s(rollout.device)
    for block in cycled_blocks(rollout, scale.warm_up_blocks + scale.timed_blocks):
        generated = now_s(rollout.device)
        frames, state = decoder.decode(block.latents, state)
        frames.cpu()
        decoded = now_s(rollout.device)
        parts.append((generated - started, decoded - generated))
        started = now_s(rollout.device)
    millis = 1000 * np.array(parts[scale.warm_up_blocks :])
    columns = {"generate": millis[:, 0], "decode": millis[:, 1], "total": millis.sum(1)}
    return {
        part: {f"p{q}": round(float(np.percentile(values, q)), 2) for q in (10, 50, 90)}
        for part, values in columns.items()
    }


def compilations() -> dict[str, int]:
    """Return the counters of torch.compile; they change whenever something is compiled."""
    import torch._dynamo

    return dict(torch._dynamo.utils.counters["stats"])


def now_s(device: torch.device) -> float:
    """Return the time in seconds, after all work queued on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def allocated_bytes(device: torch.device) -> int:
    """Return the bytes that tensors occupy on the GPU; 0 on the CPU."""
    return torch.cuda.memory_allocated() if device.type == "cuda" else 0


def peak_bytes(device: torch.device) -> int:
    """Return the most bytes that tensors occupied on the GPU since `forget_peak`; 0 on the CPU."""
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else 0


def forget_peak(device: torch.device) -> None:
    """Begin to look for the most bytes anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


def device_name(device: torch.device) -> str:
    """Return the name of the GPU, or "cpu"."""
    return torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
