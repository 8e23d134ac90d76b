"""Time of decoding, of the copy to the host, and of blocks from noise to frames in host memory."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator

import torch

from infrope_env.pixels.codec import Decoder
from infrope_env.pixels.taehv import TAEHV
from infrope_env.pixels.wan_vae import WanVAE
from tests.gpu.arms import RELEASE, Arm, Marks, percentiles, synchronize
from tests.gpu.measurements import CONTINUE, Scale

BLOCKS_BEFORE = 4
"""Blocks that are decoded before the timed ones: they compile and choose kernels."""


def time_decoder(decoder: Decoder, scale: Scale) -> dict[str, object]:
    """Return milliseconds of decoding a block, and of copying its frames to pinned memory, in the steady state."""
    config, random = scale.generator, torch.Generator().manual_seed(0)
    shape = (1, 3, config.latent_channels, *config.latent_size)
    latents = torch.randn(shape, generator=random).to(scale.device, torch.bfloat16)
    started = time.perf_counter()
    with uncompiled():
        _, state = decoder.decode(latents, None)
    for _ in range(BLOCKS_BEFORE):
        frames, state = decoder.decode(latents, state)
    host = torch.empty(frames.shape, dtype=frames.dtype, pin_memory=scale.device.type == "cuda")
    synchronize(scale.device)
    warm_up_s = time.perf_counter() - started
    marks = Marks(scale.device)
    for _ in range(max(scale.timed_blocks // 2, 1)):
        frames, state = decoder.decode(latents, state)
        marks.mark()
        host.copy_(frames, non_blocking=True)
        marks.mark()
    millis = marks.millis()
    checksum = int(host.int().sum())
    return {
        "warm_up_s": round(warm_up_s, 1),
        "decode_ms": percentiles(millis[::2]),
        "copy_ms": percentiles(millis[1::2]),
        "checksum": checksum,
    }


def end_to_end(arm: Arm, decoder: Decoder, blocks: int, beside_commit: bool) -> tuple[list[str], list[float]]:
    """Make blocks until their frames are in host memory and their commit passes are done.

    The release commits first, and copies frames in float32 from memory that is not pinned.

    Args:
        arm: The arm.
        decoder: The decoder.
        blocks: Timed blocks; two more are made before them.
        beside_commit: Decode and copy on a stream of its own while the commit pass runs.

    Returns:
        Digest of every block's frames, and milliseconds of the timed blocks.
    """
    device, rollout = arm.rollout.device, arm.rollout
    arm.fill()
    state, digests, millis = None, list[str](), list[float]()
    host = torch.empty(0, dtype=torch.uint8)
    stream = torch.cuda.Stream(device) if beside_commit and device.type == "cuda" else None
    for _ in range(blocks + 2):
        synchronize(device)
        started = time.perf_counter()
        latents = rollout.generate(arm.embedding, CONTINUE).latents
        if arm.name == RELEASE:
            rollout.commit()
            assert isinstance(decoder, TAEHV | WanVAE)
            decoded, state = decoder.decode_float(latents, state)
            host = decoded.float().cpu()
        else:
            with on_stream(stream), uncompiled(state is None):
                decoded, state = decoder.decode(latents, state)
                if host.shape != decoded.shape:  # the first two blocks
                    host = torch.empty(decoded.shape, dtype=decoded.dtype, pin_memory=device.type == "cuda")
                host.copy_(decoded, non_blocking=True)
            rollout.commit()
            rollout.draw_ahead()
        synchronize(device)
        millis.append(1000 * (time.perf_counter() - started))
        digests.append(hashlib.sha256(host.numpy().tobytes()).hexdigest()[:16])
    return digests, millis[2:]


def uncompiled(really: bool = True) -> contextlib.AbstractContextManager[object]:
    """Return a context in which nothing is compiled, for the first block: its shape occurs once in a rollout."""
    return torch.compiler.set_stance("force_eager") if really else contextlib.nullcontext()


@contextlib.contextmanager
def on_stream(stream: torch.cuda.Stream | None) -> Iterator[None]:
    """Queue work on a stream, behind what is queued on the present one; None is the present one."""
    if stream is None:
        yield
        return
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
