"""The order of imports: every module may import only modules of its own group and of lower levels.

Imports count wherever they stand: at the top, inside functions, and under TYPE_CHECKING.
"""

import ast
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LEVELS: tuple[tuple[str, ...], ...] = (
    ("infrope_env.errors", "infrope_env.sampler", "infrope_env.window"),
    (
        "infrope_env.cache_dir",
        "infrope_env.atomic_file",
        "infrope_env.regular_file",
        "infrope_env.config",
        "infrope_env.forked",
        "infrope_env.output",
        "infrope_env.findings",
        "infrope_env.machine",
        "infrope_env.folder_lock",
    ),
    ("infrope_env.tensor_files",),
    ("infrope_env.control",),
    ("infrope_env.pixels",),
    ("infrope_env.dynamics", "infrope_env.text"),
    ("infrope_env.player", "infrope_env.models"),
    ("infrope_env.env_worker",),
    ("infrope_env.env_live",),
    (
        "infrope_env.env_render",
        "infrope_env.env_state",
        "infrope_env.reward",
    ),
    ("infrope_env.env",),
    ("infrope_env.recording",),
    ("infrope_env.wrappers", "infrope_env.bench", "infrope_env.doctor", "infrope_env.export", "infrope_env.remote"),
    ("infrope_env.vector_rows",),
    ("infrope_env.vector_env",),
    ("infrope_env.cli_options", "infrope_env.cli_export"),
    ("infrope_env.cli_batch", "infrope_env.cli_connect", "infrope_env.cli_serve", "infrope_env.fleet"),
    ("infrope_env.cli_fleet",),
    ("infrope_env.cli",),
    ("infrope_env",),  # the package itself: __init__.py registers ids, and makes environments when it is called
    ("controllers",),  # on top, because a user's module of that name may hide it
)
"""Groups by level, lowest first. A group is a module, or a package with all its modules."""

ENGINE = ("control", "text", "dynamics", "pixels")

Sources = dict[str, str]
"""Source text by dotted name of the module."""


def read_sources() -> Sources:
    """Return the source of every module of both packages."""
    sources = {}
    for package in ("infrope_env", "controllers"):
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            sources[name.removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return sources


SOURCES = read_sources()


@cache
def parse(source: str) -> ast.Module:
    """Return the syntax tree of a module; planted cases change one of many."""
    return ast.parse(source)


def imports_of(source: str, module: str, sources: Sources, lazy: bool = True) -> set[str]:
    """Return the dotted names that a module imports.

    Args:
        source: Its source text.
        module: Its dotted name, for relative imports.
        sources: All modules: `from package import module` imports the module, not only the package.
        lazy: Count imports inside functions and under TYPE_CHECKING.
    """
    found: set[str] = set()
    nodes: list[ast.AST] = [parse(source)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: expected absolute imports only"
            assert node.module is not None
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in sources else node.module for name in names}
        elif lazy or not is_lazy(node):
            nodes.extend(ast.iter_child_nodes(node))
    return found


def is_lazy(node: ast.AST) -> bool:
    """Return whether the imports inside a node do not run when its module is imported."""
    type_checking = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return type_checking or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def place_of(module: str) -> tuple[int, str] | None:
    """Return level and group of a module; None when the table has no place for it."""
    for level, groups in enumerate(LEVELS):
        for group in groups:
            is_package = group != "infrope_env" and module.startswith(f"{group}.")
            if module == group or is_package:
                return level, group
    return None


def upward_imports(sources: Sources) -> list[str]:
    """Return "importer -> imported" for every import of another group that is not on a lower level."""
    wrong = []
    for module, source in sources.items():
        level, group = place_of(module) or (-1, "")
        for imported in imports_of(source, module, sources):
            if imported.split(".")[0] not in ("infrope_env", "controllers"):
                continue
            other_level, other_group = place_of(imported) or (len(LEVELS), "")
            if group != other_group and other_level >= level and imported != "infrope_env":
                wrong.append(f"{module} -> {imported}")
    return sorted(wrong)


def loaded_with(module: str) -> set[str]:
    """Return the modules, and the other packages, that are loaded with a module, followed through both packages."""
    loaded: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        loaded.add(name if name in SOURCES else name.split(".")[0])
        if name in SOURCES:
            waiting |= imports_of(SOURCES[name], name, SOURCES, lazy=False) - loaded
    return loaded


def members(package: str) -> list[str]:
    """Return the modules of a package, itself included."""
    return [module for module in SOURCES if f"{module}.".startswith(f"{package}.")]


def test_every_module_has_a_place() -> None:
    assert [module for module in SOURCES if place_of(module) is None] == []
    assert place_of("infrope_env.somewhere_new") is None


def test_a_module_has_one_place() -> None:
    groups = [group for level in LEVELS for group in level]
    assert len(set(groups)) == len(groups)
    assert all(not inner.startswith(f"{outer}.") for outer in groups if outer != "infrope_env" for inner in groups)


def test_imports_run_downward() -> None:
    assert upward_imports(SOURCES) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("infrope_env.control.actions", "import infrope_env.env"),
        ("infrope_env.config", "from infrope_env.control import frames"),
        ("infrope_env.pixels.taehv", "def decode():\n    from infrope_env.models.card import Card"),
        ("infrope_env.models.card", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import infrope_env.env"),
        ("infrope_env.player.overlay", "from controllers.keyboard import Receipt"),
        ("infrope_env.cli", "def run():\n    import controllers"),
        ("infrope_env", "import controllers.scripted"),
        ("infrope_env.text.umt5", "from infrope_env.dynamics.rope import RotaryTable"),  # same level, another group
        ("infrope_env.player.stream", "from infrope_env.recording.wrapper import RecordRollout"),
        ("infrope_env.env", "import infrope_env.nowhere"),
    ],
)
def test_a_planted_upward_import_is_found(module: str, line: str) -> None:
    planted = SOURCES | {module: f"{SOURCES[module]}\n{line}\n"}
    (found,) = upward_imports(planted)
    assert found.startswith((f"{module} -> infrope_env.", f"{module} -> controllers"))


