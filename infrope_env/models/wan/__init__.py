"""Wan 2.1 as a world: its parts found in their released files, checked, and joined into a `WorldModel`.

settings.py    what a folder may say about itself: frame size, window, sampler
parts.py       text encoder, VAE and taew2_1: where each lives, how each is got
files.py       looks through a folder, the cache and the hub's cache for every part
digests.py     sha256 of big files, computed once
prompts.py     the text encoder that there is, and all prompts encoded before the generator is loaded
codecs.py      the decoder by name, the encoder when a picture is given
offload.py     generator and decoder take turns on a small GPU
world.py       joins them: `load_wan`
memory.py      what fits into which GPU, computed
command.py     what `infrope weights wan` says and does
"""
