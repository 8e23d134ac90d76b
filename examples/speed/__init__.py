"""The speed of the bundled model: an earlier commit, the present tree and each choice, side by side in one run."""
