"""The bundled weights: the same seed and actions make the same bytes, and frames show what the prompt names."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from examples.pocket_world.evaluate.detectors import Detectors
from infrope_env.env import InfinityRopeEnv
from infrope_env.models.world_folder import BUNDLED

ACTIONS = ("walk_right", "walk_right", "jump", "cut_snow", "wave")

pytestmark = pytest.mark.skipif(
    not (BUNDLED / "pocket" / "card.json").exists(), reason="the package has no pocket weights in it"
)


def played(env: InfinityRopeEnv) -> str:
    """Return the digest of all pixels of a short rollout."""
    digest = hashlib.sha256(env.reset(seed=11)[0].tobytes())
    for action in ACTIONS:
        digest.update(env.step(env.action_set.index(action))[0].tobytes())
    return digest.hexdigest()


def test_the_bundled_world_repeats_itself_in_a_process_and_in_another() -> None:
    env = InfinityRopeEnv(device="cpu")
    code = (
        "import torch; torch.set_num_threads(1)\n"
        "from tests.test_bundled_world import InfinityRopeEnv, played\n"
        "print(played(InfinityRopeEnv(device='cpu')))"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert played(env) == played(env) == done.stdout.strip()


def test_a_fox_walks_through_the_meadow_and_is_cut_into_the_snow() -> None:
    env, detectors = InfinityRopeEnv(device="cpu"), Detectors.load()
    env.reset(seed=12, options={"subject": "fox", "scene": "meadow"})
    for action in ("walk_right", "walk_right"):
        block = env.step(env.action_set.index(action))[0]
    assert detectors.name_subject(block) == "fox"
    assert detectors.name_scene(block) == "meadow"
    assert detectors.name_motion(block) == "walk_right"
    cut = env.step(env.action_set.index("cut_snow"))[0]
    assert detectors.name_scene(cut) == "snow"
    assert detectors.name_subject(cut) == "fox"


@pytest.mark.parametrize("cut", [False, True])
def test_a_typed_subject_replaces_the_one_in_force_and_stays(cut: bool) -> None:
    env, detectors = InfinityRopeEnv(device="cpu"), Detectors.load()
    env.reset(seed=13, options={"subject": "fox", "scene": "meadow"})
    env.set_prompt(f"a blue penguin stands still in a {'dark cave' if cut else 'green meadow'}", cut=cut)
    for action in ("stand", "stand", "jump", "walk_right"):
        block = env.step(env.action_set.index(action))[0]
        assert detectors.name_subject(block) == "penguin"
