"""Rules of the house that no linter knows, read off the source.

A rule is a function from a file's place and syntax tree to what it finds wrong. Each is tried on every file of the package and, so that it
can fail, on samples that break it.
"""

from __future__ import annotations

import ast
import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "ecs_agent"
FILES = sorted(SOURCE.rglob("*.py"))

# What may be imported inside a function, because it costs more than it is worth before its first use.
HEAVY = {
    "aiohttp",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "griffe",
    "genai_prices",
    "xllamacpp",
    "typer",
    "rich",
    "uvloop",
    "readline",
    "ecs_agent.providers.http.aiohttp_transport",
}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
LONGER_FILES: dict[str, int] = {}

DATA_AS_CODE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml"}
RUNNING_TEXT = {"eval", "exec", "compile", "__import__"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell"}
UNORDERED = {"asyncio.TaskGroup", "asyncio.wait", "asyncio.gather", "asyncio.as_completed"}
WALL_CLOCK = {"time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "datetime.now", "datetime.utcnow", "datetime.today"}

Rule = Callable[[str, ast.Module], list[str]]


def imported(node: ast.AST) -> list[str]:
    """The modules that a statement imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def named(node: ast.AST) -> list[str]:
    """Dotted names that a node uses: `module.name`, or the names that `from module import name` brings in."""
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return [f"{node.value.id}.{node.attr}"]
    return []


def room(place: str) -> str:
    return place.partition("/")[0]


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def data_never_runs_as_code(place: str, tree: ast.Module) -> list[str]:
    found: list[str] = []
    for node in ast.walk(tree):
        found += [name for name in imported(node) if name.partition(".")[0] in DATA_AS_CODE]
        found += [name for name in named(node) if name in SHELLS]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RUNNING_TEXT:
            found.append(node.func.id)
        if isinstance(node, ast.keyword) and node.arg == "shell":
            found.append("shell=")
    return found


def tasks_are_kept_in_order(place: str, tree: ast.Module) -> list[str]:
    """These keep tasks in sets or end in any order; `core.tasks` has what takes their place."""
    if room(place) not in {"core", "systems", "tools"}:
        return []
    return [name for node in ast.walk(tree) for name in named(node) if name in UNORDERED]


def time_ids_and_chance_are_injected(place: str, tree: ast.Module) -> list[str]:
    if room(place) not in {"core", "components", "systems"} or place == "core/clock.py":
        return []
    found: list[str] = []
    for node in ast.walk(tree):
        found += [name for name in imported(node) if name in {"uuid", "secrets"}]
        found += [name for name in named(node) if name in WALL_CLOCK or (name.startswith("random.") and name != "random.Random")]
    return found


def only_heavy_modules_are_imported_late(place: str, tree: ast.Module) -> list[str]:
    late = [name for function in functions(tree) for node in ast.walk(function) for name in imported(node)]
    return [name for name in late if not {name, name.partition(".")[0]} & HEAVY and not (room(place) == "cli" and name.startswith("ecs_agent.cli"))]


def only_the_command_line_prints(place: str, tree: ast.Module) -> list[str]:
    if room(place) == "cli":
        return []
    return ["print" for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"]


def no_function_changes_module_state(place: str, tree: ast.Module) -> list[str]:
    return [name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names]


def a_function_fits_on_a_screen(place: str, tree: ast.Module) -> list[str]:
    found: list[str] = []
    for function in functions(tree):
        documentation = ast.get_docstring(function, clean=False)
        length = (function.end_lineno or 0) - function.lineno + 1 - (documentation.count("\n") + 1 if documentation else 0)
        if length > MAX_FUNCTION_LINES:
            found.append(f"{function.name} has {length} lines")
    return found


RULES: list[Rule] = [
    data_never_runs_as_code,
    tasks_are_kept_in_order,
    time_ids_and_chance_are_injected,
    only_heavy_modules_are_imported_late,
    only_the_command_line_prints,
    no_function_changes_module_state,
    a_function_fits_on_a_screen,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: Rule) -> None:
    assert len(FILES) > 20
    found = {place: wrong for path in FILES if (wrong := rule(place := path.relative_to(SOURCE).as_posix(), ast.parse(path.read_text("utf-8"))))}
    assert found == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_a_file_fits_in_the_head(path: Path) -> None:
    place = path.relative_to(SOURCE).as_posix()
    assert path.read_text("utf-8").count("\n") <= LONGER_FILES.get(place, MAX_FILE_LINES)


def test_an_exception_for_a_long_file_ends_when_it_is_no_longer_needed() -> None:
    lines = {place: (SOURCE / place).read_text("utf-8").count("\n") for place in LONGER_FILES}
    assert {place for place, length in lines.items() if length <= MAX_FILE_LINES} == set()


@pytest.mark.parametrize(
    ("rule", "place", "code"),
    [
        (data_never_runs_as_code, "a.py", "import pickle"),
        (data_never_runs_as_code, "a.py", "from yaml import load"),
        (data_never_runs_as_code, "a.py", "eval(text)"),
        (data_never_runs_as_code, "a.py", "run(command, shell=True)"),
        (data_never_runs_as_code, "a.py", "import os\nos.system(command)"),
        (data_never_runs_as_code, "a.py", "from asyncio import create_subprocess_shell"),
        (tasks_are_kept_in_order, "core/a.py", "async def f():\n    async with asyncio.TaskGroup() as group: ..."),
        (tasks_are_kept_in_order, "systems/a.py", "from asyncio import gather"),
        (tasks_are_kept_in_order, "tools/a.py", "async def f():\n    await asyncio.wait(tasks)"),
        (time_ids_and_chance_are_injected, "core/a.py", "from uuid import uuid4"),
        (time_ids_and_chance_are_injected, "core/a.py", "import random\nrandom.shuffle(items)"),
        (time_ids_and_chance_are_injected, "systems/a.py", "from random import choice"),
        (time_ids_and_chance_are_injected, "components/a.py", "from datetime import datetime\ndatetime.now()"),
        (only_heavy_modules_are_imported_late, "core/a.py", "def f():\n    import json"),
        (only_heavy_modules_are_imported_late, "providers/a.py", "def f():\n    from ecs_agent.cli.app import parse"),
        (only_the_command_line_prints, "core/a.py", "print('here')"),
        (no_function_changes_module_state, "core/a.py", "def f():\n    global count"),
        (a_function_fits_on_a_screen, "core/a.py", "def f():\n" + "    x = 1\n" * MAX_FUNCTION_LINES),
    ],
)
def test_a_rule_finds_what_breaks_it(rule: Rule, place: str, code: str) -> None:
    assert len(rule(place, ast.parse(code))) == 1


@pytest.mark.parametrize(
    ("rule", "place", "code"),
    [
        (data_never_runs_as_code, "a.py", "re.compile(pattern)"),
        (tasks_are_kept_in_order, "core/a.py", "async def f():\n    await asyncio.wait_for(job, 1)"),
        (tasks_are_kept_in_order, "testing/a.py", "async def f():\n    await asyncio.wait(tasks)"),
        (time_ids_and_chance_are_injected, "core/a.py", "from random import Random\nRandom(7).random()"),
        (time_ids_and_chance_are_injected, "core/clock.py", "time.time_ns()"),
        (only_heavy_modules_are_imported_late, "tools/a.py", "def f():\n    import pydantic"),
        (only_the_command_line_prints, "cli/a.py", "print('here')"),
        (a_function_fits_on_a_screen, "core/a.py", 'def f():\n    """One.\n' + "\n" * 80 + '    """\n' + "    x = 1\n" * 50),
    ],
)
def test_a_rule_leaves_the_rest_alone(rule: Rule, place: str, code: str) -> None:
    assert rule(place, ast.parse(code)) == []


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])  # addresses for documentation (RFC 5737, RFC 3849)
def test_tests_cannot_connect_to_other_machines(host: str, refused_connections: list[str]) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as connection, pytest.raises(RuntimeError, match="stay on this machine"):
        connection.connect((host, 80))
    assert refused_connections == [f"socket.connect {host}"]
    refused_connections.clear()


async def test_tests_cannot_look_up_or_reach_names_of_other_machines(refused_connections: list[str]) -> None:
    with pytest.raises(RuntimeError, match="stay on this machine"):
        await asyncio.open_connection("example.com", 80)
    assert refused_connections == ["socket.getaddrinfo example.com"]
    refused_connections.clear()


def test_names_that_cannot_exist_do_not(refused_connections: list[str]) -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("models.invalid", 443)
    assert refused_connections == []
