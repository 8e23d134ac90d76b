"""The wheel: every asset, both packages, the command and the licence."""

import itertools
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "infrope_env" / "assets"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build and open the wheel of this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_a_wheel_holds_every_asset(wheel: zipfile.ZipFile) -> None:
    assets = {path.relative_to(ROOT).as_posix() for path in ASSETS.rglob("*") if path.is_file()}
    assert "infrope_env/assets/actions/pocket.toml" in assets
    assert assets <= set(wheel.namelist())


def test_a_wheel_holds_the_page_that_a_server_sends(wheel: zipfile.ZipFile) -> None:
    page = ROOT / "infrope_env" / "remote" / "page"
    files = {path.relative_to(ROOT).as_posix() for path in page.iterdir()}
    assert "infrope_env/remote/page/index.html" in files
    assert files <= set(wheel.namelist())


def test_a_wheel_tells_type_checkers_that_both_packages_have_types(wheel: zipfile.ZipFile) -> None:
    assert {"infrope_env/py.typed", "controllers/py.typed"} <= set(wheel.namelist())


def test_bundled_weights_are_complete(wheel: zipfile.ZipFile) -> None:
    weights = {Path(name).name for name in wheel.namelist() if name.startswith("infrope_env/assets/pocket/")}
    assert {"generator.safetensors", "text_encoder.safetensors", "decoder.safetensors", "card.json"} <= weights


def test_a_wheel_holds_both_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"infrope_env", "controllers"}


def test_a_wheel_has_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert b"infrope = infrope_env.cli:main" in wheel.read(entry_points)
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def requirement_name(requirement: str) -> str:
    """The distribution's name in a requirement: "torch>=2.10" gives "torch"."""
    return re.split(r"[\[<>=!~; ]", requirement)[0].lower().replace("_", "-")


def test_every_requirement_has_a_tested_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    lines = (ROOT / "tests" / "constraints.txt").read_text().splitlines()
    constrained = {requirement_name(line) for line in lines if line and not line.startswith("#")}
    assert {requirement_name(each) for each in requirements} - {"infrope-env"} == constrained


def test_the_metadata_leaves_newer_versions_of_torch_alone() -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (torch,) = (each for each in dependencies if requirement_name(each) == "torch")
    assert "<" not in torch
