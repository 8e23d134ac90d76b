"""Training of everything that is bundled: codec, encoded clips, teacher, student, world folder."""
