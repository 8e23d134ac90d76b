"""8-bit integers: sums are exact, so a layer is off by its two roundings only, each token by its own."""

import pytest
import torch
from torch import nn

from infrope_env.config import Sampler, Window
from infrope_env.dynamics import int8
from infrope_env.dynamics.int8 import Int8Linear, largest_weight, round_linears, round_rows
from infrope_env.dynamics.rollout import Rollout
from tests.dynamics.small_engine import CONTINUE, CUT, START, SWITCH, prompt, small_model


def linear(inputs: int, outputs: int, seed: int = 0) -> nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Linear(inputs, outputs).requires_grad_(False)


def integers(rows: int, columns: int, largest: int) -> torch.Tensor:
    """Whole numbers whose rows all reach the largest one, so that rounding changes none."""
    drawn = torch.randint(-largest, largest + 1, (rows, columns), generator=torch.Generator().manual_seed(rows))
    drawn[:, 0] = largest
    return drawn.float()


def test_sums_of_whole_numbers_are_exact():
    layer, x = linear(64, 48), integers(30, 64, 127)
    layer.weight.copy_(integers(48, 64, int8.largest_weight()))
    exact = x.double() @ layer.weight.double().t() + layer.bias.double()
    assert torch.allclose(Int8Linear(layer)(x).double(), exact, rtol=1e-6)


def test_a_layer_is_off_by_two_percent_at_most():
    layer, x = linear(384, 128), torch.randn(2, 60, 384, generator=torch.Generator().manual_seed(0))
    exact, rounded = layer(x) - layer.bias, Int8Linear(layer)(x) - layer.bias
    assert rounded.shape == exact.shape
    assert 1e-4 < float((rounded - exact).norm() / exact.norm()) < 0.02


def test_a_large_token_costs_the_others_no_precision():
    layer, x = Int8Linear(linear(64, 48)), torch.randn(10, 64, generator=torch.Generator().manual_seed(0))
    with_outlier = torch.cat((x, torch.full((1, 64), 1e6)))
    assert torch.equal(layer(with_outlier)[:10], layer(x))


def test_zeros_give_the_bias_and_the_dtype_stays():
    layer = linear(64, 48)
    assert torch.equal(Int8Linear(layer)(torch.zeros(3, 64)), layer.bias.expand(3, -1))
    assert Int8Linear(layer)(torch.ones(3, 64, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("largest", [127, 63])
def test_the_largest_number_of_a_row_takes_the_whole_range(largest: int):
    rounded, scales = round_rows(torch.tensor([[0.5, -2.0, 1.0], [3e-5, 0.0, -1e-5]]), largest)
    assert rounded.abs().amax(1).tolist() == [largest, largest]
    assert torch.allclose(rounded * scales, torch.tensor([[0.5, -2.0, 1.0], [3e-5, 0.0, -1e-5]]), rtol=0.02)


def test_weights_are_smaller_where_pairs_of_products_are_cut_off(monkeypatch: pytest.MonkeyPatch):
    def added_in_16_bits(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """As instruction vpmaddubsw does: inputs get 128 added to be unsigned, and pairs of products are saturated."""
        products = (a.int() + 128).unsqueeze(2) * b.int()  # rows inner columns
        pairs = products.unflatten(1, (-1, 2)).sum(2).clamp(-(2**15), 2**15 - 1)
        return pairs.sum(1).int() - 128 * b.int().sum(0)

    monkeypatch.setattr(torch, "_int_mm", added_in_16_bits)
    monkeypatch.setattr(int8, "largest_weight", largest_weight.__wrapped__)
    assert int8.largest_weight() == 63
    test_sums_of_whole_numbers_are_exact()


def test_a_rounded_transformer_plays_as_before_within_its_error():
    """Random weights that attention amplifies; the bundled model's latents differ by 2.6 %."""
    exact, rounded = small_model(), round_linears(small_model())
    blocks = []
    for model in (exact, rounded):
        rollout = Rollout(model, Window(), Sampler())
        rollout.reset(seed=1)
        blocks.append([rollout.advance(prompt(n % 2), each) for n, each in enumerate((START, CONTINUE, SWITCH, CUT))])
    for a, b in zip(*blocks, strict=True):
        assert a.layout == b.layout
        assert 1e-5 < float((a.latents - b.latents).norm() / a.latents.norm()) < 0.15


def test_layers_that_run_once_per_prompt_stay_as_they_are():
    model = round_linears(small_model())
    rounded = {name for name, layer in model.blocks[0].named_modules() if isinstance(layer, Int8Linear)}
    assert rounded == {*(f"self_attn.{name}" for name in "qkvo"), "cross_attn.q", "cross_attn.o", "ffn.0", "ffn.2"}
    assert not any(
        isinstance(layer, Int8Linear) for layer in (*model.text_embedding, *model.time_embedding, model.head)
    )
