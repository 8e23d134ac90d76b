"""Wan 2.1: released generators and their parts. README.md in this folder is the user's page.

From names to a model, in this order:

    catalog.py            released generators: repository, layout, window, licence; memory.py computes what they need
    parts.py              the other parts: text encoder, full VAE, fast decoder, and the file names of each
    hub.py                downloads files, or finds them in the cache of the hub's client; store.py keeps records
    checkpoint_layout.py  from a file's entries to tensors under the network's names; lora.py merges updates
    generator.py          locates, checks and loads a generator: `load_generator`
    settings.py           infrope.json: frame size, window and sampler of a folder of parts
    locate.py             all parts: in the given folder, the cache folder, the hub client's cache
    codecs.py             the decoder by name, and the encoder for pictures; offload.py shares a small GPU
    prompts.py            the text encoder, and all prompts encoded before the generator is loaded
    digests.py            sha256 of big files, computed once
    load.py               joins them: `load_wan`
    command.py            `infrope weights`
"""
