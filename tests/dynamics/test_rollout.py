"""The rollout: its denoising passes, its cache, its saved states and its noise."""

import pytest
import torch

from infrope_env.config import Window
from infrope_env.dynamics.noise import seeded_noise
from infrope_env.dynamics.rollout import Rollout
from tests.dynamics.small_engine import CONTINUE, CUT, SMALL_MODEL, START, SWITCH, play, prompt, small_model

STORY = [START, CONTINUE, SWITCH, CONTINUE, CONTINUE, CUT, CONTINUE, SWITCH, SWITCH, CONTINUE]
WINDOWS = [Window(), Window.from_size(12, sink=3), Window.from_size(12, sink=0), Window.paper(), Window(block=1)]


@pytest.fixture(scope="module")
def model():
    return small_model()


def _recorded(model, monkeypatch) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return a list that collects (noisy latents, velocity) of every denoising pass from now on."""
    passes, forward = [], type(model).forward

    def record(noisy, *others):
        passes.append((noisy, forward(model, noisy, *others)))
        return passes[-1][1]

    monkeypatch.setattr(model, "forward", record)
    return passes


def _poison(rollout: Rollout) -> None:
    """Fill every free slot and every buffer with nan."""
    for slot in set(range(rollout.window.size)) - set(rollout.cache.slots):
        rollout.cache.keys[:, :, :, slot] = rollout.cache.values[:, :, :, slot] = torch.nan
    for buffer in (rollout._buffers._keys, rollout._buffers._values, rollout._buffers.fresh_keys):
        buffer.fill_(torch.nan)


def test_four_passes_denoise_the_blocks_noise_to_its_latents(model, monkeypatch):
    passes = _recorded(model, monkeypatch)
    block = Rollout(model).advance(prompt(0), START)
    noise = seeded_noise(0, 0, (4, 1, 3, 16, 4, 6))
    assert torch.equal(passes[0][0], noise[0])
    sigmas = (1.0, 0.9375, 0.8333333, 0.625)
    for step, (noisy, velocity) in enumerate(passes):
        clean = noisy - sigmas[step] * velocity
        if step == 3:
            assert torch.allclose(block.latents, clean, atol=1e-5)
        else:
            expected = (1 - sigmas[step + 1]) * clean + sigmas[step + 1] * noise[step + 1]
            assert torch.allclose(passes[step + 1][0], expected, atol=1e-5)


def test_a_block_has_its_index_transition_layout_and_latents(model):
    rollout = Rollout(model)
    blocks = [rollout.advance(prompt(0), transition) for transition in (START, CONTINUE, CUT, CONTINUE)]
    assert [block.index for block in blocks] == [0, 1, 2, 3]
    assert [block.transition for block in blocks] == [START, CONTINUE, CUT, CONTINUE]
    assert [block.layout.block for block in blocks] == [(0, 1, 2), (3, 4, 5), (45, 46, 47), (3, 4, 5)]
    assert all(block.latents.shape == (1, 3, 16, 4, 6) for block in blocks)
    assert rollout.cache.frame_ids == (0, 7, 8, 9, 10, 11)
    assert rollout.timings.keys() == {"denoise_s", "commit_s"}


@pytest.mark.parametrize("window", WINDOWS)
def test_free_slots_and_old_buffers_are_never_read(model, window):
    clean = play(Rollout(model, window), STORY)
    rollout, latents = Rollout(model, window), []
    for index, transition in enumerate(STORY):
        _poison(rollout)
        embedding = prompt(sum(t in (SWITCH, CUT) for t in STORY[: index + 1]))
        latents.append(rollout.advance(embedding, transition).latents)
    assert torch.equal(torch.cat(latents, dim=1), clean)


def test_context_keys_are_the_same_in_every_pass(model, monkeypatch):
    rollout, passes = Rollout(model), []
    play(rollout, STORY[:3])
    forward = type(model).forward

    def record(noisy, time, text, contexts):
        passes.append([context.keys[:, :, : -3 * SMALL_MODEL.tokens_per_frame].clone() for context in contexts])
        return forward(model, noisy, time, text, contexts)

    monkeypatch.setattr(model, "forward", record)
    rollout.advance(prompt(0), CONTINUE)
    assert len(passes) == 4
    for layer in range(SMALL_MODEL.num_layers):
        assert passes[0][layer].shape[2] == 3 * SMALL_MODEL.tokens_per_frame
        assert all(torch.equal(passes[0][layer], later[layer]) for later in passes[1:])


@pytest.mark.parametrize("transition", [SWITCH, CUT])
@pytest.mark.parametrize("when", [1, 2, 5])
def test_a_flush_takes_effect_in_the_same_block(model, transition, when):
    flushed = play(Rollout(model), [*STORY[:1], *[CONTINUE] * (when - 1), transition])
    ignored = Rollout(model, Window(on_switch="none"))
    play(ignored, [*STORY[:1], *[CONTINUE] * (when - 1)])
    same_text = ignored.advance(prompt(1), SWITCH).latents
    assert not torch.equal(flushed[:, -3:], same_text)
    assert torch.isfinite(flushed).all()


def test_a_restored_state_continues_bit_for_bit_any_number_of_times(model):
    rollout = Rollout(model, Window.from_size(12))
    play(rollout, STORY[:5])
    state = rollout.save()
    first = play(rollout, STORY[5:], first_prompt=1)
    rollout.restore(state)
    assert torch.equal(play(rollout, STORY[5:], first_prompt=1), first)
    other = Rollout(model, Window.from_size(12))
    other.reset(seed=8)
    other.restore(state)
    assert torch.equal(play(other, STORY[5:], first_prompt=1), first)


def test_branches_of_one_state_agree_until_their_transitions_differ(model):
    rollout = Rollout(model)
    play(rollout, STORY[:3])
    state = rollout.save()
    one = play(rollout, [CONTINUE, CONTINUE, SWITCH])
    rollout.restore(state)
    other = play(rollout, [CONTINUE, CONTINUE, CUT])
    assert torch.equal(one[:, :6], other[:, :6])
    assert not torch.equal(one[:, 6:], other[:, 6:])


def test_a_state_of_another_window_is_refused_and_nothing_is_lost(model):
    rollout = Rollout(model)
    play(rollout, STORY[:2])
    before = rollout.save()
    with pytest.raises(ValueError, match="expected the state of a rollout with this model and window"):
        rollout.restore(Rollout(model, Window.from_size(12)).save())
    assert rollout.cache.frame_ids == tuple(before.slot_of)


def test_noise_depends_on_seed_and_block_only(model):
    shape = (4, 1, 3, 16, 4, 6)
    assert torch.equal(seeded_noise(7, 3, shape), seeded_noise(7, 3, shape))
    drawn = [seeded_noise(seed, block, shape) for seed, block in ((7, 3), (7, 4), (8, 3), (3, 7))]
    assert len({noise.sum().item() for noise in drawn}) == 4
    assert abs(drawn[0].mean().item()) < 0.1
    torch.manual_seed(0)
    one = play(Rollout(model), STORY)
    torch.manual_seed(1)
    torch.randn(5)
    assert torch.equal(play(Rollout(model), STORY), one)


def test_seeds_make_different_rollouts(model):
    rollout = Rollout(model)
    one = play(rollout, STORY[:2])
    rollout.reset(seed=1)
    assert not torch.allclose(play(rollout, STORY[:2]), one)


def test_two_rollouts_on_one_model_do_not_mix(model):
    alone = play(Rollout(model), STORY)
    one, other, latents = Rollout(model), Rollout(model, Window.from_size(12)), []
    for index, transition in enumerate(STORY):
        embedding = prompt(sum(t in (SWITCH, CUT) for t in STORY[: index + 1]))
        latents.append(one.advance(embedding, transition).latents)
        other.advance(prompt(99), CONTINUE)
    assert torch.equal(torch.cat(latents, dim=1), alone)


def test_a_reset_rollout_is_a_new_one(model):
    rollout = Rollout(model)
    first = play(rollout, STORY)
    rollout.reset(seed=0)
    assert torch.equal(play(rollout, STORY), first)


def test_a_reset_uses_weights_that_changed_since_the_last_reset():
    model, embedding = small_model(), prompt(0)
    rollout = Rollout(model)
    rollout.advance(embedding, START)
    model.load_state_dict(small_model(seed=1).state_dict())
    rollout.reset(seed=0)
    fresh = Rollout(small_model(seed=1)).advance(embedding, START).latents
    assert torch.equal(rollout.advance(embedding, START).latents, fresh)


def test_text_is_projected_once_per_prompt_and_timesteps_once_per_reset(model, monkeypatch):
    calls = {"project_text": 0, "modulate": 0}
    for name in calls:
        monkeypatch.setattr(model, name, _counted(model, name, calls))
    rollout = Rollout(model)
    play(rollout, [START, CONTINUE, CONTINUE, SWITCH, CONTINUE, CUT, CONTINUE])
    assert calls == {"project_text": 3, "modulate": 5}


def _counted(model, name, calls):
    method = getattr(model, name)

    def count(*arguments):
        calls[name] += 1
        return method(*arguments)

    return count


def test_another_prompt_changes_the_block_even_without_a_flush(model):
    latents = []
    for text in (0, 1):
        rollout = Rollout(model, Window(on_switch="none"))
        rollout.advance(prompt(0), START)
        latents.append(rollout.advance(prompt(text), SWITCH).latents)
    assert not torch.allclose(*latents, atol=1e-3)


def test_an_interrupted_block_leaves_the_rollout_as_it_was(model, monkeypatch):
    rollout, undisturbed = Rollout(model), Rollout(model)
    for each in (rollout, undisturbed):
        play(each, STORY[:3])
    with monkeypatch.context() as patch:
        patch.setattr(model, "update_cache", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            rollout.advance(prompt(9), CUT)
    assert torch.equal(play(rollout, [CONTINUE, SWITCH]), play(undisturbed, [CONTINUE, SWITCH]))


def _interrupt(*_):
    raise KeyboardInterrupt


def test_absolute_coordinates_end_with_the_table_and_the_error_names_the_other_rules(model):
    rollout = Rollout(model, Window(coordinates="absolute"))
    rollout.next_frame = 1023
    rollout.cache.store((1022,), *torch.zeros(2, 2, 1, 4, 6, 12))
    with pytest.raises(ValueError, match="use coordinates='rank' or 'onset' for longer rollouts"):
        rollout.advance(prompt(0), CONTINUE)


def test_prefilled_latents_are_cached_like_generated_ones(model):
    generated, prefilled = Rollout(model), Rollout(model)
    latents = play(generated, [START, CONTINUE, CONTINUE])
    prefilled.prefill(latents, prompt(0))
    assert prefilled.cache.frame_ids == generated.cache.frame_ids
    assert torch.equal(prefilled.cache.keys, generated.cache.keys)
    assert torch.equal(prefilled.cache.values, generated.cache.values)
    assert prefilled.next_block == generated.next_block == 3
    assert torch.equal(prefilled.advance(prompt(0), CONTINUE).latents, generated.advance(prompt(0), CONTINUE).latents)


@pytest.mark.parametrize("shape", [(1, 4, 16, 4, 6), (1, 2, 16, 4, 6), (2, 3, 16, 4, 6), (3, 16, 4, 6)])
def test_latents_of_another_shape_are_refused(model, shape):
    with pytest.raises(ValueError, match=r"expected latents of shape \(1, 3, 16, 4, 6\)"):
        Rollout(model).prefill(torch.zeros(shape), prompt(0))


@pytest.mark.parametrize("shape", [(2, 8, 16), (1, 7, 16), (8, 16)])
def test_an_embedding_of_another_shape_is_refused(model, shape):
    with pytest.raises(ValueError, match=r"expected embedding of shape \(1, 8, 16\), got"):
        Rollout(model).advance(torch.zeros(shape), START)
