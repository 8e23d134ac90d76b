"""`infrope doctor`: whether `infrope play` would work here with the same options, and what it would do first.

Nothing is downloaded and no weights are loaded. Every line is "ok", a "note", or a "problem" with its remedy.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

import gymnasium

from infrope_env.control.actions import ActionSet
from infrope_env.errors import WeightsError
from infrope_env.findings import Finding, Status, note, ok, problem
from infrope_env.machine import has_unused_gpu, version_of
from infrope_env.models.compile import missing_for_compiling
from infrope_env.models.int8_transformer import require_packages
from infrope_env.models.options import LoadOptions, multiplies_bfloat16
from infrope_env.models.resolve import WorldFolder, resolve
from infrope_env.models.world_folder import describe_world

MEASURED_MACHINES = ("x86_64", "AMD64")
"""Kinds of processor on which the time of 8-bit integers was measured."""
PACKAGES = ("torch", "gymnasium", "pygame-ce", "av")


def examine(env_id: str, arguments: dict[str, Any], headless: bool) -> Iterator[Finding]:
    """Yield findings for an environment with keyword arguments.

    Args:
        env_id: Id of the environment.
        arguments: Its keyword arguments that were given; the registered ones hold where none was.
        headless: Whether it is played without a window.
    """
    yield from check_python()
    yield check_display(headless)
    wanted = {**gymnasium.spec(env_id).kwargs, **arguments}
    options = LoadOptions(**{name: wanted[name] for name in LoadOptions.__dataclass_fields__ if name in wanted})
    try:
        device, dtype = options.device_and_dtype()
    except ValueError as error:
        yield problem("device", str(error), "leave --device out")
        return
    yield describe_device(device, dtype)
    yield from check_precision(options, device, dtype)
    yield from check_compiler(device.type, options.compile)
    try:
        actions = ActionSet.load(wanted["actions"])
        found = resolve(wanted["weights"])
        if isinstance(found, WorldFolder):
            yield ok("weights", f"{next(describe_world(found.path))}, {intact(found)} files intact")
            yield from suggest_precision(options, device)
            return
        from infrope_env.models.wan.dry_run import DryRun

        yield from DryRun(found, options, tuple(actions.prompts())).report()
    except (WeightsError, ValueError) as error:
        yield problem("weights", str(error).rstrip("."), "see above")


def summarize(findings: list[Finding]) -> str:
    """Return the last line of a report."""
    problems = [finding for finding in findings if finding.status is Status.PROBLEM]
    if not problems:
        return "Play is possible here."
    return f"Play is not possible yet: {', '.join(dict.fromkeys(each.subject for each in problems))}."


def check_python() -> Iterator[Finding]:
    """Yield the versions of Python and of the packages that play needs."""
    versions = {name: version_of(name) for name in PACKAGES}
    text = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    yield ok("Python", f"{platform.python_version()}, {text}")
    if lacking := [name for name, version in versions.items() if version is None]:
        yield note("Python", f"{', '.join(lacking)} not found by name", "pip install infrope-env, if play fails")


def check_display(headless: bool) -> Finding:
    """Return whether a window can be opened, unless none is wanted."""
    if headless:
        return ok("display", "none is needed with --headless")
    from infrope_env.player.window import open_display

    try:
        open_display()
    except (RuntimeError, ImportError) as error:
        return problem("display", str(error), "with --headless no window is needed, and --record keeps a video")
    import pygame

    driver = pygame.display.get_driver()
    pygame.display.quit()
    return ok("display", driver)


def describe_device(device: Any, dtype: Any) -> Finding:
    """Return the device that would play, its memory, and the dtype."""
    import torch

    precision = str(dtype).removeprefix("torch.")
    if device.type != "cuda":
        text = f"{device.type}, in {precision}"
        if device.type == "cpu" and has_unused_gpu():
            return note("device", f"{text}; this torch cannot use the GPU", "install torch with CUDA, see pytorch.org")
        return ok("device", text)
    about, (free, total) = torch.cuda.get_device_properties(device), torch.cuda.mem_get_info(device)
    capability = f"compute capability {about.major}.{about.minor}"
    memory = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    return ok("device", f"{about.name}, {capability}, {memory}, in {precision}")


def check_precision(options: LoadOptions, device: Any, dtype: Any) -> Iterator[Finding]:
    """Yield what --precision int8 or fp8 lacks, or that nothing is missing; nothing for other precisions."""
    try:
        precision = options.precision_on(device, dtype)
        if precision == "float":
            return
        if precision == "int8":
            require_packages()
    except ValueError as error:
        yield problem("precision", str(error).rstrip("."), "or leave --precision out")
    else:
        yield ok("precision", f"{precision} has what it needs")


def suggest_precision(options: LoadOptions, device: Any) -> Iterator[Finding]:
    """Yield that 8-bit integers are faster, where nothing is said about precision and bfloat16 gains nothing."""
    is_open = options.precision is None and options.dtype is None and not options.compile
    if is_open and device.type == "cpu" and platform.machine() in MEASURED_MACHINES and not multiplies_bfloat16():
        text = "this processor gains nothing by bfloat16; --precision int8 halves the time of a block"
        yield ok("precision", f'{text} (extra "int8")')


def check_compiler(device_type: str, is_wanted: bool) -> Iterator[Finding]:
    """Yield whether --compile has what it needs."""
    import torch

    missing = missing_for_compiling(torch.device(device_type))
    if not missing:
        yield ok("compiler", "--compile has what it needs")
    elif is_wanted:
        yield note("compiler", f"--compile lacks {missing}", "install it, or play without --compile")
    else:
        yield ok("compiler", f"not needed; --compile would lack {missing}")


def intact(found: WorldFolder) -> int:
    """Return the number of files of a world folder, all of which are checked; errors as in `describe_world`."""
    return sum(line.endswith("intact") for line in describe_world(found.path))
