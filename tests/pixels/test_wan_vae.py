"""The full Wan VAE at a small width, with random weights, against diffusers' own decode and encode of whole videos."""

import copy
import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

pytest.importorskip("diffusers", reason="needs the extra 'wan'")
from diffusers import AutoencoderKLWan
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

from infrope_env.errors import WeightsError
from infrope_env.models.compile import compile_decoder
from infrope_env.models.wan.codecs import load_decoder, rename
from infrope_env.pixels.codec import DecoderState
from infrope_env.pixels.wan_vae import WanVAE, lay_out_for_gpu

CPU = torch.device("cpu")
DIFFUSERS_FILE = "diffusion_pytorch_model.safetensors"
MEAN_0, STD_0 = -0.7571, 2.8184  # statistics of Wan's first latent channel

TO_ORIGINAL = (
    (r"^quant_conv", "conv1"),
    (r"^post_quant_conv", "conv2"),
    (r"conv_in", "conv1"),
    (r"norm_out", "head.0"),
    (r"conv_out", "head.2"),
    (r"mid_block\.attentions\.0", "middle.1"),
    (r"mid_block\.resnets\.0", "middle.0"),
    (r"mid_block\.resnets\.1", "middle.2"),
    (r"down_blocks", "downsamples"),
    (r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"upsamples.{4 * int(m[1]) + int(m[2])}"),
    (r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"upsamples.{4 * int(m[1]) + 3}"),
    (r"(?<=\d)\.norm1", ".residual.0"),
    (r"(?<=\d)\.conv1", ".residual.2"),
    (r"(?<=\d)\.norm2", ".residual.3"),
    (r"(?<=\d)\.conv2", ".residual.6"),
    (r"conv_shortcut", "shortcut"),
)


@pytest.fixture(scope="module")
def network() -> AutoencoderKLWan:
    torch.manual_seed(0)
    network = AutoencoderKLWan(base_dim=4)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(1.5)  # with default weights the picture is nearly grey
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def vae(network: AutoencoderKLWan) -> WanVAE:
    return WanVAE(network)


def some_latents(seed: int, frames: int) -> Tensor:
    return torch.randn(1, frames, 16, 4, 6, generator=torch.Generator().manual_seed(seed))


