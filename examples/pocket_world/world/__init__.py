"""The rendered pocket world: drawing, scenes, subjects, motion, captions and random play."""
