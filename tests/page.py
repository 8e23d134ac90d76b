"""A page of the documentation: its code blocks, the commands it prints, and what can be wrong with it."""

import contextlib
import io
import re
import runpy
import shlex
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from unittest import mock

from infrope_env import cli

ROOT = Path(__file__).parents[1]
FOLDERS = ("infrope_env/", "controllers/", "examples/", "tests/", ".ci/")
SUBCOMMANDS = ("play", "serve", "record", "replay", "export", "fleet", "bench", "weights")
FOREIGN_OPTIONS = {"--help", "--index-url"}  # every program's, and pip's
BLOCK = re.compile(r"(?:<!-- excerpt: (?P<source>\S+) -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```", re.DOTALL | re.M)


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block.

    Attributes:
        kind: Language after the fence.
        text: Lines between the fences.
        line: Number of lines above the text.
        source: File that an excerpt is from; None for other code.
    """

    kind: str
    text: str
    line: int
    source: str | None


@dataclass(frozen=True)
class Page:
    """A Markdown file at its place in the repository."""

    path: Path
    text: str

    @classmethod
    def read(cls, path: Path) -> "Page":
        """Read a page from its file."""
        return cls(path, path.read_text(encoding="utf-8"))

    @cached_property
    def blocks(self) -> list[CodeBlock]:
        """Every fenced block, from top to bottom."""
        return [
            CodeBlock(found["kind"], found["text"], self.text[: found.start("text")].count("\n"), found["source"])
            for found in BLOCK.finditer(self.text)
        ]

    @cached_property
    def prose(self) -> str:
        """The text without fenced blocks and HTML comments."""
        return re.sub(r"<!--.*?-->", "", BLOCK.sub("", self.text), flags=re.DOTALL)

    @property
    def words(self) -> int:
        """Number of words of the prose and the tables."""
        return len(self.prose.replace("|", " ").split())

    @property
    def python(self) -> list[CodeBlock]:
        """Blocks of code that a reader runs."""
        return [block for block in self.blocks if block.kind == "python" and block.source is None]

    @cached_property
    def calls(self) -> list[list[str]]:
        """Words of every shell command."""
        lines = [line for block in self.blocks if block.kind == "bash" for line in block.text.splitlines()]
        calls = [shlex.split(call, comments=True) for line in lines for call in line.split("&&")]
        return [call for call in calls if call]

    def commands(self, name: str) -> list[list[str]]:
        """Return the arguments of every call of a command."""
        return [call[1:] for call in self.calls if call[0] == name]

    @property
    def programs(self) -> Iterator[tuple[str, list[str]]]:
        """Every Python program that is called, a module or the path of a file, with its arguments."""
        for first, *rest in self.commands("python"):
            yield (rest[0], rest[1:]) if first == "-m" else (first, rest)


@cache
def help_of(program: str, *subcommand: str) -> str:
    """Return the help text of `infrope`, of a module, or of a program by its path below the root."""
    shown = io.StringIO()
    arguments = [*subcommand, "--help"]
    wide = mock.patch.dict("os.environ", COLUMNS="200")  # keeps an option on one line
    command_line = mock.patch.object(sys, "argv", [program, *arguments])
    with (
        contextlib.redirect_stdout(shown),
        contextlib.suppress(SystemExit),
        warnings.catch_warnings(),
        wide,
        command_line,
    ):
        warnings.simplefilter("ignore", RuntimeWarning)  # runpy's: the module was imported before
        if program == "infrope":
            cli.main(arguments)
        elif program.endswith(".py"):
            runpy.run_path(str(ROOT / program), run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    return shown.getvalue()


def has_option(text: str, option: str) -> bool:
    """Return whether a help text lists an option."""
    return re.search(rf"(?<![\w-]){option}(?![\w-])", text) is not None


def stale_excerpts(page: Page) -> set[str]:
    """Return the excerpts that are not in their file, by their first line."""
    excerpts = [(block.text, ROOT / block.source) for block in page.blocks if block.source]
    return {text.splitlines()[0] for text, path in excerpts if text not in path.read_text(encoding="utf-8")}


def rejected_commands(page: Page) -> set[str]:
    """Return the sentences with which `infrope` rejects commands of the page."""
    problems = set()
    for arguments in page.commands("infrope"):
        try:
            cli._parse(arguments)
        except ValueError as error:
            problems.add(f"infrope {shlex.join(arguments)}: {error}")
    return problems


def missing_programs(page: Page) -> set[str]:
    """Return the modules and files that the page runs and that do not exist."""
    return {name for name, _ in page.programs if not ((ROOT / name).is_file() or find_module(name))}


def find_module(name: str) -> bool:
    """Return whether `python -m name` finds something to run."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def unknown_options(page: Page) -> set[str]:
    """Return the options of Python programs, and those in the prose, that no help text lists."""
    problems = set()
    texts = [help_of("infrope", subcommand) for subcommand in SUBCOMMANDS]
    for program, arguments in page.programs:
        subcommand = [word for word in arguments[:1] if re.fullmatch(r"[a-z]+", word)]
        text = help_of(program, *subcommand) if program not in missing_programs(page) else ""
        texts.append(text)
        options = [word.split("=")[0] for word in arguments if word.startswith("--")]
        problems |= {f"{program} {option}" for option in options if not has_option(text, option)}
    named = set(re.findall(r"(?<=[`. ])--[a-z][a-z-]*", page.prose)) - FOREIGN_OPTIONS
    return problems | {option for option in named if not any(has_option(text, option) for text in texts)}


