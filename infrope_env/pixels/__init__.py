"""Latent frames to RGB, block by block.

    codec.py  what a decoder promises: a pure function of latents and an explicit memory
    taehv.py  the tiny one, for every world so far; its widths are in the world folder's card

Another decoder is another class here that keeps that promise; `weights.py` chooses it when it loads a world.
"""
