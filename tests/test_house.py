"""Who may import whom: downward only, so that each part can be read, tested and replaced without those above it."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "terakoya"

BASE = {"terakoya", "errors"}
SETTINGS = BASE | {"config", "configfile", "origins"}
BELOW_SERVERS = SETTINGS | {"db", "accounts", "backends", "launcher.client", "launcher.protocol"}
BELOW_WEB = BELOW_SERVERS | {"servers", "classroom"}
BELOW_OPS = BELOW_WEB | {"web", "edge"}
BELOW_COMMANDS = BELOW_OPS | {"ops", "supervisor"}

MAY_IMPORT = {
    "errors": set(),
    "origins": BASE,
    "config": BASE,
    "configfile": SETTINGS,
    "launcher": SETTINGS | {"lab"},  # the fork server runs what is in lab after it forked
    "lab": SETTINGS,
    "edge": SETTINGS,
    "db": SETTINGS,
    "accounts": SETTINGS | {"db", "launcher.client"},
    "backends": SETTINGS | {"launcher.client", "launcher.protocol"},
    "classroom": BELOW_SERVERS,
    "servers": BELOW_SERVERS,
    "web": BELOW_WEB,
    "ops": BELOW_OPS,
    "supervisor": BELOW_OPS | {"ops"},
    "commands": BELOW_COMMANDS,
    "cli": BELOW_COMMANDS | {"commands"},
}

LIBRARIES_OF_LAUNCHER = {"pam"}
"""The launcher is root: beside the standard library it has the PAM binding."""

PRELOADED = {"preload.py"}
"""What the fork server imports for the servers it will fork, which are not root any more."""

LIBRARIES_OF_GATE = {"httptools", "uvloop", "psycopg"}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def part_of(path: Path) -> str:
    """The first name below terakoya: a package or a module."""
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


@cache
def imports(path: Path) -> list[tuple[int, str]]:
    """Line and full name of everything that a module imports, also within functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: imports are written in full"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def allowed(name: str, part: str) -> bool:
    """Whether `part` may import `name`, such as terakoya.db.engine.Database."""
    inner = name.removeprefix("terakoya").removeprefix(".")
    if not inner or inner == "__version__" or inner.split(".")[0] == part:
        return True
    return any(inner == target or inner.startswith(target + ".") for target in MAY_IMPORT[part])


def is_ours(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] == "terakoya"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downward(path: Path) -> None:
    part = part_of(path)
    if part in {"__init__", "__main__"}:
        return
    assert part in MAY_IMPORT, f"say in this test what {part} may import"
    wrong = [f"{path}:{line}: {name}" for line, name in imports(path) if is_ours(name) and not allowed(name, part)]
    assert not wrong


def foreign(path: Path) -> set[str]:
    """Top-level names that are neither ours nor of the standard library."""
    names = {name.split(".")[0] for _, name in imports(path)}
    return names - set(sys.stdlib_module_names) - {"terakoya"}


def test_the_launcher_is_standard_library_only() -> None:
    paths = [path for path in (ROOT / "launcher").rglob("*.py") if path.name not in PRELOADED]
    assert {path.name: found for path in paths if (found := foreign(path) - LIBRARIES_OF_LAUNCHER)} == {}


def loaded_by(module: str) -> set[str]:
    """What importing `module` in a fresh Python adds to what is there anyway."""
    code = f"import sys; before = set(sys.modules); import {module}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_gate_imports_only_what_it_needs() -> None:
    loaded = loaded_by("terakoya.edge.gate")
    third = {name.split(".", 1)[0] for name in loaded} - set(sys.stdlib_module_names) - {"terakoya", "cython_runtime"}
    ours = {name for name in loaded if is_ours(name)} - {"terakoya", "terakoya.edge", "terakoya.errors"}
    assert {name for name in third if not name.startswith("_")} <= LIBRARIES_OF_GATE
    assert all(name.startswith("terakoya.edge.") or name == "terakoya.origins" for name in ours)


def test_the_command_line_starts_without_the_slow_libraries() -> None:
    loaded = loaded_by("terakoya.cli")
    assert not loaded & {"sqlalchemy", "fastapi", "pydantic", "alembic", "uvicorn", "httpx", "jinja2", "asyncio"}


def test_every_dependency_says_what_it_is_for() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [*project["dependencies"], *(name for names in project["optional-dependencies"].values() for name in names)]
    page = (ROOT.parent / "docs/dependencies.md").read_text(encoding="utf-8")
    missing = [name for name in named if f"`{name.partition('>')[0]}`" not in page]
    assert not missing
