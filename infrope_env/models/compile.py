"""Compiles a world's transformer and decoder for the shapes that play has, all before the first block.

A block meets a handful of context lengths; a flush, a cut or a reset selects among them and changes contents. Layers
are compiled, not the whole network: they share one shape, so thirty of them cost what one does.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from infrope_env.cache_dir import cache_dir
from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.coordinates import lay_out
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.models.world_folder import WorldModel
from infrope_env.pixels.codec import DecoderState
from infrope_env.pixels.taehv import TAEHV

PLAYED = (Transition.CONTINUE, Transition.SWITCH, Transition.CUT)
Play = tuple[Transition, ...]


def paths_to_context_lengths(window: Window) -> dict[int, Play]:
    """Every number of frames that a block can see, and the shortest play that leads there.

    The default window has three: {0: start, 3: start, continue, 2: start, switch}.
    """
    paths: dict[int, Play] = {}
    reached: dict[int, Play] = {0: ()}  # by the number of cached frames
    waiting = [0]
    for cached in waiting:
        for transition in PLAYED if cached else (Transition.START,):
            way = (*reached[cached], transition)
            seen = len(lay_out(tuple(range(cached)), transition, window).slots)
            paths.setdefault(seen, way)
            if seen + window.block not in reached:
                reached[seen + window.block] = way
                waiting.append(seen + window.block)
    return paths


def compile_transformer(transformer: CausalWanTransformer, backend: str = "inductor") -> None:
    """Have every layer compiled when it first meets a shape; asking again changes nothing."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_dir() / "inductor"))
    import torch._dynamo

    limit = torch._dynamo.config.recompile_limit
    torch._dynamo.config.recompile_limit = max(limit, 128)  # a long window has more shapes than the default allows
    for block in transformer.blocks:
        if block._compiled_call_impl is None:
            block.compile(dynamic=False, backend=backend)


def is_compiled(transformer: CausalWanTransformer) -> bool:
    """Whether it computes by compiled code."""
    return any(block._compiled_call_impl is not None for block in transformer.blocks)


def compile_model(world: WorldModel, rollout: Rollout, backend: str = "inductor") -> float:
    """Compile, and meet every shape of play; says on stderr what is going on and how long it took.

    Args:
        world: the transformer is compiled in place, for every environment that shares it, and the decoder too.
        rollout: of that transformer, used for this and reset; its window decides the shapes.
        backend: of torch.compile.

    Returns:
        seconds it took: minutes the first time, much less afterwards, for the code is kept in the cache folder.
    """
    paths = paths_to_context_lengths(rollout.window)
    print(
        f"infrope: compiling for {len(paths)} context lengths; the first time takes minutes, kept in {cache_dir()}",
        file=sys.stderr,
    )
    started = time.perf_counter()
    compile_transformer(world.transformer, backend)
    decode = _compile_decoder(world, backend)
    text = torch.zeros(1, world.config.text_len, world.config.text_dim, device=world.device, dtype=world.dtype)
    for path in paths.values():
        rollout.reset(seed=0)
        memory = None
        for transition in path:
            latents = rollout.advance(text, transition).latents
            _, memory = decode(latents, memory)
    rollout.reset(seed=0)
    took_s = time.perf_counter() - started
    print(f"infrope: compiled in {took_s:.0f} s", file=sys.stderr)
    return took_s


def _compile_decoder(
    world: WorldModel, backend: str
) -> Callable[[Tensor, DecoderState | None], tuple[Tensor, DecoderState]]:
    """The fast decoder, whose two shapes are the first block's and the others'; the full VAE stays as it is."""
    decoder = world.decoder
    if isinstance(decoder, TAEHV) and "decode_float" not in vars(decoder):
        compiled = torch.compile(decoder.decode_float, dynamic=False, backend=backend)
        decoder.decode_float = compiled  # type: ignore[method-assign]
    return torch.inference_mode()(decoder.decode)
