"""A model by its name or path.

The modules in the order in which a weights string becomes a loaded model:

    resolve.py       decides what the text means, then loads it: `resolve`, `load_model`
    options.py       choices at loading time: `LoadOptions`
    world_folder.py  world folders: found, checked, loaded and written; card.py reads their card.json
    wan/             released Wan generators and their parts
    world_model.py   the loaded weights: `WorldModel`
    block_codec.py   a model's decoder and encoder for one rollout
    int8_transformer.py  the generator in 8-bit integers; fp8.py has its linear layers in 8-bit floats
    compile.py       compiles a model in place for every shape of play, before the first block
    native_code.py   code of a transformer's segments for this processor: compiled, kept and loaded; background_code.py
                     has it compiled during play, by the process of compile_process.py

Importing the package loads none of them.
"""

from typing import Any

__all__ = ["load_generator"]


def __getattr__(name: str) -> Any:
    """Import `load_generator` at its first use (PEP 562): it imports torch."""
    if name == "load_generator":
        from infrope_env.models.wan.generator import load_generator

        return load_generator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
