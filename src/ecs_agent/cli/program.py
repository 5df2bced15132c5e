"""A user's program, as `ecs-agent top` runs it: a file with an async function that takes a world."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TypeAlias, cast

from ecs_agent.core import World
from ecs_agent.errors import ConfigurationError

Main: TypeAlias = Callable[[World], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Program:
    """A file that was run, and the function in it that is to be."""

    file: str
    main: Main

    def place_of(self, error: BaseException) -> str:
        """Where in the file an exception came from, as in "crew.py:12"; only the file's name if it did not pass there."""
        return _place(self.file, error)


_EXAMPLE = "async def main(world: World) -> None"


def load_program(source: str) -> Program:
    """The function that `FILE.py` or `FILE.py:function` names. The file is run as an import is: its code is trusted.

    Args:
        source: the path of a file, and the name of a function behind a colon; `main` by default.

    Raises:
        ConfigurationError: there is no such file or function, the file cannot be imported, or the function is not an async one of a world.
    """
    path, name = _parted(source)
    module = _run_file(Path(path))
    found = getattr(module, name, None)
    if found is None:
        raise ConfigurationError(f"{path} has no function {name!r}; define '{_EXAMPLE}', or name another one: {path}:FUNCTION")
    if not inspect.iscoroutinefunction(found) or not _takes_a_world(found):
        raise ConfigurationError(f"{name!r} in {path} is not an async function that takes a world; it must look like '{_EXAMPLE}'")
    return Program(str(module.__file__), cast("Main", found))


def _parted(source: str) -> tuple[str, str]:
    path, colon, name = source.rpartition(":")
    if colon and path.endswith(".py"):
        return path, name or "main"
    return source, "main"


def _takes_a_world(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    return True


def _run_file(given: Path) -> ModuleType:
    path = given.resolve()
    if path.suffix != ".py" or not path.is_file():
        raise ConfigurationError(f"there is no Python file {given}")
    name = f"program {path}"  # no name that an import statement could mean
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"Python cannot load {given}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it is being defined
    sys.path.insert(0, str(path.parent))  # as `python FILE.py` does, for the modules beside it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ConfigurationError(f"importing {given} failed: {_place(str(path), error)}: {type(error).__name__}: {error}") from error
    return module


def _place(file: str, error: BaseException) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    name = Path(file).name
    return f"{name}:{lines[-1]}" if lines else name
