"""Control by a script or a storyboard: the controllers of `infrope_env.control.scripted`."""

from infrope_env.control.scripted import ScriptedController, StoryboardController

__all__ = ["ScriptedController", "StoryboardController"]
