"""Released generators of the Wan 2.1 architecture: found by name, downloaded, checked, loaded. Knows no worlds.

table.py         one row each: where it lives, how its file is laid out, what it is played with
hub.py           gets the files, or finds them where they are already
store.py         remembers which revision was taken; keeps a generator converted once
files.py         opens .pt and .safetensors, tensors only, without reading them yet
layout.py        from a file's entries to a plain state dict: wrappers and prefixes
lora.py          low-rank updates, merged into the weights they update
architecture.py  shapes that a config expects, and the config that shapes imply
memory.py        what a generator needs, computed from its shapes
contents.py      what the files hold, checked to fit and not read yet
generator.py     from a name or a path to a network that plays: `load_generator`
command.py       what `infrope weights` says and does
"""
