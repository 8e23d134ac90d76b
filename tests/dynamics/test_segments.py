"""The transformer cut at its self-attentions computes what the whole one does, whatever the context."""

import pytest
import torch

from infrope_env.config import Window
from infrope_env.control.actions import Transition
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.segments import SegmentedTransformer, cut_into_segments
from infrope_env.dynamics.transformer import CausalWanTransformer
from tests.dynamics.small_engine import SMALL_MODEL, prompt, small_model

START, CONTINUE, SWITCH, CUT = Transition.START, Transition.CONTINUE, Transition.SWITCH, Transition.CUT
STORY = (START, CONTINUE, CONTINUE, SWITCH, CUT, CONTINUE)


@pytest.fixture(scope="module")
def model() -> CausalWanTransformer:
    return small_model()


def segmented(model: CausalWanTransformer) -> SegmentedTransformer:
    return SegmentedTransformer(cut_into_segments(model), SMALL_MODEL.num_heads)


def play(rollout: Rollout) -> list[torch.Tensor]:
    """Latents of a story with every transition."""
    return [rollout.advance(prompt(index // 3), transition).latents for index, transition in enumerate(STORY)]


@pytest.mark.parametrize("on_switch", ["flush", "recache"])
def test_segments_give_the_bytes_of_the_whole_transformer(model: CausalWanTransformer, on_switch: str) -> None:
    whole, cut = (Rollout(model, Window(on_switch=on_switch)) for _ in range(2))
    cut.network = segmented(model)
    for expected, latents in zip(play(whole), play(cut), strict=True):
        assert torch.equal(expected, latents)


class Counting:
    """A network that counts its passes."""

    def __init__(self, model: CausalWanTransformer) -> None:
        self.inner, self.passes, self.commits = segmented(model), 0, 0

    def __call__(self, *arguments):
        self.passes += 1
        return self.inner(*arguments)

    def update_cache(self, *arguments):
        self.commits += 1
        self.inner.update_cache(*arguments)


def test_a_block_is_committed_by_the_network_that_denoised_it(model: CausalWanTransformer) -> None:
    rollout, other = Rollout(model), Counting(model)
    rollout.generate(prompt(0), START)
    rollout.network = other
    rollout.commit()
    assert (other.passes, other.commits) == (0, 0)
    rollout.generate(prompt(0), CONTINUE)
    rollout.network = model
    rollout.generate(prompt(0), CONTINUE)
    assert (other.passes, other.commits) == (4, 1)
