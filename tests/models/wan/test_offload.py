"""CPU offload changes no pixel, brings the generator back, and copies a few packed buffers whose bytes it counts."""

import logging
from collections.abc import Callable

import pytest
import torch

from infrope_env.models.wan import offload
from infrope_env.models.wan.offload import (
    ALIGNMENT,
    HostMemory,
    OffloadedDecoder,
    OffloadedEncoder,
    OffloadedGenerator,
    OffloadedModule,
)
from infrope_env.pixels.taehv import TAEHV, TAEHVConfig

CPU = torch.device("cpu")
LATENTS = torch.randn(1, 3, 16, 2, 4, generator=torch.Generator().manual_seed(0))


def some_taehv() -> TAEHV:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return TAEHV(TAEHVConfig(encoder_width=8, decoder_widths=(16, 8, 8, 8))).eval().requires_grad_(False)


class Recorded:
    """A move that is recorded before it is made."""

    def __init__(self, calls: list, name: tuple[str, str], move: Callable[[], None]) -> None:
        self.calls, self.name, self.move = calls, name, move

    def __call__(self) -> None:
        self.calls.append(self.name)
        self.move()


def record_moves(calls: list, **modules: OffloadedModule) -> None:
    for name, module in modules.items():
        for move in ("to_device", "to_cpu"):
            setattr(module, move, Recorded(calls, (name, move), getattr(module, move)))


@pytest.mark.parametrize("keep_state", [False, True])
def test_offload_changes_no_pixel_and_brings_the_generator_back(keep_state: bool) -> None:
    plain, decoder, generator = some_taehv(), some_taehv(), OffloadedGenerator(torch.nn.Linear(4, 4), CPU)
    offloaded, calls = OffloadedDecoder(decoder, generator, keep_state), []
    record_moves(calls, generator=generator, decoder=offloaded._decoding)
    state = expected_state = None
    with torch.inference_mode():
        for _ in range(3):
            frames, state = offloaded.decode(LATENTS, state)
            expected, expected_state = plain.decode(LATENTS, expected_state)
            assert frames.equal(expected)
    block = [("generator", "to_cpu"), ("decoder", "to_device"), ("decoder", "to_cpu"), ("generator", "to_device")]
    assert calls == 3 * block


def test_the_generator_is_back_even_when_the_decoder_fails() -> None:
    generator = OffloadedGenerator(torch.nn.Linear(4, 4), CPU)
    offloaded, calls = OffloadedDecoder(some_taehv(), generator), []
    record_moves(calls, generator=generator, decoder=offloaded._decoding)
    with pytest.raises(RuntimeError):
        offloaded.decode(LATENTS[:, :, :3], None)
    assert calls[-2:] == [("decoder", "to_cpu"), ("generator", "to_device")]


class Seen:
    """An encoder that notes whether the generator was away while it was loaded and while it encoded."""

    def __init__(self, calls: list) -> None:
        self.calls = calls

    def load(self) -> "Seen":
        self.calls.append("loaded")
        return self

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        self.calls.append("encoded")
        return frames


def test_the_encoder_of_pictures_takes_the_generator_s_place_too() -> None:
    generator, calls = OffloadedGenerator(torch.nn.Linear(4, 4), CPU), []
    record_moves(calls, generator=generator)
    OffloadedEncoder(Seen(calls).load, generator).encode(LATENTS)
    assert calls == [("generator", "to_cpu"), "loaded", "encoded", ("generator", "to_device")]


def test_packed_tensors_keep_values_and_strides_and_share_few_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, "BUFFER_BYTES", 4 * ALIGNMENT)
    tensors = [torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last), torch.rand(7).half(), torch.rand(64, 6)]
    packed = HostMemory(CPU).pack(tensors)
    for tensor, copy in zip(tensors, packed, strict=True):
        assert copy.equal(tensor) and copy.stride() == tensor.stride() and copy.dtype is tensor.dtype
        assert copy.data_ptr() != tensor.data_ptr() and copy.storage_offset() * copy.itemsize % ALIGNMENT == 0
    first, second, third = (copy.untyped_storage().data_ptr() for copy in packed)
    assert first == second != third  # 512 and 256 bytes fit into 1024, another 1536 do not


def test_a_generator_of_many_layers_lies_in_one_buffer_and_is_copied_by_one_call() -> None:
    network = torch.nn.Sequential(*(torch.nn.Linear(16, 16) for _ in range(8)))
    generator = OffloadedGenerator(network, CPU)
    with generator.away():
        assert len({parameter.untyped_storage().data_ptr() for parameter in network.parameters()}) == 1
    assert generator.memory.to_device_bytes == 8 * (1024 + 256)  # weights and aligned biases


def test_what_travels_is_counted_and_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    generator = OffloadedGenerator(torch.nn.Linear(64, 64, bias=False), CPU)
    offloaded, memory, state = OffloadedDecoder(some_taehv(), generator), generator.memory, None
    counts = []
    for _ in range(3):
        frames, state = offloaded.decode(LATENTS, state)
        counts.append((memory.to_device_bytes, memory.to_host_bytes))
    size = sum(tensor.nbytes for tensor in state)
    weights = sum(-(-p.nbytes // ALIGNMENT) * ALIGNMENT for p in offloaded.decoder.parameters()) + 64 * 64 * 4
    assert counts[0][0] == weights
    assert counts[2][0] - counts[1][0] == weights + sum(-(-t.nbytes // ALIGNMENT) * ALIGNMENT for t in state)
    assert counts[2][1] - counts[1][1] == size + frames.nbytes
    assert caplog.text.count("offload copies") == 1


def test_a_state_in_host_memory_is_overwritten_in_its_place() -> None:
    offloaded = OffloadedDecoder(some_taehv(), OffloadedGenerator(torch.nn.Linear(4, 4), CPU))
    _, state = offloaded.decode(LATENTS, None)
    _, after = offloaded.decode(LATENTS, state)
    assert all(one is other for one, other in zip(state, after, strict=True))
    assert len({tensor.untyped_storage().data_ptr() for tensor in state}) == 1
