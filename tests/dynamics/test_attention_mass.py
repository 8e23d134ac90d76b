"""Attention mass is that of the engine's attention, costs nothing without a probe and changes nothing with one."""

import pytest
import torch

from infrope_env.config import Window
from infrope_env.dynamics import attention_mass
from infrope_env.dynamics.attention_mass import AttentionProbe, MeasuredContext, frame_weights, token_weights
from infrope_env.dynamics.cache import LayerContext
from infrope_env.dynamics.rollout import Rollout
from infrope_env.dynamics.rope import rotate
from tests.dynamics.small_engine import CONTINUE, CUT, SMALL_MODEL, START, SWITCH, play, prompt, small_model

STORY = [START, CONTINUE, CONTINUE, SWITCH, CUT, CONTINUE]
N = SMALL_MODEL.tokens_per_frame


def test_measured_weights_are_those_of_the_engines_attention() -> None:
    checked = []

    class CheckingContext(MeasuredContext):
        def attend(self, query, key, value):
            attended = super().attend(query, key, value)
            weights = token_weights(rotate(query, self.inner.rotation), self.inner.keys)
            assert torch.allclose(weights @ self.inner.values.float(), attended.float(), atol=1e-5)
            by_frame = weights.unflatten(3, (-1, N)).sum(4).unflatten(2, (self.own, N)).mean(3)
            assert torch.allclose(self.passes[-1], by_frame.mean(0), atol=1e-6)
            checked.append(weights.shape)
            return attended

    def hook(layout, visible, contexts):
        return [CheckingContext(context, len(layout.block)) for context in contexts]

    model = small_model()
    with torch.inference_mode():
        measured = play(Rollout(model, context_hook=hook), STORY)
    assert torch.equal(measured, play(Rollout(model), STORY))
    assert len(checked) >= len(STORY) * 4 * len(model.blocks)


def test_the_mass_is_of_the_denoising_passes_and_sums_to_one() -> None:
    probe, model = AttentionProbe(), small_model()
    rollout = Rollout(model, context_hook=probe)
    for index, transition in enumerate(STORY):
        made = rollout.generate(prompt(int(index > 2)), transition)
        before_commit = probe.newest(index)
        rollout.commit()
        after_commit = probe.newest(index)
        assert before_commit is not None and after_commit is not None
        assert torch.equal(before_commit.weights, after_commit.weights)
        assert before_commit.frames == (*made.visible, *range(3 * index, 3 * index + 3))
        assert sum(before_commit.mass) == pytest.approx(1, abs=1e-5)
        assert len(before_commit.mass) == len(before_commit.frames) == len(made.layout.slots) + 3


def test_a_prefilled_block_has_no_attention_mass() -> None:
    probe = AttentionProbe()
    rollout = Rollout(small_model(), context_hook=probe)
    rollout.prefill(torch.ones(1, 3, 16, 4, 6), prompt(0))
    assert probe.newest(0) is None
    rollout.advance(prompt(0), CONTINUE)
    assert probe.newest(1) is not None


def test_a_hook_comes_and_goes_between_blocks_and_changes_no_byte() -> None:
    model, latents = small_model(), []
    for measured in ((), (2, 3)):
        rollout = Rollout(model, Window())
        for index, transition in enumerate(STORY):
            rollout.context_hook = AttentionProbe() if index in measured else None
            latents.append(rollout.generate(prompt(int(index > 2)), transition).latents)
    assert all(map(torch.equal, latents[: len(STORY)], latents[len(STORY) :]))


def test_without_a_probe_the_network_gets_the_contexts_of_play() -> None:
    model = small_model()
    rollout = Rollout(model)
    with torch.inference_mode():
        block = rollout.prepare(prompt(0), START, rollout._buffers)
    assert [type(context) for context in block.contexts] == [LayerContext] * len(model.blocks)


def test_of_large_frames_evenly_spaced_tokens_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    class ComparedContext(MeasuredContext):
        def attend(self, query, key, value):
            attended = self.inner.attend(query, key, value)
            monkeypatch.setattr(attention_mass, "MOST_QUERIES", 3)
            monkeypatch.setattr(attention_mass, "WEIGHTS_AT_ONCE", 1)  # one head after the other
            weights = token_weights(rotate(query, self.inner.rotation), self.inner.keys)
            by_frame = weights.unflatten(3, (-1, N)).sum(4).unflatten(2, (self.own, N))
            compared.append((frame_weights(query, self.inner, self.own), by_frame[:, :, :, ::2].mean(3)))
            return attended

    def hook(layout, visible, contexts):
        return [ComparedContext(context, len(layout.block)) for context in contexts]

    with torch.inference_mode():
        play(Rollout(small_model(), context_hook=hook), STORY)
    assert N == 6 and compared
    assert all(torch.allclose(ours, expected, atol=1e-6) for ours, expected in compared)
