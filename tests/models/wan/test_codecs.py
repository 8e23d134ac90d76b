"""Codecs by name, loaded from files in their released layouts."""

import copy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from infrope_env.config import WAN_1_3B, WAN_14B
from infrope_env.errors import WeightsError
from infrope_env.models.wan.codecs import codec_dtype, has_room_for_state, load_decoder
from infrope_env.pixels.taehv import TAEHV, TAEHVEncoder
from infrope_env.pixels.wan_vae import WanVAE

CPU = torch.device("cpu")
LATENTS = torch.randn(1, 2, 16, 4, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network() -> TAEHV:
    torch.manual_seed(0)
    return TAEHV().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def released(network: TAEHV, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with taew2_1.pth as it is released: a plain dict of tensors, in half precision."""
    folder = tmp_path_factory.mktemp("released")
    torch.save(half(network), folder / "taew2_1.pth")
    return folder


def half(network: TAEHV) -> dict[str, Tensor]:
    return {name: tensor.half() for name, tensor in network.state_dict().items()}


def test_taew2_1_decodes_as_the_network_its_file_was_made_from(network: TAEHV, released: Path, tmp_path: Path):
    save_file(half(network), tmp_path / "taew2_1.safetensors")
    expected, _ = network.decode_float(LATENTS)
    for path in (released / "taew2_1.pth", tmp_path / "taew2_1.safetensors"):
        decoder = load_decoder(path, CPU, torch.float32)
        assert isinstance(decoder, TAEHV) and not list(decoder.encoder.parameters())
        assert (decoder.decode_float(LATENTS)[0] - expected).abs().max() < 1e-3
    assert load_decoder(released / "taew2_1.pth", CPU, torch.bfloat16).decode(LATENTS, None)[0].dtype == torch.uint8


def test_decoders_compute_in_float16_on_a_gpu_in_place_of_bfloat16():
    cuda = torch.device("cuda")
    for device, generator, codec in (
        (cuda, torch.bfloat16, torch.float16),
        (cuda, torch.float16, torch.float16),
        (cuda, torch.float32, torch.float32),
        (CPU, torch.bfloat16, torch.bfloat16),
        (CPU, torch.float32, torch.float32),
    ):
        assert codec_dtype(device, generator) is codec


def test_float16_shows_levels_of_a_smooth_gradient_that_bfloat16_bands(network: TAEHV):
    """The last layer's result in [0, 1], rounded to either dtype, then to 256 levels."""
    smooth = torch.linspace(0, 1, 1024)
    exact = smooth.mul(255).round()
    errors = {dtype: (smooth.to(dtype).float().mul(255).round() - exact) for dtype in (torch.float16, torch.bfloat16)}
    assert errors[torch.float16].count_nonzero() < 64 < 200 < errors[torch.bfloat16].count_nonzero()
    exact_frames = network.decode_float(LATENTS)[0]
    wrong = {}
    for dtype in (torch.float16, torch.bfloat16):
        half_network = copy.deepcopy(network).to(dtype)
        frames = half_network.decode_float(LATENTS)[0].float()
        wrong[dtype] = (frames - exact_frames).mul(255).abs().mean()
    assert wrong[torch.float16] < wrong[torch.bfloat16] / 4  # eight times finer


@pytest.mark.parametrize(("gigabytes", "stays"), [(8, False), (12, True)])
def test_a_full_vae_s_state_stays_on_a_gpu_that_has_room(gigabytes: int, stays: bool, monkeypatch: pytest.MonkeyPatch):
    properties = SimpleNamespace(total_memory=gigabytes * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    vae = object.__new__(WanVAE)  # only its class is asked for
    cuda = torch.device("cuda")
    assert has_room_for_state(vae, cuda, WAN_1_3B) is stays and not has_room_for_state(vae, CPU, WAN_1_3B)
    assert not has_room_for_state(vae, cuda, WAN_14B)


def test_the_encoder_prepends_the_frames_that_the_decoder_drops(network: TAEHV):
    frames = torch.rand(1, 5, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    latents = TAEHVEncoder(network).encode(frames)
    expected, _ = network.encode(torch.cat([*[frames[:, :1]] * 3, frames], 1))
    assert latents.shape == (1, 2, 16, 4, 6)
    assert latents.equal(expected)


def test_only_the_beginning_of_a_video_can_be_encoded(network: TAEHV):
    with pytest.raises(ValueError, match=r"expected 1, 5, 9, \.\.\. pixel frames to encode, .*, got 4"):
        TAEHVEncoder(network).encode(torch.zeros(1, 4, 3, 32, 48))


def test_a_fast_decoder_needs_no_diffusers(released: Path):
    code = (
        "import sys, torch; from pathlib import Path; from infrope_env.models.wan.codecs import load_decoder\n"
        "load_decoder(Path(sys.argv[1]), torch.device('cpu'), torch.float32)\n"
        "print([name for name in ('diffusers', 'av', 'pygame') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(released / "taew2_1.pth")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_tensors_that_do_not_fit_the_codec_are_named(network: TAEHV, tmp_path: Path):
    tensors = half(network)
    for change, sentence in (
        (
            {"decoder.1.weight": None},
            r"pth: does not fit TAEHV: of \d+ tensors, 1 missing \('decoder\.1\.weight'\)",
        ),
        ({"decoder.99.weight": torch.zeros(1)}, r"1 unexpected \('decoder\.99\.weight'\)"),
        (
            {"decoder.1.bias": torch.zeros(7)},
            r"1 of the wrong shape \('decoder\.1\.bias' is \(7,\), expected \(256",
        ),
    ):
        changed = {name: tensor for name, tensor in (tensors | change).items() if tensor is not None}
        torch.save(changed, tmp_path / "taew2_1.pth")
        with pytest.raises(WeightsError, match=sentence):
            load_decoder(tmp_path / "taew2_1.pth", CPU, torch.float32)


class Surprise:
    """An object whose unpickling runs code."""

    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize("name", ["taew2_1.pth", "taew2_1.safetensors"])
def test_a_truncated_file_is_refused(released: Path, tmp_path: Path, name: str):
    (tmp_path / name).write_bytes((released / "taew2_1.pth").read_bytes()[:5000])
    with pytest.raises(WeightsError, match=rf"{name}: truncated or damaged"):
        load_decoder(tmp_path / name, CPU, torch.float32)


def test_a_file_is_never_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.save({"decoder.1.weight": Surprise()}, tmp_path / "taew2_1.pth")
    with pytest.raises(WeightsError, match=r"holds more than tensors \(builtins\.print\)"):
        load_decoder(tmp_path / "taew2_1.pth", CPU, torch.float32)
    assert "executed" not in capsys.readouterr().out


def test_a_file_of_something_else_is_refused(tmp_path: Path):
    torch.save({"step": 3}, tmp_path / "taew2_1.pth")
    with pytest.raises(WeightsError, match="expected the file to hold tensors only, it holds 'step'"):
        load_decoder(tmp_path / "taew2_1.pth", CPU, torch.float32)
