"""The choices that decide the speed of Wan on a GPU: backend of attention, window, decoding beside the commit pass.

They run with those of `test_wan_full_size.py`, and write to the same file.
"""

import pytest
import torch

from infrope_env.config import Sampler, Window
from infrope_env.dynamics.rollout import Rollout
from infrope_env.models.compile import compile_model
from tests.gpu.measurements import Results, Scale, random_decoders, random_model, time_blocks
from tests.gpu.speed_measurements import attention_by_backend, play_with_frames

pytestmark = pytest.mark.gpu


def test_every_backend_of_attention_is_timed_and_right(scale: Scale, results: Results) -> None:
    """`taken` is the backend of play: one that is slower than another is a reason to set PyTorch's order."""
    found, worst = {}, 0.0
    for size in scale.windows:
        millis, errors, taken = attention_by_backend(scale, Window.parse(size))
        found[f"window {size}"] = {"ms": millis, "relative_error": errors, "taken": taken}
        worst = max(worst, *errors.values())
    results.numbers["attention"] = found
    results.check("every backend of attention agrees with float64 within 2%", worst < 0.02)


def test_decoding_beside_the_commit_pass_gives_the_same_frames(
    scale: Scale, rollout: Rollout, results: Results
) -> None:
    decoder = random_decoders(scale)["taew2_1"]
    (apart, apart_ms), (beside, beside_ms) = (play_with_frames(rollout, decoder, scale, side) for side in (False, True))
    results.numbers["decode_and_commit_ms"] = {"one after the other": apart_ms, "side by side": beside_ms}
    same = all(torch.equal(a, b) for a, b in zip(apart, beside, strict=True))
    results.check("frames decoded beside the commit pass are the same bytes", same)


def test_windows_are_timed_before_and_after_compiling(scale: Scale, rollout: Rollout, results: Results) -> None:
    decoder = random_decoders(scale)["taew2_1"]
    rollouts = {size: Rollout(rollout.model, Window.parse(size), Sampler()) for size in scale.windows}
    for size, each in rollouts.items():
        results.block_ms[f"window {size} plain"] = time_blocks(each, decoder, scale)
    for size, each in rollouts.items():
        compile_model(random_model(each, decoder), each, scale.compile_backend)
        results.block_ms[f"window {size} compiled"] = time_blocks(each, decoder, scale)
