"""What is said about memory is what the networks need; taking turns changes no pixel."""

from collections.abc import Callable

import torch

from infrope_env.config import WAN_1_3B, Window
from infrope_env.models.wan.memory import DECODERS, GIB, memory_table, modes, text_modes
from infrope_env.models.wan.offload import OffloadedDecoder
from infrope_env.pixels.taehv import TAEHV

CPU = torch.device("cpu")
LATENTS = torch.randn(1, 3, 16, 2, 4, generator=torch.Generator().manual_seed(0))
PIXELS = 16 * 32


def some_taehv() -> TAEHV:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return TAEHV().eval().requires_grad_(False)


def test_the_fast_decoder_remembers_as_much_as_is_said() -> None:
    _, memory = some_taehv().decode(LATENTS, None)
    assert sum(tensor.numel() for tensor in memory) == DECODERS["taew2_1"].memory * PIXELS


def test_the_full_vae_remembers_as_much_as_is_said() -> None:
    from diffusers import AutoencoderKLWan

    with torch.device("meta"):  # shapes without values: 127 million of them
        network, frame = AutoencoderKLWan(), torch.empty(1, 16, 1, 2, 4)
        cache = [None] * sum(isinstance(layer, torch.nn.Conv3d) for layer in network.decoder.modules())
        for first in (True, False, False):
            network.decoder(frame, feat_cache=cache, feat_idx=[0], first_chunk=first)
    numbers = sum(entry.numel() for entry in cache if isinstance(entry, torch.Tensor))
    assert numbers == DECODERS["wan_vae"].memory * PIXELS
    assert 2 * sum(parameter.numel() for parameter in network.parameters()) == DECODERS["wan_vae"].weights


def test_the_table_grows_with_the_window_and_shrinks_by_offload() -> None:
    plain, offloaded, vae, vae_offloaded = modes()
    assert plain.bytes > offloaded.bytes and vae.bytes > vae_offloaded.bytes and vae.bytes > plain.bytes
    assert next(iter(modes(WAN_1_3B, Window.from_size(12)))).bytes > plain.bytes + 2 * GIB
    assert not plain.fits(8) and plain.fits(12) and offloaded.fits(8)
    assert [smallest for _, _, smallest in text_modes()] == [16, 12]
    assert memory_table().count("\n|") == 7


class Noted:
    """A move that is written down before it is made."""

    def __init__(self, calls: list, name: tuple[str, str], move: Callable[[], None]) -> None:
        self.calls, self.name, self.move = calls, name, move

    def __call__(self) -> None:
        self.calls.append(self.name)
        self.move()


def test_taking_turns_changes_no_pixel_and_brings_the_generator_back() -> None:
    plain, decoder, generator = some_taehv(), some_taehv(), torch.nn.Linear(4, 4)
    turns, calls = OffloadedDecoder(decoder, decoder, generator, CPU), []
    for guest, name in ((turns._network, "decoder"), (turns._generator, "generator")):
        for move in ("come", "leave"):
            setattr(guest, move, Noted(calls, (name, move), getattr(guest, move)))
    memory = expected_memory = None
    with torch.inference_mode():
        for _ in range(2):
            frames, memory = turns.decode(LATENTS, memory)
            expected, expected_memory = plain.decode(LATENTS, expected_memory)
            assert frames.equal(expected)
    turn = [("generator", "leave"), ("decoder", "come"), ("decoder", "leave"), ("generator", "come")]
    assert calls == 2 * turn


def test_the_generator_is_back_even_when_the_decoder_fails() -> None:
    generator = torch.nn.Linear(4, 4)
    decoder = some_taehv()
    turns, calls = OffloadedDecoder(decoder, decoder, generator, CPU), []
    turns._generator.come = lambda: calls.append("come")  # type: ignore[method-assign]
    try:
        turns.decode(LATENTS[:, :, :3], None)
    except RuntimeError:
        assert calls == ["come"]
    else:
        raise AssertionError("expected latents of three channels to be refused")
