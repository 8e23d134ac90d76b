"""The pocket world: a small rendered world with ground truth, its captions, and the training on it."""
