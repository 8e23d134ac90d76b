"""The action set of the world: the bundled one, with arrangements as its variations or without."""

from __future__ import annotations

from examples.pocket_world.world.arrangement import VARIATIONS
from infrope_env.control.actions import ActionSet


def action_set(arrangements: bool = False) -> dict[str, object]:
    """Return the structure of the bundled action set, for an environment's `actions`.

    Args:
        arrangements: Draw every rollout's arrangement from its seed, and name it in the prompts.
    """
    actions = ActionSet.load("pocket").to_dict()
    if not arrangements:
        return actions
    lists = [list(words) for words in VARIATIONS]
    return actions | {"template": f"{actions['template']} {{variation}}", "variations": lists}
