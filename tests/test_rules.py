"""Rules of the house that no linter knows, read off the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "ecs_agent"
FILES = sorted(SOURCE.rglob("*.py"))
HEAVY = {
    "aiohttp",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "griffe",
    "xllamacpp",
    "typer",
    "rich",
    "uvloop",
    "readline",
    "ecs_agent.providers.aiohttp_transport",
}
ORDERED = ("core", "systems", "tools")

LONGER = {"core/world.py": 450}  # every way in which a world changes stands in one place
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "yaml"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in FILES:
        yield path, ast.parse(path.read_text("utf-8"))


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(SOURCE)}:{getattr(node, 'lineno', 0)}"


def test_nothing_runs_data_as_code() -> None:
    found = [
        place(path, node)
        for path, tree in trees()
        for node in ast.walk(tree)
        if any(name.partition(".")[0] in FORBIDDEN_MODULES for name in imported(node))
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS)
        or (isinstance(node, ast.keyword) and node.arg == "shell")
    ]
    assert found == []


def test_order_does_not_depend_on_sets_of_tasks() -> None:
    banned = re.compile(r"asyncio\.(TaskGroup|wait\(|gather\(|as_completed)")
    found = [
        f"{path.name}: {match[0]}"
        for path in FILES
        if path.relative_to(SOURCE).parts[0] in ORDERED
        for match in banned.finditer(path.read_text("utf-8").replace("`asyncio.", ""))
    ]
    assert found == []


def test_ids_and_chance_are_injected() -> None:
    found = [
        place(path, node)
        for path, tree in trees()
        if path.relative_to(SOURCE).parts[0] in ("core", "systems", "components")
        for node in ast.walk(tree)
        if "uuid" in imported(node)
        or (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "random"
            and node.attr in ("random", "randint", "choice")
        )
    ]
    assert found == []


def test_only_heavy_modules_are_imported_late() -> None:
    found: list[str] = []
    for path, tree in trees():
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                late = [name for node in ast.walk(function) for name in imported(node) if not name.startswith("ecs_agent.cli")]
                found += [f"{path.relative_to(SOURCE)}: {name}" for name in late if name not in HEAVY and name.partition(".")[0] not in HEAVY]
    assert found == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_fits_in_the_head_and_a_function_on_a_screen(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= LONGER.get(path.relative_to(SOURCE).as_posix(), 400)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            length = (node.end_lineno or 0) - node.lineno - (docstring.count("\n") + 1 if docstring else 0)
            assert length <= 60, f"{node.name} has {length} lines"
