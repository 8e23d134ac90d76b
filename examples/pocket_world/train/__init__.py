"""Training of the bundled model: codec, encoded clips, teacher, student, world folder."""
