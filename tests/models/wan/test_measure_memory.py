"""The memory that `memory.py` states is measured again, and the measurement agrees with a real allocator."""

from collections.abc import Callable
from dataclasses import astuple, replace

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

pytest.importorskip("diffusers", reason="needs the extra 'wan'")

from infrope_env.config import WAN_1_3B, WAN_14B, ModelConfig, Sampler, Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics import cache
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.models.wan import memory
from infrope_env.models.wan.measure_memory import (
    DECODERS,
    META,
    LiveBytes,
    measure_decoder,
    measure_encoder,
    working_bytes,
)
from tests.models.wan.released_files import SMALL


@pytest.mark.parametrize("name", DECODERS)
def test_the_memory_of_a_decoder_is_the_measured_one(name: str) -> None:
    measured, stated = astuple(measure_decoder(DECODERS[name])), astuple(memory.DECODERS[name])
    assert measured == pytest.approx(stated, rel=0.005)


def test_the_memory_of_encoding_a_picture_is_the_measured_one() -> None:
    assert measure_encoder() == pytest.approx(memory.ENCODING, rel=0.005)


@pytest.mark.parametrize("config", [WAN_1_3B, WAN_14B], ids=["1.3B", "14B"])
def test_the_activations_of_a_block_are_the_measured_ones(config: ModelConfig) -> None:
    stated = memory.generator_memory(config, Window()).activations
    assert 0.97 * stated < working_bytes(config, Window(), steps=(1000,)) <= stated


def peak_of(run: Callable[[], object]) -> int:
    """Return the most bytes that PyTorch's allocator for the CPU holds for a call, beyond those before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run()
    result = profiled.profiler
    assert result is not None and result.kineto_results is not None
    events = [event for event in result.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


@torch.inference_mode()
def test_the_counted_peak_is_the_allocator_s() -> None:
    """Of operations that take no scratch memory inside a kernel, which convolutions on a CPU do."""
    x = torch.randn(500, 1000)

    def run() -> None:
        wide = torch.cat((x, x * 2, x.relu()), dim=1)
        narrow = wide.square_().unflatten(1, (3, -1)).sum(1)
        (narrow[:, ::2] + 1).cumsum(1)

    with LiveBytes("cpu") as live:
        run()
    assert live.peak == pytest.approx(peak_of(run), rel=0.02) and live.peak > 5 * x.nbytes / 2


def test_bytes_are_counted_while_their_tensor_lives() -> None:
    with LiveBytes("cpu") as live:
        first = torch.zeros(1000)
        view = first[:10]
        assert live.now == 4000
        del first
        assert live.now == 4000  # the view holds all of it
        del view
        second = torch.zeros(10)
    assert (live.now, live.peak) == (40, 4000) and second.nbytes == 40


def test_cached_keys_are_rotated_a_few_layers_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """All layers at once took 0.7 GB for 1.3B, 3.2 GB for 14B."""

    config = replace(SMALL, num_layers=12)

    def gathering(at_once: int) -> int:
        monkeypatch.setattr(cache, "ROTATED_AT_ONCE", at_once)
        with LiveBytes() as live:
            with META:
                network = CausalWanTransformer(config).requires_grad_(False)
            rollout = Rollout(network, Window(), Sampler(steps=(1000,)))
            embedding = torch.empty(1, config.text_len, config.text_dim, device=META)
            rollout.advance(embedding, Transition.START)
            before = live.mark()
            with torch.inference_mode():
                rollout._gather_contexts(rollout.cache, Transition.CONTINUE, rollout._buffers)
            return live.peak - before

    assert gathering(1) < gathering(10**9)
