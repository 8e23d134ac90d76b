"""Short rollouts for tests of the environment, and the indices of the actions in them."""

import json

import gymnasium

ACTIONS = (0, 2, 2, 3, 9, 2, 7, 7, 0, 1)  # motions continued and changed, cuts to other scenes and in place
STAND, WALK_RIGHT, JUMP, WAVE, CUT_MEADOW, CUT_SNOW = 0, 2, 3, 5, 6, 8


def play(env: gymnasium.Env, actions: tuple[int, ...] = ACTIONS, seed: int = 7) -> list[tuple[bytes, str]]:
    """Return pixels and info of every block."""
    steps = [env.reset(seed=seed)] + [env.step(action)[::4] for action in actions]
    return [(observation.tobytes(), json.dumps(info)) for observation, info in steps]
