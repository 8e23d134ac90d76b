"""Ablations: the harness plays like the environment, and records attention without changing it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from examples.ablations.attention_jobs import frame_map
from examples.ablations.cut_jobs import CutJob, SceneTransition
from examples.ablations.features import FeatureExtractor
from examples.ablations.harness import Harness, relative_change
from examples.ablations.shifted_layout import ShiftedLayout
from examples.ablations.switch_jobs import SwitchJob, SwitchPolicy
from examples.ablations.variant import Variant, even_steps, resized
from examples.pocket_world.evaluate.trials import EVALUATION_SEED_OFFSET
from examples.pocket_world.world.state import WorldState
from infrope_env.config import Sampler, Window
from infrope_env.dynamics.attention_mass import AttentionMap, AttentionProbe
from infrope_env.dynamics.rollout import Rollout
from infrope_env.env import InfinityRopeEnv
from tests.dynamics.small_engine import CONTINUE, CUT, START, SWITCH, prompt, small_model

WAVE = WorldState("fox", "snow", "wave", 0, 0)

# blocks


def test_the_harness_makes_the_environments_blocks_and_decodes_only_requested_frames(weights: str) -> None:
    env, harness = InfinityRopeEnv(weights=weights), Harness(Variant(weights, Window()))
    env.reset(seed=EVALUATION_SEED_OFFSET + 3, options={"subject": "fox", "scene": "snow", "motion": "wave"})
    harness.start(WAVE, seed=3)
    for number, action in enumerate(["wave"] * 6 + ["jump", "cut_city", "jump", "stand"]):
        observation = env.step(env.action_names.index(action))[0]
        harness.play(action)
        if number in (5, 6, 9):
            assert (harness.frames() == observation).all()


def test_the_harness_restores_a_saved_state_with_its_frame_buffer(weights: str) -> None:
    harness = Harness(Variant(weights, Window()))
    harness.start(WAVE, seed=0)
    for _ in range(4):
        harness.play("wave")
    saved, blocks = harness.save(), []
    for action in ("jump", "stand", "jump"):
        harness.play(action)
        blocks.append(harness.frames())
        harness.restore(saved)
    assert (blocks[0] == blocks[2]).all() and (blocks[0] != blocks[1]).any()
    assert harness.env.steering.motion == "wave"


def test_a_state_restores_under_other_rules_of_the_same_size_and_under_no_other_size(weights: str) -> None:
    variant = Variant(weights, Window(on_switch="recache"))
    start = Harness(variant)
    start.start(WAVE, seed=0)
    start.play("wave")
    other = Harness(variant.with_rules(on_switch="none", cut_coordinate=100))
    other.restore(start.save())
    other.play("jump")
    assert other.env.window.on_switch == "none"
    longer = Harness(Variant(weights, resized(variant.window, 9)))
    with pytest.raises(ValueError, match="expected the state of a rollout with this model and window"):
        longer.restore(start.save())


def test_a_change_of_scene_by_prompt_keeps_the_motion_and_does_not_cut(weights: str) -> None:
    harness = Harness(Variant(weights, Window()))
    harness.start(WAVE, seed=0)
    transitions, prompts = [], []
    harness.change_scene("city")
    for _ in range(2):
        assert harness.env.newest is not None
        info = harness.env.newest[1]
        transitions.append(info["transition"])
        prompts.append(info["prompt"])
        harness.play("wave")
    assert transitions == ["switch", "continue"]
    assert prompts == [harness.env.action_set.prompt_for("fox", "city", "wave")] * 2


def test_the_rollout_has_the_variants_steps_and_window(weights: str) -> None:
    assert even_steps(4) == (1000, 750, 500, 250) and even_steps(1) == (1000,)
    harness = Harness(Variant(weights, resized(Window(), 9, flush_context=2), even_steps(2)))
    harness.start(WAVE, seed=0)
    assert harness.passes == 3
    assert harness.rollout.window == Window(context=5, flush_context=2)


def test_absolute_coordinates_end_with_the_variants_rotary_table(weights: str) -> None:
    for length, fits in ((9, True), (8, False)):
        harness = Harness(Variant(weights, Window(coordinates="absolute"), rotary_length=length))
        harness.start(WAVE, seed=0)
        harness.play("wave")
        if fits:
            harness.play("wave")
        else:
            with pytest.raises(ValueError, match="coordinate 8 is outside the rotary table of 8"):
                harness.play("wave")


def test_policies_share_a_start_and_differ_in_passes(weights: str, extractor: FeatureExtractor) -> None:
    policies = (
        SwitchPolicy("flush", 6),
        SwitchPolicy("re-cache", 6, "recache"),
        SwitchPolicy("re-cache, longer", 9, "recache"),
    )
    job = SwitchJob(Variant(weights, Window()), 0, policies, starts=1, targets=1, lead=3, blocks=1)
    records = job.run(extractor).records
    assert [record["policy"] for record in records] == [0, 1, 2]
    assert [record["passes"] for record in records] == [5, 7, 8]  # re-caching: the sink, then its context by block


def test_transitions_to_a_scene_share_a_start_and_differ_in_the_first_block(
    weights: str, extractor: FeatureExtractor
) -> None:
    transitions = (
        SceneTransition("cut", 45),
        SceneTransition("farther", 200),
        SceneTransition("flush"),
        SceneTransition("prompt alone", on_switch="none"),
    )
    outcome = CutJob(Variant(weights, Window()), 0, transitions, starts=1, targets=1, lead=2, blocks=2).run(extractor)
    assert [record["transition"] for record in outcome.records] == [0, 1, 2, 3]
    before, *first = zip(*(outcome.arrays[str(number)] for number in range(4)), strict=True)
    assert all((frame == before[0]).all() for frame in before)
    assert len({np.asarray(frame).tobytes() for frame in first[0]}) == 4


# attention


def test_an_attention_map_shows_the_sink_the_context_and_a_flush() -> None:
    story, probe = [START, CONTINUE, CONTINUE, SWITCH, CONTINUE], AttentionProbe()
    rollout, found = Rollout(small_model(), context_hook=probe), list[AttentionMap]()
    for index, transition in enumerate(story):
        rollout.advance(prompt(sum(t in (SWITCH, CUT) for t in story[: index + 1])), transition)
        measured = probe.newest(index)
        assert measured is not None
        found.append(measured)
    assert [each.frames for each in found[2:4]] == [(0, 4, 5, 6, 7, 8), (0, 8, 9, 10, 11)]
    shares = frame_map(found)
    assert shares.shape == (15, 15)
    assert torch.allclose(shares.nan_to_num().sum(1), torch.ones(15), atol=1e-5)
    assert not shares[:, 0].isnan().any()
    assert shares[9:12].isnan().tolist() == [[f not in (0, 8, 9, 10, 11) for f in range(15)]] * 3
    sink, context = found[2].sink_share(1), found[2].context_share()
    assert sink.shape == context.shape == found[2].weights.shape[:2]
    assert (sink < context).all() and (context < 1).all()


def test_absolute_coordinates_act_only_through_the_sink() -> None:
    model = small_model(torch.float64)
    for window, acts in ((Window(), True), (Window(sink=0, context=3), False)):
        rule = ShiftedLayout()
        rollout = Rollout(model, window, Sampler(), rotary_length=2050, layout_rule=rule)
        for transition in (START, CONTINUE, CONTINUE):
            rollout.advance(prompt(0).double(), transition)
        state, made = rollout.save(), []
        for rule.shift in (0, 0, 1990):
            rollout.restore(state)
            made.append(rollout.advance(prompt(0).double(), CONTINUE).latents)
        assert relative_change(made[1], made[0]) == 0
        assert (relative_change(made[2], made[0]) > 1e-3) is acts
