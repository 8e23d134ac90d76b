"""A generator in 8-bit integers agrees with float32 to its rounding, in every kind of block, and never elsewhere."""

import copy
import pickle

import pytest
import torch

from infrope_env.config import Window
from infrope_env.dynamics.cache import LayerContext
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.transformer import CausalWanTransformer
from infrope_env.models import int8
from infrope_env.models.int8 import LARGEST_WEIGHT_OF_PAIRS, largest_weight, round_rows
from infrope_env.models.int8_transformer import Int8Transformer
from tests.dynamics.small_engine import CONTINUE, CUT, SMALL_MODEL, START, SWITCH, play, prompt, small_model

pytest.importorskip("onnxruntime", reason="needs the extra 'int8'")
pytest.importorskip("onnx", reason="needs the extra 'int8'")

PLAY = [START, CONTINUE, CONTINUE, SWITCH, CUT, CONTINUE]


def rounded(model: CausalWanTransformer) -> Int8Transformer:
    made = Int8Transformer(model.config).eval().requires_grad_(False)
    made.load_state_dict(model.state_dict())
    return made


def error(exact: torch.Tensor, other: torch.Tensor) -> float:
    return float((exact - other).norm() / exact.norm())


@pytest.fixture(scope="module")
def pair() -> tuple[CausalWanTransformer, Int8Transformer]:
    exact = small_model()
    return exact, rounded(exact)


def test_every_kind_of_block_is_off_by_its_rounding_only(pair: tuple[CausalWanTransformer, Int8Transformer]) -> None:
    """Random weights that attention amplifies; the bundled model's latents differ by 3 %."""
    exact, other = (play(Rollout(model, Window()), PLAY) for model in pair)
    for a, b in zip(exact.split(3, dim=1), other.split(3, dim=1), strict=True):
        assert 1e-4 < error(a, b) < 0.15


def test_the_commit_pass_writes_keys_and_values_off_by_their_rounding_only(
    pair: tuple[CausalWanTransformer, Int8Transformer],
) -> None:
    caches = []
    for model in pair:
        rollout = Rollout(model, Window())
        rollout.reset(seed=0)
        rollout.prefill(torch.ones(1, 6, SMALL_MODEL.latent_channels, *SMALL_MODEL.latent_size), prompt(0))
        caches.append(rollout.cache)
    assert caches[0].slot_of == caches[1].slot_of
    assert 1e-5 < error(caches[0].keys, caches[1].keys) < 0.1
    assert 1e-5 < error(caches[0].values, caches[1].values) < 0.1


def test_a_block_does_not_read_what_an_earlier_pass_left_behind_its_context(
    pair: tuple[CausalWanTransformer, Int8Transformer],
) -> None:
    first = play(Rollout(pair[1], Window()), PLAY)
    rollout = Rollout(pair[1], Window())
    rollout._buffers._keys.fill_(1e3)
    rollout._buffers._values.fill_(1e3)
    assert torch.equal(play(rollout, PLAY), first)


def test_contexts_that_see_every_layers_attention_get_float32(
    pair: tuple[CausalWanTransformer, Int8Transformer],
) -> None:
    class Watched:
        def __init__(self, inner: LayerContext) -> None:
            self.attend, self.write_kv = inner.attend, inner.write_kv

    def hook(layout: object, visible: object, contexts: list[LayerContext]) -> list[Watched]:
        return [Watched(context) for context in contexts]

    exact, other = (play(Rollout(model, Window(), context_hook=hook), PLAY) for model in pair)
    assert torch.equal(exact, other)


def test_a_copy_makes_a_graph_of_its_own(pair: tuple[CausalWanTransformer, Int8Transformer]) -> None:
    expected = play(Rollout(pair[1], Window()), PLAY[:2])
    for copied in (copy.deepcopy(pair[1]), pickle.loads(pickle.dumps(pair[1]))):
        assert torch.equal(play(Rollout(copied, Window()), PLAY[:2]), expected)


@pytest.mark.parametrize("largest", [127, LARGEST_WEIGHT_OF_PAIRS])
def test_the_largest_number_of_a_row_takes_the_whole_range(largest: int) -> None:
    rows = torch.tensor([[0.5, -2.0, 1.0], [3e-5, 0.0, -1e-5], [0.0, 0.0, 0.0]])
    integers, scales = round_rows(rows, largest)
    assert integers.abs().amax(1).tolist() == [largest, largest, 0]
    assert torch.allclose(integers * scales, rows, rtol=0.02)


def test_weights_are_smaller_where_pairs_of_products_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def added_in_16_bits(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """As instruction vpmaddubsw does: inputs get 128 added to be unsigned, and pairs of products are saturated."""
        products = (a.int() + 128).unsqueeze(2) * b.int()  # rows inner columns
        pairs = products.unflatten(1, (-1, 2)).sum(2).clamp(-(2**15), 2**15 - 1)
        return pairs.sum(1).int() - 128 * b.int().sum(0)

    monkeypatch.setattr(torch, "_int_mm", added_in_16_bits)
    monkeypatch.setattr(int8, "LARGEST_WEIGHT_OF_PAIRS", 64)
    assert largest_weight.__wrapped__() == 64
    most, largest = torch.full((8, 64), 127, dtype=torch.int8), torch.full((64, 8), 63, dtype=torch.int8)
    assert (torch._int_mm(most, largest) == 64 * 127 * 63).all()
