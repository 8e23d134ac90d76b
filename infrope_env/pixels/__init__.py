"""Latent frames to RGB, streaming: `codec` says what a decoder is, `taehv` is the tiny one."""
