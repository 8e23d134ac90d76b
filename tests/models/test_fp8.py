"""Rounding to 8-bit floats against float64, products of rounded rows, and a generator that is made of them."""

import copy

import pytest
import torch
from torch import nn

from infrope_env.config import ModelConfig, Window
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.models import options
from infrope_env.models.fp8 import FP8, LARGEST, Fp8Linear, round_rows, round_to_fp8
from infrope_env.models.options import LoadOptions
from infrope_env.models.resolve import load_model
from tests.dynamics.small_engine import CONTINUE, CUT, START, SWITCH, small_model

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def multiplies_here() -> bool:
    one = torch.ones(16, 16).to(FP8)
    scales = torch.ones(16, 1), torch.ones(1, 16)
    try:
        torch._scaled_mm(one, one.t(), scale_a=scales[0], scale_b=scales[1], out_dtype=torch.bfloat16)
    except (RuntimeError, ValueError, NotImplementedError):
        return False
    return True


needs_products = pytest.mark.skipif(not multiplies_here(), reason="this torch has no such products on a CPU")


def exact_numbers(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Values of rounded rows, and their scales, in float64."""
    rounded, scales = round_rows(rows)
    return rounded.double() * scales.double(), scales.double()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_number_is_rounded_to_the_nearest_of_four_bits(dtype: torch.dtype) -> None:
    rows = (normal(64, 256) * 10 ** torch.linspace(-6, 6, 64)[:, None]).to(dtype)
    values, scales = exact_numbers(rows)
    difference = (values - rows.double()).abs()
    half_a_step = torch.maximum(rows.double().abs() / 16, scales * 2.0**-10)  # below 2**-6 steps are equal
    assert (difference <= half_a_step * (1 + 1e-5)).all()
    assert 0.01 < float((values - rows.double()).norm() / rows.double().norm()) < 0.04


def test_the_largest_number_of_a_row_takes_the_whole_range_and_zeros_stay() -> None:
    rows = torch.tensor([[0.5, -2.0, 1.0], [3e-5, 0.0, -1e-5], [0.0, 0.0, 0.0], [3e38, -3e38, 1.0]])
    rounded, scales = round_rows(rows)
    assert rounded.float().abs().amax(1).tolist() == [LARGEST, LARGEST, 0, LARGEST]
    assert scales.dtype == torch.float32 and scales.shape == (4, 1)
    assert rounded.float().isfinite().all() and scales.isfinite().all()


@needs_products
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_multiplies_its_rounded_rows_as_float64_does(bias: bool) -> None:
    """Each row of tokens and each output differs in size: a scale in the wrong place would be off by far."""
    layer = nn.Linear(64, 48, bias=bias)
    layer.weight.data = normal(48, 64) * 10 ** torch.linspace(-2, 2, 48)[:, None]
    layer.to(torch.bfloat16)
    x = (normal(2, 10, 64, seed=1) * 10 ** torch.linspace(-2, 2, 10)[:, None]).to(torch.bfloat16)
    y = Fp8Linear(layer)(x)
    weight, tokens = exact_numbers(layer.weight.data)[0], exact_numbers(x.flatten(0, 1))[0]
    expected = (tokens @ weight.t()).unflatten(0, (2, 10))
    expected = expected + layer.bias.double() if bias else expected
    size = x.double().norm(dim=-1, keepdim=True) * layer.weight.double().norm(dim=1)
    assert y.dtype == torch.bfloat16 and y.shape == (2, 10, 48)
    assert ((y.double() - expected).abs() <= 2**-8 * expected.abs() + 1e-3 * size).all()


@needs_products
def test_a_layer_is_within_four_percent_of_the_exact_one_whatever_the_size_of_a_row() -> None:
    layer = nn.Linear(512, 256).to(torch.bfloat16)
    x = (normal(1, 32, 512) * 10 ** torch.linspace(-3, 3, 32)[:, None]).to(torch.bfloat16)
    exact = x.double() @ layer.weight.double().t()
    layer.bias.data.zero_()
    errors = ((Fp8Linear(layer)(x).double() - exact).norm(dim=-1) / exact.norm(dim=-1)).detach()
    assert float(errors.min()) > 0.01 and float(errors.max()) < 0.06
    assert float(errors.mean()) < 0.04


def test_only_the_large_layers_of_a_generator_are_rounded() -> None:
    model = small_model(torch.bfloat16)
    exact = copy.deepcopy(model)
    round_to_fp8(model)
    rounded = {name for name, module in model.named_modules() if isinstance(module, Fp8Linear)}
    names = ["self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "cross_attn.q", "cross_attn.o"]
    assert rounded == {f"blocks.{i}.{name}" for i in range(2) for name in (*names, "ffn.0", "ffn.2")}
    kept = {name: p for name, p in model.named_parameters() if p.dtype == torch.bfloat16}
    assert all(torch.equal(p, exact.get_parameter(name)) for name, p in kept.items())
    sizes = [sum(p.nbytes for p in each.blocks.parameters()) for each in (model, exact)]
    assert sizes[0] < 0.7 * sizes[1]  # keys and values of the text stay


def test_layers_of_other_sizes_stay_as_they_are() -> None:
    model = CausalWanTransformer(ModelConfig(dim=40, ffn_dim=72, num_heads=2, num_layers=1, latent_size=(4, 6)))
    round_to_fp8(model)
    assert not any(isinstance(module, Fp8Linear) for module in model.modules())


@needs_products
def test_a_rollout_in_fp8_is_off_by_its_rounding_only() -> None:
    from tests.dynamics.small_engine import prompt

    exact, rounded = small_model(torch.bfloat16), small_model(torch.bfloat16)
    round_to_fp8(rounded)
    rollouts = [Rollout(model, Window()) for model in (exact, rounded)]
    for index, transition in enumerate((START, CONTINUE, SWITCH, CUT)):
        a, b = (rollout.advance(prompt(index).bfloat16(), transition).latents.float() for rollout in rollouts)
        assert 1e-3 < float((a - b).norm() / a.norm()) < 0.25  # random weights that attention amplifies


def test_without_a_gpu_that_multiplies_them_one_sentence_says_so(tiny_weights, monkeypatch) -> None:
    with pytest.raises(ValueError, match=r"precision='fp8' needs a GPU with 8-bit floats .* which device 'cpu' is not"):
        load_model(tiny_weights, LoadOptions(precision="fp8", device="cpu"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GeForce RTX 3090")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    with pytest.raises(ValueError, match="which GeForce RTX 3090 is not"):
        LoadOptions(precision="fp8").precision_on(CUDA, torch.bfloat16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert LoadOptions(precision="fp8").precision_on(CUDA, torch.bfloat16) == "fp8"
    with pytest.raises(ValueError, match="precision='fp8' is for a generator in bfloat16"):
        LoadOptions(precision="fp8").precision_on(CUDA, torch.float16)


@needs_products
def test_a_world_folder_is_loaded_in_fp8(tiny_weights, monkeypatch) -> None:
    monkeypatch.setattr(options, "multiplies_fp8", lambda device: True)
    chosen = LoadOptions(precision="fp8", device="cpu", dtype="bfloat16")
    model, plain = load_model(tiny_weights, chosen), load_model(tiny_weights, LoadOptions(device="cpu"))
    assert (model.precision, plain.precision) == ("fp8", "float")
    assert any(isinstance(module, Fp8Linear) for module in model.transformer.modules())
    assert not any(isinstance(module, Fp8Linear) for module in plain.transformer.modules())
