"""Control at random: the controller of `infrope_env.control.random_walk`."""

from infrope_env.control.random_walk import RandomWalkController

__all__ = ["RandomWalkController"]
