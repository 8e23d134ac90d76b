"""Rollouts on disk: written, read back, replayed."""
