"""Passes over fixed buffers compute what the network computes, and no transition moves a buffer.

On a CPU the buffers are the same and the passes run eagerly; `tests/gpu` captures and replays them.
"""

from collections.abc import Callable, Sequence

import pytest
import torch

from infrope_env.config import Sampler, Window
from infrope_env.dynamics.batch import RolloutBatch
from infrope_env.dynamics.cache import LayerContext
from infrope_env.dynamics.coordinates import Layout
from infrope_env.dynamics.graphs import FixedInputs, GraphedNetwork
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.transformer import CausalWanTransformer
from tests.dynamics.small_engine import CONTINUE, CUT, SMALL_MODEL, START, SWITCH, play, prompt, small_model

PLAY = [START, CONTINUE, CONTINUE, SWITCH, SWITCH, CONTINUE, CUT, CUT, CONTINUE, CONTINUE]
LATENTS = torch.ones(1, 3, SMALL_MODEL.latent_channels, *SMALL_MODEL.latent_size)


@pytest.fixture(scope="module")
def model() -> CausalWanTransformer:
    return small_model()


def graphed(model: CausalWanTransformer, window: Window | None = None, **options: object) -> Rollout:
    rollout = Rollout(model, window or Window(), **options)  # type: ignore[arg-type]
    rollout.network = GraphedNetwork(model)
    return rollout


def addresses(rollout: Rollout) -> dict[tuple[object, ...], tuple[int, ...]]:
    assert isinstance(rollout.network, GraphedNetwork)
    return rollout.network.addresses()


@pytest.mark.parametrize("window", [Window(), Window.from_size(9), Window(on_switch="recache"), Window.release()])
def test_fixed_buffers_give_the_same_bytes_in_every_kind_of_block(window: Window) -> None:
    for prediction_model in (small_model(), small_model(seed=1)):
        expected = play(Rollout(prediction_model, window), PLAY)
        assert torch.equal(play(graphed(prediction_model, window), PLAY), expected)


def test_a_first_block_with_steps_of_its_own_has_its_own_modulations(model: CausalWanTransformer) -> None:
    sampler = Sampler(steps=(1000, 500), first_steps=(1000, 750, 500))
    expected = play(Rollout(model, Window(), sampler), PLAY)
    assert torch.equal(play(graphed(model, sampler=sampler), PLAY), expected)


def test_each_context_length_has_one_pass_to_denoise_and_one_to_commit(model: CausalWanTransformer) -> None:
    rollout = graphed(model)
    play(rollout, PLAY)
    assert len(addresses(rollout)) == 2 * 3  # 0, 2 and 3 context frames


def test_addresses_stay_over_continue_flush_cut_reset_and_restore(model: CausalWanTransformer) -> None:
    rollout = graphed(model)
    play(rollout, PLAY)
    known = addresses(rollout)
    assert all(known.values())
    state = rollout.save()
    play(rollout, [SWITCH, CUT, CONTINUE, CONTINUE], first_prompt=5)
    assert addresses(rollout) == known
    rollout.restore(state)
    play(rollout, [CONTINUE, SWITCH, CONTINUE], first_prompt=9)
    assert addresses(rollout) == known
    rollout.reset(seed=4)
    rollout.prefill(LATENTS, prompt(2))
    play(rollout, PLAY[1:])
    assert addresses(rollout) == known
    again = graphed(model)
    again.reset(seed=4)
    again.prefill(LATENTS, prompt(2))
    rollout.reset(seed=4)
    rollout.prefill(LATENTS, prompt(2))
    assert torch.equal(play(rollout, PLAY[1:]), play(again, PLAY[1:]))


def test_what_a_pass_reads_is_in_its_buffers_alone(model: CausalWanTransformer) -> None:
    """The caller's tensors may be freed or overwritten before a replay, so nothing of it may be read."""
    seen: list[set[int]] = []

    class Watched:
        def __call__(self, latents, time, text, contexts):  # type: ignore[no-untyped-def]
            tensors = [latents, time.head, time.layers, *(each for pair in text for each in pair)]
            tensors += [each for context in contexts for each in context.rotation]
            seen.append({tensor.data_ptr() for tensor in tensors})
            return model(latents, time, text, contexts)

        def update_cache(self, *arguments):  # type: ignore[no-untyped-def]
            return model.update_cache(*arguments)

    rollout = Rollout(model, Window())
    rollout.network = GraphedNetwork(Watched())
    play(rollout, PLAY)
    assert len(seen) == 4 * len(PLAY) and all(each == seen[0] for each in seen)


def test_a_prompt_is_copied_again_after_an_interrupted_copy(
    model: CausalWanTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = Rollout(model, Window())
    time, rotation = rollout.commit_modulation, rollout.rotary_table.at((0, 1, 2))
    old, new = model.project_text(prompt(0)), model.project_text(prompt(1))
    inputs = FixedInputs(LATENTS, time, old, rotation)
    inputs.load(LATENTS, time, old, rotation)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(torch.Tensor, "copy_", copy_or_interrupt_after(7))  # 5 small ones and half of a prompt
        inputs.load(LATENTS, time, new, rotation)
    inputs.load(LATENTS, time, old, rotation)
    for (key, value), (old_key, old_value) in zip(inputs.text, old, strict=True):
        assert torch.equal(key, old_key) and torch.equal(value, old_value)


def copy_or_interrupt_after(calls: int) -> Callable[..., torch.Tensor]:
    copy, left = torch.Tensor.copy_, iter(range(calls))

    def copy_or_interrupt(self: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return copy(self, source)

    return copy_or_interrupt


def test_contexts_that_are_not_of_play_go_to_the_network_itself(model: CausalWanTransformer) -> None:
    class Watched:
        def __init__(self, inner: LayerContext) -> None:
            self.attend, self.write_kv = inner.attend, inner.write_kv

    def hook(layout: Layout, visible: tuple[int, ...], contexts: list[LayerContext]) -> Sequence[Watched]:
        return [Watched(context) for context in contexts]

    rollout = graphed(model, context_hook=hook)
    assert torch.equal(play(rollout, PLAY), play(Rollout(model, Window()), PLAY))
    assert not addresses(rollout)


def test_a_batch_of_graphed_rollouts_is_computed_by_the_model(model: CausalWanTransformer) -> None:
    batches = [RolloutBatch([make(model) for _ in range(2)]) for make in (graphed, Rollout)]
    for transition in (START, CONTINUE, SWITCH):
        made = [batch.generate({row: (prompt(row), transition) for row in range(2)}) for batch in batches]
        assert all(torch.equal(made[0][row].latents, made[1][row].latents) for row in range(2))
