"""Run info: the weights, machine and software that the bytes of a rollout depend on, besides seed and actions.

Two rollouts can be compared byte by byte when their run infos are equal.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

import torch

from infrope_env.models.native_code import compiler_version
from infrope_env.models.world_model import WorldModel

PACKAGES = ("infrope-env", "torch", "numpy", "tokenizers", "gymnasium")
KERNEL_SETTINGS = (
    "ATEN_CPU_CAPABILITY",
    "BLIS_ARCH_TYPE",
    "CUBLAS_WORKSPACE_CONFIG",
    "DNNL_CPU_ISA_HINTS",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "GLIBC_TUNABLES",
    "KMP_DETERMINISTIC_REDUCTION",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_THREADING_LAYER",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_DYNAMIC",
    "ONEDNN_CPU_ISA_HINTS",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
"""Environment variables by which libraries choose kernels, and so the order and precision of sums."""
INSTRUCTION_CHECKS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")


@dataclass(frozen=True)
class RunInfo:
    """The weights, machine and software of a rollout.

    Attributes:
        weights: Sha256 of every weights file, by file name.
        device: "cpu", or the name of the GPU.
        dtype: Name of the dtype the network computes in, such as "float32".
        processor: Architecture and the instruction sets by which torch selects its kernels.
        threads: Number of threads torch computes with; it decides how sums are split.
        sampler: The denoising steps, as text.
        versions: Version of every package that matters, by name.
        compiled: Whether the transformer runs as compiled code, or may do so when that is there; the log of a recording
            tells which blocks were made by compiled code.
        precision: Kind of number in which the network multiplies, "float", "int8" or "fp8".
        kernel_settings: Those of `KERNEL_SETTINGS` that are set; None in recordings that do not have them.
        batch: Number of rollouts that were made in one forward pass; it can change how sums are split.
    """

    weights: dict[str, str]
    device: str
    dtype: str
    processor: str
    threads: int
    sampler: str
    versions: dict[str, str]
    compiled: bool = False
    precision: str = "float"
    kernel_settings: dict[str, str] | None = None
    batch: int = 1

    @classmethod
    def of(cls, model: WorldModel, compiled: bool | None = None, batch: int = 1) -> RunInfo:
        """Return the run info of a model on this machine, with torch's present number of threads.

        Args:
            model: The model.
            compiled: Whether compiled code makes blocks or may do so; None means that the model itself is compiled.
            batch: Number of rollouts that are made in one forward pass.
        """
        compiled = model.compiled if compiled is None else compiled
        compiler = {"C++ compiler": compiler_version()} if compiled and not model.compiled else {}
        return cls(
            weights=model.sha256,
            device=torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else model.device.type,
            dtype=str(model.dtype).removeprefix("torch."),
            processor=processor(),
            threads=torch.get_num_threads(),
            sampler=str(model.sampler),
            versions={package: _version(package) for package in (*PACKAGES, *model.packages)} | compiler,
            compiled=compiled,
            precision=model.precision,
            kernel_settings={name: os.environ[name] for name in KERNEL_SETTINGS if os.environ.get(name)},
            batch=batch,
        )

    def differences(self, now: RunInfo) -> Iterator[str]:
        """Yield the differences from the environment it was recorded in, one sentence each; none when bytes must agree.

        Args:
            now: The run info of the replay.
        """
        for file in sorted(self.weights.keys() | now.weights.keys()):
            if self.weights.get(file) != now.weights.get(file):
                yield f"Different weights: {file} is not the file that was used for the recording."
        for name in ("device", "dtype", "processor", "threads", "sampler", "compiled", "precision", "batch"):
            recorded, current = getattr(self, name), getattr(now, name)
            if recorded != current:
                yield f"Different machine or setting: {name} was {recorded} in the recording and is {current} now."
        if self.kernel_settings is not None and now.kernel_settings is not None:
            for name in sorted(self.kernel_settings.keys() | now.kernel_settings.keys()):
                recorded, current = self.kernel_settings.get(name, "not set"), now.kernel_settings.get(name, "not set")
                if recorded != current:
                    yield f"Different machine or setting: {name} was {recorded} in the recording and is {current} now."
        for package in sorted(self.versions.keys() | now.versions.keys()):
            recorded, current = self.versions.get(package, "absent"), now.versions.get(package, "absent")
            if recorded != current:
                yield f"Different version: {package} was {recorded} in the recording and is {current} now."


def processor() -> str:
    """Return the architecture and instruction sets of the processor, for example "x86_64 AVX512 avx512_bf16"."""
    checks = {name: getattr(torch.cpu, name, None) for name in INSTRUCTION_CHECKS}
    extra = [
        name.removeprefix("_is_").removesuffix("_supported") for name, check in checks.items() if check and check()
    ]
    return " ".join([platform.machine(), torch.backends.cpu.get_cpu_capability(), *extra])


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
