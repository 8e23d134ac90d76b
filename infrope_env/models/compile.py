"""Compiles a model's transformer and decoder for every shape of play, before the first block.

A block meets a handful of context lengths; a flush, a cut or a reset selects among them and changes contents only.
Layers are compiled, not the whole transformer: thirty of equal shapes cost what one does.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch

from infrope_env.cache_dir import cache_dir
from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.coordinates import cached_after, lay_out
from infrope_env.dynamics.graphs import GraphedNetwork
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.transformer import CausalWanTransformer, Network
from infrope_env.models.world_model import WorldModel
from infrope_env.pixels.codec import Decoder
from infrope_env.pixels.taehv import TAEHV
from infrope_env.pixels.wan_vae import WanVAE
from infrope_env.pixels.wan_vae_layers import run_layers

TRANSITIONS = (Transition.CONTINUE, Transition.SWITCH, Transition.CUT)
GRAPHS = "graphs"
"""Value of the environment's argument `compile` that replays passes as CUDA graphs too."""
RECOMPILE_LIMIT = 128  # a long window has more shapes than torch's default allows

logger = logging.getLogger(__name__)


def paths_to_context_lengths(window: Window) -> dict[int, tuple[Transition, ...]]:
    """Return every number of context frames that a block can see, with the shortest play that leads there.

    The default window has three: {0: start, 3: start continue, 2: start switch}.
    """
    paths: dict[int, tuple[Transition, ...]] = {}
    reached: dict[int, tuple[Transition, ...]] = {0: ()}  # by the number of cached frames
    queue: list[tuple[int, ...]] = [()]  # ids of cached frames
    for cached in queue:
        for transition in TRANSITIONS if cached else (Transition.START,):
            path = (*reached[len(cached)], transition)
            layout = lay_out(cached, transition, window)
            paths.setdefault(len(layout.slots), path)
            after = cached_after(cached, layout)
            if len(after) not in reached:
                reached[len(after)] = path
                queue.append(after)
    return paths


def network_of(model: WorldModel, compile: bool | str, offload: bool) -> Network:
    """Return the network of one environment's blocks: the model's own, which all share, or graphs of it.

    Without a GPU the graphs are eager passes over the same buffers, and a warning says so.

    Raises:
        ValueError: Graphs are asked for, and weights that move.
    """
    if compile != GRAPHS:
        return model.transformer
    if offload:
        raise ValueError("compile='graphs' needs weights that stay on the GPU: leave offload out, or pass compile=True")
    if model.device.type != "cuda":
        logger.warning("playing without CUDA graphs, which need a GPU: device is %r.", model.device.type)
    return GraphedNetwork(model.transformer)


def can_compile(device: torch.device) -> bool:
    """Return whether torch.compile has all that it needs for a device; a warning names what is missing."""
    missing = missing_for_compiling(device)
    if missing is not None:
        logger.warning("playing uncompiled: compiling for %r needs %s, which is not here.", device.type, missing)
    return missing is None


def missing_for_compiling(device: torch.device) -> str | None:
    """Return the first of Triton, a compiler and Python's headers that is not here; None when all are.

    The code for a GPU is Triton's, with a launcher in C; the code for a CPU is C++. Both include Python's headers.
    """
    if device.type == "cuda":
        if find_spec("triton") is None:
            return "Triton (pip install triton)"
        language, names = "C", [os.environ.get("CC", "cc"), "gcc", "clang", "cl"]
    else:
        language, names = "C++", [cpp_compiler()]
    if not any(shutil.which(name.split(" ")[0]) for name in names):
        return f"a compiler for {language} ({' or '.join(names)})"
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").is_file():
        return f"Python's headers (Python.h in {headers}; Debian's package is python3-dev)"
    return None


def cpp_compiler() -> str:
    """Return the command of the compiler for C++ that torch uses."""
    return os.environ.get("CXX", {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++"))


def compile_model(model: WorldModel, rollout: Rollout, backend: str | Callable[..., object] = "inductor") -> float:
    """Compile a model in place and meet every shape of play.

    A decoder is compiled for its two shapes, those of the first block and of the others, unless its weights move.

    Args:
        model: Loaded with `LoadOptions(compile=True)`, so no other environment shares its network; else ValueError.
        rollout: A rollout of its transformer, which is used and reset. Its window decides the shapes.
        backend: Backend of torch.compile.

    Returns:
        Seconds it took: minutes the first time, much less afterwards, because the cache folder keeps the code.
    """
    if not model.compiled:
        raise ValueError(f"expected {model.name!r} to be loaded with compile=True: compiling changes shared weights")
    paths = paths_to_context_lengths(rollout.window)
    logger.info("compiling for %d context lengths; the first time takes minutes, kept in %s", len(paths), cache_dir())
    started = time.perf_counter()
    decoder = model.decoder
    compile_layers(model.transformer, backend)
    compile_decoder(decoder, backend)
    text = torch.zeros(1, model.config.text_len, model.config.text_dim, device=model.device, dtype=model.dtype)
    with torch.inference_mode():
        for path in paths.values():
            rollout.reset(seed=0)
            decoder_state = None
            for transition in path:
                latents = rollout.advance(text, transition).latents
                _, decoder_state = decoder.decode(latents, decoder_state)
    rollout.reset(seed=0)
    took_s = time.perf_counter() - started
    logger.info("compiled in %.0f s", took_s)
    return took_s


def compile_layers(transformer: CausalWanTransformer, backend: str | Callable[..., object] = "inductor") -> None:
    """Have every layer compiled at its first pass of each shape, in place; layers of equal shapes share their code."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_dir() / "inductor"))
    from torch._dynamo import config

    config.recompile_limit = max(config.recompile_limit, RECOMPILE_LIMIT)
    for layer in transformer.blocks:
        if layer._compiled_call_impl is None:
            layer.compile(dynamic=False, backend=backend)


def compile_decoder(decoder: Decoder, backend: str | Callable[..., object] = "inductor") -> None:
    """Have Wan's decoders compiled at their first block of each shape, in place; others stay as they are.

    The full VAE decodes latent frame by latent frame, so all but the first one of a rollout share one shape.
    """
    if isinstance(decoder, TAEHV) and "decode_float" not in vars(decoder):
        vars(decoder)["decode_float"] = torch.compile(decoder.decode_float, dynamic=False, backend=backend)
    if isinstance(decoder, WanVAE) and decoder.run_decoder is run_layers:
        decoder.run_decoder = torch.compile(run_layers, dynamic=False, backend=backend)
