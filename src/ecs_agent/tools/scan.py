"""Finding tools: in a module by its name or file, and in a list of functions."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import cast

from ecs_agent.errors import ConfigurationError, ToolDefinitionError
from ecs_agent.tools.tool import AnyTool, Tool, tool
from ecs_agent.types import ToolSchema


def scan_module(source: ModuleType | str | os.PathLike[str]) -> list[AnyTool]:
    """The tools of a module, in the order in which it defines them.

    A module with `__all__` offers the tools named there, wherever they were made; any other one offers those that it made itself, so that
    a tool imported for use is not offered by accident.

    Args:
        source: a module, its dotted name, or the path of a .py file. A name is imported and a file is run: their code is trusted.

    Raises:
        ConfigurationError: there is no such module or file, it cannot be imported, it has no tools, or two of them share a name.
    """
    module = source if isinstance(source, ModuleType) else _load(source)
    label = getattr(module, "__file__", None) or module.__name__
    found = list(dict.fromkeys(_tools_of(module)))
    if not found:
        raise ConfigurationError(f"{label} has no tools; decorate its functions with @tool, and name imported tools in __all__")
    try:
        tool_table(found)
    except ToolDefinitionError as error:
        raise ConfigurationError(f"{label}: {error}") from error
    return found


def tool_table(tools: Iterable[Callable[..., object]]) -> tuple[dict[str, ToolSchema], dict[str, AnyTool]]:
    """Schemas and handlers by name, in the given order, as `ToolRegistryComponent` holds them.

    Args:
        tools: tools, or functions that are made tools here.

    Raises:
        ToolDefinitionError: a function cannot be a tool, or two have the same name.
    """
    handlers: dict[str, AnyTool] = {}
    for each in tools:
        made = cast("AnyTool", each) if isinstance(each, Tool) else tool(each)
        if made.name in handlers:
            raise ToolDefinitionError(f"two tools are named {made.name!r}; give one of them another name: tool(…, name='…')")
        handlers[made.name] = made
    return {name: made.schema for name, made in handlers.items()}, handlers


def _tools_of(module: ModuleType) -> Iterable[AnyTool]:
    public: Iterable[str] | None = getattr(module, "__all__", None)
    values = vars(module).values() if public is None else [getattr(module, name, None) for name in public]
    for value in values:
        if isinstance(value, Tool):
            found = cast("AnyTool", value)
            if public is not None or found.module == module.__name__:
                yield found


def _load(source: str | os.PathLike[str]) -> ModuleType:
    text = os.fspath(source)
    if not isinstance(source, str) or text.endswith(".py") or "/" in text or os.sep in text:
        return _load_file(Path(text))
    if not all(part.isidentifier() for part in text.split(".")):
        raise ConfigurationError(f"{text!r} is no module; give a dotted name like shop.tools, or the path of a .py file")
    try:
        return importlib.import_module(text)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if text == missing or text.startswith(missing + "."):
            raise ConfigurationError(f"there is no module {missing!r} to import; for a file, give its path with .py") from error
        raise _import_failure(text, error) from error
    except (Exception, SystemExit) as error:
        raise _import_failure(text, error) from error


def _load_file(path: Path) -> ModuleType:
    path = path.resolve()
    if path.suffix != ".py" or not path.is_file():
        raise ConfigurationError(f"there is no Python file {path}")
    name = f"tools of {path}"  # no name that an import statement could mean
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"Python cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while it is being defined
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, (Exception, SystemExit)):
            raise _import_failure(str(path), error) from error
        raise
    return module


def _import_failure(label: str, error: BaseException) -> ConfigurationError:
    return ConfigurationError(f"importing {label} failed: {type(error).__name__}: {error}")
