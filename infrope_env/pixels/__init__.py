"""Latent frames to RGB, block by block, and pictures to latent frames.

    codec.py    what a decoder promises: a pure function of latents and an explicit memory; what an encoder does
    taehv.py    the tiny one; its widths are in the world folder's card, or those of `taew2_1`
    wan_vae.py  the full VAE of Wan 2.1, through diffusers
    load.py     the codecs of Wan 2.1 by name, from released files
    picture.py  pictures that a rollout begins from

Another decoder is another class here that keeps that promise; `weights.py` chooses it when it loads a world.
"""
