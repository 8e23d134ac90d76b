"""Wan at full size on a GPU, with random weights: correctness, speed, and both over a long rollout.

    pytest tests/gpu -m gpu                        # on a GPU with 48 GB; -k "not 14b" needs far less
    INFROPE_GPU_TINY=1 pytest tests/gpu -m gpu     # a rehearsal on the CPU

The checks, the times and the memory are written to `INFROPE_GPU_RESULTS`, by default examples/results/wan_h200.json.
"""

import numpy as np
import pytest
import torch

from infrope_env.config import Sampler, Window
from infrope_env.dynamics.rollout import Rollout
from infrope_env.models.compile import compile_model, paths_to_context_lengths
from tests.gpu.measurements import (
    CONTINUE,
    CUT,
    CYCLE,
    SWITCH,
    Results,
    Scale,
    allocated_bytes,
    compilations,
    now_s,
    play,
    random_decoders,
    random_embedding,
    random_model,
    random_transformer,
    relative_errors,
    synchronisation_in_a_block,
    time_and_memory,
    time_blocks,
)

pytestmark = pytest.mark.gpu


def test_bfloat16_agrees_with_float32(scale: Scale, results: Results) -> None:
    transformer = random_transformer(scale.small_grid, scale.device, torch.float32)
    exact = play(Rollout(transformer, Window(), Sampler()), CYCLE[:5])
    approximate = play(Rollout(transformer.to(torch.bfloat16), Window(), Sampler()), CYCLE[:5])
    errors = relative_errors([block.latents for block in exact], [block.latents for block in approximate])
    results.numbers["bfloat16_relative_error"] = errors
    results.check("bfloat16 agrees with float32 within 5% over six blocks", max(errors) < 0.05)


def test_a_block_of_14b_is_made(scale: Scale, results: Results) -> None:
    """This runs before the tests of the smaller generator, which stays on the GPU once it is there."""
    try:
        large = Rollout(random_transformer(scale.large_generator, scale.device, torch.bfloat16), Window(), Sampler())
        play(large, (CONTINUE,))
        started = now_s(scale.device)
        block = large.advance(random_embedding(large, 0), CONTINUE)
    except torch.OutOfMemoryError:
        results.numbers["14b"] = "out of memory"
        pytest.skip("a block of 14B does not fit into this GPU")
    took_ms = 1000 * (now_s(scale.device) - started)
    results.numbers["14b"] = {"block_ms": took_ms, "allocated_gb": allocated_bytes(scale.device) / 1e9}
    results.check("a block of 14B is made", bool(block.latents.isfinite().all()))


def test_every_number_is_finite(rollout: Rollout, results: Results) -> None:
    blocks = play(rollout, (CONTINUE, CONTINUE, CONTINUE, SWITCH, CUT))
    results.check("every number is finite", all(bool(block.latents.isfinite().all()) for block in blocks))


def test_a_flush_and_a_cut_see_only_the_sink_and_the_newest_frame(rollout: Rollout, results: Results) -> None:
    blocks = play(rollout, (CONTINUE, CONTINUE, CONTINUE, SWITCH, CUT))
    visible = {block.transition: len(block.layout.slots) for block in blocks[3:]}
    claim = "a flush and a cut see sink and newest frame only"
    results.check(claim, visible == {CONTINUE: 3, SWITCH: 2, CUT: 2})


def test_a_cut_moves_the_block_to_the_cut_coordinate(rollout: Rollout, results: Results) -> None:
    newest = play(rollout, (CONTINUE, CONTINUE, CONTINUE, SWITCH, CUT))[-1]
    results.check("a cut sits at 45 46 47", newest.layout.block == (45, 46, 47))


def test_a_reset_with_the_same_seed_gives_the_same_bytes(rollout: Rollout, results: Results) -> None:
    first, again = (play(rollout, CYCLE[:4]) for _ in range(2))
    same = [torch.equal(a.latents, b.latents) for a, b in zip(first, again, strict=True)]
    results.check("a reset with the same seed gives the same bytes", all(same))


def test_a_long_rollout_keeps_its_speed_and_memory(scale: Scale, rollout: Rollout, results: Results) -> None:
    on_gpu = scale.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()  # the test of 14B ran before
    millis, allocated = time_and_memory(rollout, scale.long_blocks)
    warm, half = scale.warm_up_blocks, (scale.warm_up_blocks + scale.long_blocks) // 2
    early, late = np.median(millis[warm:half]), np.median(millis[half:])
    results.numbers["long"] = {
        "blocks": scale.long_blocks,
        "early_ms": float(early),
        "late_ms": float(late),
        "allocated_gb": allocated[-1] / 1e9,
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9 if on_gpu else 0.0,
    }
    assert len(millis) == scale.long_blocks
    if on_gpu:
        blocks = f"{scale.long_blocks} blocks"
        constant_time = f"{blocks}: the second half takes the time of the first, within 5%"
        constant_memory = f"{blocks}: memory is what it was after {warm}"
        results.check(constant_memory, len(set(allocated[warm:])) == 1)
        results.check(constant_time, late < 1.05 * early)


def test_no_block_waits_for_the_gpu(scale: Scale, rollout: Rollout, results: Results) -> None:
    if scale.device.type != "cuda":
        pytest.skip("the CPU has no queue to wait for")
    operation = synchronisation_in_a_block(rollout)
    results.numbers["synchronisation"] = operation
    results.check("no block waits for the GPU, whatever its transition", not operation)


def test_after_warming_up_nothing_is_compiled(scale: Scale, rollout: Rollout, results: Results) -> None:
    """Times blocks with each decoder as well, before and after compiling."""
    decoders = random_decoders(scale)
    for name, decoder in decoders.items():
        results.block_ms[f"plain {name}"] = time_blocks(rollout, decoder, scale)
    model = random_model(rollout, decoders["taew2_1"])
    results.numbers["compile_s"] = compile_model(model, rollout, scale.compile_backend)
    results.numbers["context_lengths"] = sorted(paths_to_context_lengths(rollout.window))
    before = compilations()
    assert before, "nothing was compiled at all"
    for name, decoder in decoders.items():
        results.block_ms[f"compiled {name}"] = time_blocks(rollout, decoder, scale)
    results.check("after warming up nothing is compiled, whatever is played", compilations() == before)
