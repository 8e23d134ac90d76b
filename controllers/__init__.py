"""Controllers: functions (observation, info) -> action that choose the action of every block after the first.

    keyboard.py     keys: taps queue in order, held keys apply otherwise; every press has a receipt
    scripted.py     a list of actions, "walk_right*8 jump*2 cut_desert stand*4", or a storyboard of prompts
    random_walk.py  a seeded random walk over motions and cuts

The modules are other names of those in `infrope_env.control`. `infrope_env` never imports it, so that a user's
own module named `controllers` breaks nothing.
"""

from infrope_env.control.controller import Controller

__all__ = ["Controller"]
