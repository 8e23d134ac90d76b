"""Machine code of a transformer for this processor: its segments, compiled ahead of play and kept in the cache folder.

A folder holds one shared library per segment, which AOTInductor has made from what `torch.export` traces, with the
weights folded in and packed for this processor; and code.json with the sha256 of each. Loading needs neither a compiler
nor a trace, and takes milliseconds.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import platform
import re
import subprocess
import zipfile
from functools import lru_cache
from pathlib import Path

import torch

from infrope_env.atomic_file import write_atomically
from infrope_env.cache_dir import cache_dir
from infrope_env.dynamics import segments, transformer
from infrope_env.dynamics.segments import SegmentedTransformer, cut_into_segments
from infrope_env.models.compile import cpp_compiler
from infrope_env.models.world_model import WorldModel
from infrope_env.tensor_files import sha256_of

MANIFEST = "code.json"
FORMAT = 1  # of a folder; a change of the compiler's settings needs another
SEGMENT = re.compile(r"segment_\d{3}\.so")
CPUINFO = Path("/proc/cpuinfo")
Arguments = tuple[torch.Tensor, ...]

logger = logging.getLogger(__name__)


class CompiledSegment:
    """A segment's shared library, loaded.

    While it computes, other threads of Python go on. It is loaded by the class beneath torch's `aoti_load_package`,
    which imports 800 modules of the compiler first: more than a second in which a player's blocks would wait.
    """

    def __init__(self, library: Path) -> None:
        """Load a library that `compile_code` has written on this processor; RuntimeError where it cannot be loaded."""
        self._runner = torch._C._aoti.AOTIModelContainerRunnerCpu(str(library), 1)

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Compute, with inputs of the shapes, dtype and strides of `example_inputs`."""
        outputs: list[torch.Tensor] = self._runner.run(list(inputs))
        return outputs if len(outputs) > 1 else outputs[0]


def code_folder(model: WorldModel, block: int) -> Path:
    """Return the folder of a model's code for blocks of this many latent frames; it may not exist.

    Its name depends on all that the code does: weights, dtype, block, the modules traced, torch, compiler, processor.
    """
    traced = "".join(map(inspect.getsource, (transformer, segments)))
    key = {
        "format": FORMAT,
        "weights": model.sha256,
        "dtype": str(model.dtype),
        "block": block,
        "traced": hashlib.sha256(traced.encode()).hexdigest(),
        "torch": torch.__version__,
        "compiler": compiler_version(),
        "processor": [platform.machine(), torch.backends.cpu.get_cpu_capability(), *_cpu_flags()],
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return cache_dir() / "code" / f"{model.name}-{digest[:16]}"


@lru_cache(maxsize=1)
def compiler_version() -> str:
    """Return the first line of the C++ compiler's version; empty without one."""
    try:
        output = subprocess.run([*cpp_compiler().split(), "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return next(iter(output.stdout.splitlines()), "")


def compile_code(model: WorldModel, block: int, folder: Path) -> None:
    """Compile the segments that a folder lacks or holds damaged, one after the other.

    Each is there, whole, as soon as it is compiled: a call that was killed goes on where it was.
    """
    from torch import _inductor

    intact = intact_files(folder)
    for index, (segment, inputs) in enumerate(zip(_segments(model), example_inputs(model, block), strict=True)):
        name = file_name(index)
        if name in intact:
            continue

        def write(path: Path, segment: torch.nn.Module = segment, inputs: Arguments = inputs) -> None:
            with torch.no_grad():
                program = torch.export.export(segment, inputs)
                package = path.with_suffix(".pt2")
                _inductor.aoti_compile_and_package(
                    program, package_path=str(package), inductor_configs={"freezing": True}
                )
            _extract_library(package, path)
            package.unlink()

        write_atomically(folder / name, write)
        intact[name] = sha256_of(folder / name)
        write_atomically(folder / MANIFEST, json.dumps(intact, indent=1).encode())


def load_code(model: WorldModel, folder: Path) -> SegmentedTransformer | None:
    """Return the compiled transformer of a folder; None where a segment is missing or damaged."""
    names = [file_name(index) for index in range(model.config.num_layers + 1)]
    intact = intact_files(folder)
    if missing := [name for name in names if name not in intact]:
        if (folder / MANIFEST).exists():
            logger.info("%s lacks intact code for %d of %d segments", folder, len(missing), len(names))
        return None
    return SegmentedTransformer([CompiledSegment(folder / name) for name in names], model.config.num_heads)


def intact_files(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file that code.json names and that has it."""
    try:
        listed = json.loads((folder / MANIFEST).read_bytes())
        names = [name for name in listed if SEGMENT.fullmatch(name)]
        return {name: listed[name] for name in names if _digest(folder / name) == listed[name]}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def file_name(index: int) -> str:
    """Return the name of a segment's file."""
    return f"segment_{index:03d}.so"


def example_inputs(model: WorldModel, block: int) -> list[Arguments]:
    """Return inputs of every segment, of the shapes, dtype and strides that play has."""
    c = model.config

    def zeros(*shape: int) -> torch.Tensor:
        return torch.zeros(shape, dtype=model.dtype)

    tokens, text = (1, block * c.tokens_per_frame, c.dim), (1, c.text_len, c.dim)
    modulation, head = (1, 6, c.dim), (1, 2, c.dim)
    first = zeros(1, block, c.latent_channels, *c.latent_size), zeros(*modulation)
    behind = [zeros(*shape) for shape in (tokens, tokens, modulation, text, text)]
    middle = (*behind, zeros(*modulation))
    return [first, *[middle] * (c.num_layers - 1), (*behind, zeros(*head))]


def _extract_library(package: Path, library: Path) -> None:
    """Write the shared library inside a package, which is a zip archive, to a file of its own."""
    with zipfile.ZipFile(package) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".so"))
        library.write_bytes(archive.read(name))


def _segments(model: WorldModel) -> list[torch.nn.Module]:
    return [segment.eval().requires_grad_(False) for segment in cut_into_segments(model.transformer)]


def _digest(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except OSError:
        return None


def _cpu_flags() -> list[str]:
    """Return the instruction sets that a compiler for "this processor" may use, as far as the system lists them."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return [platform.processor()]
    return next((line.split() for line in lines if line.startswith(("flags", "Features"))), [])