def broken_links(page: Page) -> set[str]:
    """Return the links to files or headings that do not exist."""
    return {link for link in re.findall(r"\]\((?!http)([^)]+)\)", page.text) if not link_exists(page, link)}


def link_exists(page: Page, link: str) -> bool:
    """Return whether a relative link leads to a file and, with an anchor, to a heading in it."""
    path, _, anchor = link.partition("#")
    target = page.path.parent / path if path else page.path
    if not target.exists():
        return False
    return not anchor or anchor in headings(page.text if target == page.path else target.read_text(encoding="utf-8"))


def headings(text: str) -> set[str]:
    """Return the anchors of a Markdown text, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def missing_paths(page: Page) -> set[str]:
    """Return the paths in commands and in inline code that do not exist."""
    words = [word for call in page.calls for word in call] + re.findall(r"`([\w./-]+)`", page.prose)
    return {word for word in words if word.startswith(FOLDERS) and not (ROOT / word).exists()}


def unknown_names(page: Page) -> set[str]:
    """Return the dotted names and the imports of this project in inline code that lead nowhere."""
    project = r"(?:infrope_env|controllers|examples)"
    names = re.findall(rf"`[^`\n]*?\b({project}(?:\.[A-Za-z_]\w*)+)", page.prose)
    imports = re.findall(rf"`from ({project}[\w.]*) import (\w+)`", page.prose)
    return {name for name in (*names, *map(".".join, imports)) if not can_import(name)}


def unknown_symbols(page: Page) -> set[str]:
    """Return the `Class.member` named right after a link to a file that does not define them."""
    named = re.findall(r"\]\(([\w/.]+\.py)\), `(\w+)\.(\w+)`", page.text)
    sources = [(f"{owner}.{member}", owner, member, page.path.parent / path) for path, owner, member in named]
    return {
        name
        for name, owner, member, path in sources
        if not path.exists() or not re.search(rf"class {owner}\b.*def {member}\b", path.read_text("utf-8"), re.DOTALL)
    }


def can_import(name: str) -> bool:
    """Return whether a dotted name leads to a module or to something in one."""
    try:
        resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


CHECKS = (
    stale_excerpts,
    rejected_commands,
    missing_programs,
    unknown_options,
    broken_links,
    missing_paths,
    unknown_names,
    unknown_symbols,
)
"""Each returns what is wrong with a page: nothing, for a page that is right."""
