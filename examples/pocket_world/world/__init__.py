"""The rendered world: drawing, scenes, subjects, motion, captions and random play."""
