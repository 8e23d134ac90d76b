"""CPU offload changes no pixel and brings the generator back."""

from collections.abc import Callable

import torch

from infrope_env.models.wan.offload import OffloadedDecoder
from infrope_env.pixels.taehv import TAEHV

CPU = torch.device("cpu")
LATENTS = torch.randn(1, 3, 16, 2, 4, generator=torch.Generator().manual_seed(0))


def some_taehv() -> TAEHV:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return TAEHV().eval().requires_grad_(False)


class Recorded:
    """A move that is recorded before it is made."""

    def __init__(self, calls: list, name: tuple[str, str], move: Callable[[], None]) -> None:
        self.calls, self.name, self.move = calls, name, move

    def __call__(self) -> None:
        self.calls.append(self.name)
        self.move()


def test_offload_changes_no_pixel_and_brings_the_generator_back() -> None:
    plain, decoder, generator = some_taehv(), some_taehv(), torch.nn.Linear(4, 4)
    offloaded, calls = OffloadedDecoder(decoder, generator, CPU), []
    for module, name in ((offloaded._network, "decoder"), (offloaded._generator, "generator")):
        for move in ("to_device", "to_cpu"):
            setattr(module, move, Recorded(calls, (name, move), getattr(module, move)))
    state = expected_state = None
    with torch.inference_mode():
        for _ in range(2):
            frames, state = offloaded.decode(LATENTS, state)
            expected, expected_state = plain.decode(LATENTS, expected_state)
            assert frames.equal(expected)
    block = [("generator", "to_cpu"), ("decoder", "to_device"), ("decoder", "to_cpu"), ("generator", "to_device")]
    assert calls == 2 * block


def test_the_generator_is_back_even_when_the_decoder_fails() -> None:
    generator = torch.nn.Linear(4, 4)
    decoder = some_taehv()
    offloaded, calls = OffloadedDecoder(decoder, generator, CPU), []
    offloaded._generator.to_device = lambda: calls.append("to_device")  # type: ignore[method-assign]
    try:
        offloaded.decode(LATENTS[:, :, :3], None)
    except RuntimeError:
        assert calls == ["to_device"]
    else:
        raise AssertionError("expected latents of three channels to be refused")
