"""TAEHV: upstream's parameters and numbers, streaming = whole, fused layers = plain layers."""

import json
import math
import os
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from infrope_env.models.wan.codecs import load_decoder
from infrope_env.pixels.taehv import TAEHV, MemBlock, TAEHVConfig

OWN_GOLDENS = Path(__file__).parents[1] / "goldens"
GOLDENS = Path(os.environ.get("INFROPE_GOLDENS") or OWN_GOLDENS)
NARROW = TAEHVConfig(latent_channels=4, encoder_width=8, decoder_widths=(16, 8, 8, 8), patch=2)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_parameter_names_and_shapes_are_those_of_taew2_1():
    ours = {name: list(value.shape) for name, value in TAEHV().state_dict().items()}
    assert ours == json.loads((OWN_GOLDENS / "taehv/taew2_1_keys.json").read_text())


def test_encoder_and_decoder_compute_what_the_official_code_computes(tmp_path):
    file = GOLDENS / "taehv/taehv_wan21.safetensors"
    if not file.exists():
        pytest.skip(f"needs {file.name}; set INFROPE_GOLDENS to the folder that holds taehv/{file.name}")
    network, golden = _golden_network(), load_file(file)
    torch.save(network.state_dict(), tmp_path / "taew2_1.pth")
    decoder = load_decoder(tmp_path / "taew2_1.pth", torch.device("cpu"), torch.float32)
    with torch.no_grad():
        frames, _ = decoder.decode_float(golden["latents"])
        latents, _ = network.encode(golden["video"].float())
    assert (frames - golden["frames"].float()).abs().max() < 1e-3
    assert (latents - golden["encoded"].float()).abs().max() < 1e-3


@pytest.mark.parametrize("pieces", [(3, 3, 3), (1, 2, 6), (4, 5)])
def test_decoding_block_by_block_equals_decoding_the_whole(pieces):
    torch.manual_seed(0)
    network, latents = TAEHV(NARROW).eval(), torch.randn(2, sum(pieces), 4, 4, 6)
    state, blocks = None, []
    with torch.inference_mode():
        whole, _ = network.decode(latents, None)
        for piece in latents.split(pieces, dim=1):
            frames, state = network.decode(piece, state)
            blocks.append(frames)
    assert torch.equal(torch.cat(blocks, dim=1), whole)


def test_the_first_latent_frame_gives_one_pixel_frame_and_every_other_four():
    network = TAEHV(NARROW)
    first, state = network.decode(torch.zeros(1, 3, 4, 4, 6), None)
    later, _ = network.decode(torch.zeros(1, 3, 4, 4, 6), state)
    assert first.shape == (1, 9, 64, 96, 3)
    assert later.shape == (1, 12, 64, 96, 3)
    assert first.dtype == torch.uint8


def test_two_streams_through_one_network_do_not_mix():
    torch.manual_seed(0)
    network = TAEHV(NARROW).eval()
    one, other = torch.randn(1, 6, 4, 4, 6), torch.randn(1, 6, 4, 4, 6)
    _, state = network.decode(one[:, :3], None)
    network.decode(other, None)
    frames, _ = network.decode(one[:, 3:], state)
    assert torch.equal(frames, network.decode(one, None)[0][:, 9:])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("upscale", [(True, True, True), (True, False, False), (False, True, False)])
def test_fused_layers_equal_the_plain_ones(upscale, layout):
    torch.manual_seed(0)
    network = TAEHV(replace(NARROW, space_upscale=upscale)).to(memory_format=layout)
    for parameter in network.decoder.parameters():
        parameter.data.mul_(2)  # with default weights the picture is nearly grey
    latents = torch.randn(2, 4, 4, 5, 7)
    frames, _ = network.decode_unclamped(latents)
    expected = _decode_with_plain_layers(network, latents)
    assert expected.std() > 0.1
    assert (frames - expected).abs().max() < 1e-5 * expected.abs().max()


def test_fused_layers_have_the_gradients_of_the_plain_ones():
    torch.manual_seed(0)
    network, latents = TAEHV(NARROW), torch.randn(2, 3, 4, 4, 6)
    gradients = []
    for frames in (network.decode_unclamped(latents)[0], _decode_with_plain_layers(network, latents)):
        gradients.append(torch.autograd.grad(frames.square().mean(), [*network.decoder.parameters()]))
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-6)


def _decode_with_plain_layers(network: TAEHV, latents: torch.Tensor) -> torch.Tensor:
    """Decode with every layer on its own, as upstream does."""
    x = latents.flatten(0, 1)
    for layer in network.decoder:
        if isinstance(layer, MemBlock):
            frames = x.unflatten(0, (latents.shape[0], -1))
            past = torch.cat([torch.zeros_like(frames[:, :1]), frames[:, :-1]], 1).flatten(0, 1)
            x = (layer.conv(torch.cat([x, past], 1)) + layer.skip(x)).relu()
        else:
            x = layer(x)
    return F.pixel_shuffle(x, network.config.patch).unflatten(0, (latents.shape[0], -1))[:, 3:]


def _golden_network() -> TAEHV:
    """Return a network with weights drawn from their names, as the golden's README defines them."""
    weights = {}
    for name, shape in sorted(json.loads((OWN_GOLDENS / "taehv/taew2_1_keys.json").read_text()).items()):
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
        weights[name] = 0.05 * noise if name.endswith("bias") else math.sqrt(1 / noise[0].numel()) * noise
    weights["decoder.22.weight"] /= 2
    weights["encoder.17.weight"] /= 2
    weights["decoder.22.bias"] += 0.5
    checksum = float((OWN_GOLDENS / "taehv/taew2_1_checksum.txt").read_text())
    assert math.isclose(sum(w.double().abs().sum().item() for w in weights.values()), checksum, rel_tol=1e-9)
    network = TAEHV()
    network.load_state_dict(weights)
    return network.eval()
