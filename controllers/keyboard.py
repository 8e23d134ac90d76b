"""Control by keyboard: the controller of `infrope_env.control.keyboard`."""

from infrope_env.control.keyboard import KeyboardController, Receipt

__all__ = ["KeyboardController", "Receipt"]
