"""Evaluation against rendered ground truth: trials, detectors, measures and contact sheets."""