@pytest.mark.parametrize("package", ENGINE)
def test_the_engine_imports_neither_gymnasium_nor_pygame(package: str) -> None:
    modules = members(f"infrope_env.{package}")
    assert len(modules) > 1
    for module in modules:
        external = {name.split(".")[0] for name in imports_of(SOURCES[module], module, SOURCES)}
        assert not external & {"gymnasium", "pygame"}, module
        assert not loaded_with(module) & {"gymnasium", "pygame"}, module


@pytest.mark.parametrize("module", [*members("infrope_env.control"), "infrope_env.dynamics.coordinates"])
def test_control_and_coordinates_import_no_torch(module: str) -> None:
    imported = {name.split(".")[0] for name in imports_of(SOURCES[module], module, SOURCES)}
    assert "torch" not in imported | loaded_with(module)


def test_what_a_module_loads_is_followed_through_the_package() -> None:
    assert "torch" in loaded_with("infrope_env.env") and "pygame" not in loaded_with("infrope_env.env")
    assert "torch" not in loaded_with("infrope_env.cli")  # lazy imports are not loaded


def test_the_player_imports_neither_the_environment_nor_recording() -> None:
    for module in members("infrope_env.player"):
        groups = {place[1] for name in imports_of(SOURCES[module], module, SOURCES) if (place := place_of(name))}
        assert not groups & {"infrope_env.env", "infrope_env.env_state", "infrope_env.recording"}, module


@pytest.mark.parametrize("module", ["keyboard", "scripted", "random_walk"])
def test_controllers_are_those_of_control(module: str) -> None:
    public, own = import_module(f"controllers.{module}"), import_module(f"infrope_env.control.{module}")
    assert public.__all__ and all(getattr(public, name) is getattr(own, name) for name in public.__all__)


def test_controllers_import_control_only() -> None:
    for module in members("controllers"):
        imported = {name for name in imports_of(SOURCES[module], module, SOURCES) if name.startswith("infrope_env")}
        assert all(name.startswith("infrope_env.control.") for name in imported), module
