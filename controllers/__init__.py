"""Who steers the world. A controller is asked for an action before every block after the first.

    keyboard.py     taps queue in order, then the held keys rule; gives a receipt for every press
    scripted.py     "walk_right*8 jump*2 cut_desert stand*4", or a storyboard of prompts
    random_walk.py  a seeded wanderer

Controllers know neither pygame nor the engine: they see what an agent sees, the observation and `info`.
"""

from infrope_env.control.controller import Controller

__all__ = ["Controller"]
