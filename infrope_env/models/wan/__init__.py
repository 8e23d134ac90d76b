"""Wan 2.1: released generators and their parts. README.md in this folder is the user's page.

From names to a model, in this order:

    catalog.py            released generators: repository, layout, window, licence; memory.py computes what they need
    parts.py              the other parts: text encoder, full VAE, fast decoder, and the file names of each
    pins.py               revisions, lengths and digests of released files, as far as they are known
    fetch.py              downloads one file: continued, checked, in place whole or not at all
    hub.py                downloads files, or finds them in the cache of the hub's client; store.py keeps records
    taehv_file.py         downloads the fast decoder; download.py downloads several parts as one plan
    checkpoint_layout.py  from a file's entries to tensors under the network's names; lora.py merges updates
    generator.py          locates, checks and loads a generator: `load_generator`
    settings.py           infrope.json: frame size, window and sampler of a folder of parts
    locate.py             all parts: in the given folder, the cache folder, the hub client's cache
    codecs.py             the decoder by name, and the encoder for pictures; offload.py shares a small GPU
    prompts.py            the text encoder, and all prompts encoded before the generator is loaded
    digests.py            sha256 of big files, computed once
    load.py               joins them: `load_wan`
    dry_run.py            what a start would do on this machine, for `infrope doctor`; sizes.py has sizes on disk
    command.py            `infrope weights`
"""