def whole_decode(network: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """Decode latents on the generator's scale with diffusers, to b t 3 H W in [0, 1]."""
    mean, std = (torch.tensor(values).view(1, -1, 1, 1, 1) for values in statistics(network))
    return network.decode(latents.transpose(1, 2) * std + mean).sample.transpose(1, 2) * 0.5 + 0.5


def statistics(network: AutoencoderKLWan) -> tuple[list[float], list[float]]:
    return network.config.latents_mean, network.config.latents_std


def original_name(name: str) -> str:
    for pattern, replacement in TO_ORIGINAL:
        name = re.sub(pattern, replacement, name)
    return name


@pytest.mark.parametrize("pieces", [(7,), (3, 3, 1), (1, 1, 5), (2, 1, 4)])
def test_decoding_block_by_block_is_the_whole_decode_bit_for_bit(vae: WanVAE, pieces: tuple[int, ...]):
    latents, state, blocks = some_latents(1, 7), None, []
    for piece in latents.split(pieces, dim=1):
        frames, state = vae.decode_float(piece, state)
        blocks.append(frames)
    streamed, whole = torch.cat(blocks, 1), whole_decode(vae.network, latents)
    assert [frames.shape[1] for frames in blocks] == [4 * piece - 3 * (i == 0) for i, piece in enumerate(pieces)]
    assert torch.equal(streamed, whole)
    assert whole.std() > 0.05  # there is a picture to compare


def test_pixels_are_rounded_and_channels_last(vae: WanVAE):
    floats, _ = vae.decode_float(some_latents(1, 2))
    pixels, _ = vae.decode(some_latents(1, 2), None)
    assert pixels.shape == (1, 5, 32, 48, 3) and pixels.dtype == torch.uint8
    assert torch.equal(pixels, (floats * 255).round().to(torch.uint8).permute(0, 1, 3, 4, 2))


@pytest.mark.parametrize("before", [1, 3])
def test_a_saved_state_continues_bit_for_bit_any_number_of_times(vae: WanVAE, before: int):
    latents = some_latents(2, before + 3)
    _, state = vae.decode(latents[:, :before], None)
    saved = copy_of(state)
    expected, _ = vae.decode(latents[:, before:], state)
    _, other = vae.decode(some_latents(3, 2), None)
    vae.decode(some_latents(4, 2), other)
    vae.encode(torch.rand(1, 1, 3, 32, 48))
    for _ in range(2):
        assert torch.equal(vae.decode(latents[:, before:], copy_of(saved))[0], expected)


def test_a_block_overwrites_the_state_that_it_is_given(vae: WanVAE):
    latents = some_latents(2, 6)
    _, state = vae.decode(latents[:, :3], None)
    before = copy_of(state)
    _, after = vae.decode(latents[:, 3:], state)
    assert all(one is other for one, other in zip(state, after, strict=True))
    assert not any(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def copy_of(state: DecoderState) -> DecoderState:
    """Copy a decoder state as an environment does: tensor by tensor."""
    return tuple(tensor.clone() for tensor in state)


def test_the_state_has_its_full_size_after_one_latent_frame(vae: WanVAE):
    _, state = vae.decode(some_latents(5, 1), None)
    shapes = [entry.shape for entry in state]
    assert all(shape[2] == 2 for shape in shapes)  # two frames of every convolution
    _, state = vae.decode(some_latents(5, 3), state)
    assert [entry.shape for entry in state] == shapes


@pytest.mark.parametrize("count", [1, 9])
def test_encoding_gives_diffusers_mode_on_the_generators_scale(vae: WanVAE, network: AutoencoderKLWan, count: int):
    frames = torch.rand(1, count, 3, 32, 48, generator=torch.Generator().manual_seed(6))
    mode = network.encode(frames.transpose(1, 2) * 2 - 1).latent_dist.mode()
    ours = vae.encode(frames)
    assert ours.shape == (1, 1 + count // 4, 16, 4, 6)
    assert torch.equal(ours[:, :, 0], (mode[:, 0] - MEAN_0) / STD_0)
    mean, std = (torch.tensor(values).view(1, 1, -1, 1, 1) for values in statistics(network))
    assert torch.equal(ours, (mode.transpose(1, 2) - mean) / std)


def test_only_the_beginning_of_a_video_can_be_encoded(vae: WanVAE):
    with pytest.raises(ValueError, match=r"expected 1, 5, 9, \.\.\. pixel frames to encode, .*, got 12"):
        vae.encode(torch.rand(1, 12, 3, 32, 48))


def test_original_names_are_converted_as_diffusers_converts_them(network: AutoencoderKLWan):
    names = list(network.state_dict())
    originals = [original_name(name) for name in names]
    assert {"decoder.upsamples.7.time_conv.weight", "encoder.downsamples.3.shortcut.bias"} <= set(originals)
    assert list(convert_wan_vae_to_diffusers(dict.fromkeys(originals))) == names
    assert [rename(name) for name in originals] == names
    assert [rename(name) for name in names] == names


def test_folder_and_original_file_decode_and_encode_the_same(network: AutoencoderKLWan, vae: WanVAE, tmp_path: Path):
    network.save_pretrained(tmp_path / "hub" / "vae")
    original = {original_name(name): tensor for name, tensor in network.state_dict().items()}
    torch.save(original, tmp_path / "Wan2.1_VAE.pth")
    expected, latents = vae.decode(some_latents(7, 3), None)[0], vae.encode(torch.zeros(1, 1, 3, 32, 48))
    for path in (tmp_path / "hub" / "vae" / DIFFUSERS_FILE, tmp_path / "Wan2.1_VAE.pth"):
        loaded = load_decoder(path, CPU, torch.float32)
        assert torch.equal(loaded.decode(some_latents(7, 3), None)[0], expected)
        assert torch.equal(loaded.encode(torch.zeros(1, 1, 3, 32, 48)), latents)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_features_in_half_precision_are_those_of_diffusers_bit_for_bit(network: AutoencoderKLWan, dtype: torch.dtype):
    half = WanVAE(copy.deepcopy(network).to(dtype))
    latents = some_latents(8, 3)
    mean, std = (torch.tensor(values).view(1, -1, 1, 1, 1) for values in statistics(network))
    theirs = half.network.decode((latents.transpose(1, 2) * std + mean).to(dtype)).sample.transpose(1, 2)
    assert torch.equal(half.decode_float(latents)[0], theirs.float() * 0.5 + 0.5)


def test_channels_last_changes_the_layout_of_features_and_not_the_picture(network: AutoencoderKLWan, vae: WanVAE):
    vae_on_gpu = WanVAE(lay_out_for_gpu(copy.deepcopy(network)))
    frames, state = vae_on_gpu.decode_float(some_latents(1, 3))
    assert (frames - vae.decode_float(some_latents(1, 3))[0]).abs().max() < 1e-4
    assert all(entry.is_contiguous(memory_format=torch.channels_last_3d) for entry in state)


def test_half_precision_keeps_the_picture(network: AutoencoderKLWan, vae: WanVAE, tmp_path: Path):
    network.save_pretrained(tmp_path)
    half = load_decoder(tmp_path / DIFFUSERS_FILE, CPU, torch.bfloat16)
    frames, state = half.decode(some_latents(8, 2).bfloat16(), None)
    assert state[0].dtype == torch.bfloat16
    exact = vae.decode(some_latents(8, 2).bfloat16(), None)[0]
    assert (frames.float() - exact.float()).abs().mean() < 3


def test_a_file_of_other_tensors_is_refused(network: AutoencoderKLWan, tmp_path: Path):
    tensors = network.state_dict()
    tensors.pop("post_quant_conv.bias")
    save_file(tensors, tmp_path / "Wan2.1_VAE.safetensors")
    with pytest.raises(WeightsError, match=r"does not fit AutoencoderKLWan: .*1 missing \('post_quant_conv\.bias'\)"):
        load_decoder(tmp_path / "Wan2.1_VAE.safetensors", CPU, torch.float32)


def test_the_vae_of_another_generation_is_refused(network: AutoencoderKLWan, tmp_path: Path):
    network.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"is_residual": True}))
    with pytest.raises(WeightsError, match=r"this is Wan 2\.2's VAE"):
        load_decoder(tmp_path / DIFFUSERS_FILE, CPU, torch.float32)


def test_a_compiled_decoder_has_one_graph_and_the_same_bytes(network: AutoencoderKLWan) -> None:
    """aot_eager runs the same kernels, but turns writes in place into copies as every compiler does."""
    plain, compiled = WanVAE(network), WanVAE(lay_out_for_gpu(copy.deepcopy(network)))
    plain_last = WanVAE(compiled.network)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    compile_decoder(compiled, backend="aot_eager")
    states: list[DecoderState | None] = [None, None, None]
    with torch.inference_mode():
        for block in range(3):
            frames = []
            for index, vae in enumerate((plain, plain_last, compiled)):
                decoded, states[index] = vae.decode(some_latents(block, 3), states[index])
                frames.append(decoded.int())
            assert torch.equal(frames[1], frames[2]) and (frames[0] - frames[2]).abs().max() <= 1
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    torch._dynamo.reset()
