"""A list of actions played on an action set, without an environment."""

from infrope_env.control.actions import ActionSet, Steering, Transition


def play(action_set: ActionSet, *names: str, steering: Steering | None = None) -> list[tuple[str, Transition]]:
    """Return the prompts and transitions that a list of action names leads through."""
    steering = steering or action_set.start()
    played = []
    for name in names:
        steering, transition = action_set.steer(steering, action_set.index(name))
        played.append((steering.prompt, transition))
    return played
