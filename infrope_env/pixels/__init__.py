"""Latent frames to RGB, block by block, and pictures to latent frames.

    codec.py        Protocols: a streaming decoder with an explicit state, and the encoder of a first block.
    patch_codec.py  The pocket world's codec: principal components of patches, solved for in closed form.
    conv_decoder.py The pocket world's decoder: a residual network, trained on generated latents.
    taehv.py        TAEHV, the tiny video autoencoder; fast, for Wan (`taew2_1`) and world folders.
    wan_vae.py      The full VAE of Wan 2.1, through diffusers.
    picture.py      The picture that a rollout starts from: resized, written as PNG.
    picture_file.py Picture files, read by Pillow within limits.

models/ chooses and loads a codec; a new one is a class here that follows the protocols.
"""
