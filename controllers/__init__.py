"""Controllers: functions (observation, info) -> action that choose the action of every block after the first.

    keyboard.py     keys: taps queue in order, held keys apply otherwise; every press has a receipt
    scripted.py     a list of actions, "walk_right*8 jump*2 cut_desert stand*4", or a storyboard of prompts
    random_walk.py  a seeded random walk over motions and cuts

Of `infrope_env`, this package imports `infrope_env.control` only.
"""

from infrope_env.control.controller import Controller

__all__ = ["Controller"]
