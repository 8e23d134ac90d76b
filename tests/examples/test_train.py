"""The training pipeline: every stage understands its command and reads what an earlier stage wrote."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tyro

from examples.pocket_world.train.pipeline import Options, main, stages


def modules_and_words(folder: Path, **settings: Any) -> list[tuple[str, list[str]]]:
    commands = [command for command, _ in stages(Options(folder, processes=2, **settings))]
    split = [len(command) - command[::-1].index("-m") for command in commands]
    return [(command[at], command[at + 1 :]) for command, at in zip(commands, split, strict=True)]


def test_every_stage_understands_its_command_and_reads_what_an_earlier_one_wrote(tmp_path: Path) -> None:
    written: set[Path] = set()
    for module, words in modules_and_words(tmp_path):
        options = tyro.cli(importlib.import_module(module).Options, args=words)
        read = {
            name: getattr(options, name)
            for name in ("codec", "clips", "initial", "teacher", "generator", "world", "rollouts", "decoder")
            if hasattr(options, name)
        }
        if read.get("world"):
            read.pop("generator", None)  # the world is read in its place
        assert {path for path in read.values() if isinstance(path, Path)} <= written, module
        written.add(options.out if hasattr(options, "out") else options.folder)
    assert tmp_path / "world" in written


def test_every_stage_that_renders_the_world_draws_arrangements_and_generators_get_first_blocks(tmp_path: Path) -> None:
    drawing, with_first_blocks = list[str](), list[str]()
    for module, words in modules_and_words(tmp_path, arrangements=True):
        options = tyro.cli(importlib.import_module(module).Options, args=words)
        stage = module.rpartition(".")[2]
        drawing += [stage] * getattr(options, "arrangements", False)
        with_first_blocks += [stage] * (getattr(options, "first_block_batch", 0) == 8)
    assert drawing == ["codec", "encode", "teacher", "teacher", "student", "rollouts"]
    assert with_first_blocks == ["teacher", "teacher", "student"]


def test_stages_run_in_order_and_a_complete_stage_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []

    def run(command: list[str], check: bool) -> None:
        assert check and command[0] == sys.executable
        ran.extend(word.rpartition(".")[2] for word in command if word.startswith("examples."))

    monkeypatch.setattr(subprocess, "run", run)
    (tmp_path / "codec").mkdir()
    (tmp_path / "codec" / "codec.safetensors").touch()
    main(Options(tmp_path))
    assert ran == ["encode", "teacher", "teacher", "student", "export", "rollouts", "decoder", "export"]
    assert "done: " in capsys.readouterr().out
    stages_run = list(ran)
    main(Options(tmp_path, show=True))
    assert ran == stages_run  # `show` prints and runs nothing
