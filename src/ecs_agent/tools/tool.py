"""`@tool`: a typed function that a model may ask for.

    @tool
    async def get_weather(city: str, days: Annotated[int, "how far to look ahead"] = 1) -> str:
        \"\"\"The weather forecast for a city.\"\"\"

The signature becomes the JSON schema, the docstring the description; both are read where the tool is defined, so that a function that cannot
be a tool fails there and not in front of a model.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, cast, final, overload

from ecs_agent.core.lease import Lease
from ecs_agent.errors import ToolArgumentsError, ToolDefinitionError
from ecs_agent.tools.schema import (
    MAX_ARGUMENT_BYTES,
    MAX_ARGUMENT_DEPTH,
    Parameter,
    build_arguments,
    check_size,
    described_by,
    innermost,
    read_docstring,
    read_parameters,
)
from ecs_agent.types import JsonObject, ToolSchema

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@final
@dataclass(frozen=True, slots=True, eq=False)
class Tool(Generic[P, R_co]):
    """A function with what a model needs to know to ask for it. Made by `tool`; called, it is the function.

    Attributes:
        function: what runs.
        schema: what a model is told: name, description and the JSON schema of the arguments.
        module: the name of the module that made it a tool.
        timeout: seconds one call may take; None leaves it to the limits of whoever runs it.
        idempotent: running a call twice does no harm, so a call whose result was lost may be run again.
        is_async: the function is a coroutine function; any other runs in a thread.
        lease: the parameter that gets the `Entity` of the agent whose call it is, None if there is none. The model does not see it.
    """

    function: Callable[P, R_co]
    schema: ToolSchema
    module: str
    timeout: float | None
    idempotent: bool
    is_async: bool
    _parse: Callable[[JsonObject], JsonObject] = field(repr=False)
    lease: str | None = None

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function, unchecked, as if it had never been made a tool."""
        return self.function(*args, **kwargs)

    @property
    def name(self) -> str:
        """The name a model calls it by."""
        return self.schema.name

    @property
    def description(self) -> str:
        """What a model is told that it does."""
        return self.schema.description

    @property
    def __name__(self) -> str:
        """The tool's name, for what expects a function."""
        return self.schema.name

    @property
    def __wrapped__(self) -> Callable[P, R_co]:
        """The function, for `inspect.signature`."""
        return self.function

    def validate(self, arguments: JsonObject, *, max_bytes: int = MAX_ARGUMENT_BYTES, max_depth: int = MAX_ARGUMENT_DEPTH) -> JsonObject:
        """Check a model's arguments against the hints and return the Python values to call the function with.

        Args:
            arguments: a parsed JSON object. Values are converted where nothing is lost ("3" for an int); unknown keys are refused.
            max_bytes: the longest that they may be as JSON.
            max_depth: how deep objects and arrays may be nested, the outermost object included.

        Raises:
            ToolArgumentsError: they do not fit; the message lists every problem for the model to mend.
        """
        try:
            check_size(arguments, max_bytes, max_depth)
            return self._parse(arguments)
        except ToolArgumentsError as error:
            raise ToolArgumentsError(f"The arguments of {self.name} do not fit: {error}.") from None


AnyTool: TypeAlias = Tool[..., object]


@overload
def tool(
    function: Callable[P, R],
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    idempotent: bool = False,
) -> Tool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    idempotent: bool = False,
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...


def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float | None = None,
    idempotent: bool = False,
) -> Tool[P, R] | Callable[[Callable[P, R]], Tool[P, R]]:
    """Make a tool of a function: `@tool`, `@tool(timeout=5)`, or `tool(instance.method)`.

    Each parameter the function can be called with by name becomes an argument. Descriptions come from the hint (`Annotated[int, "…"]`) or
    from the docstring in Google, NumPy or Sphinx style. Parameters that a `functools.partial` fixes are hidden from the model, and so is one with
    the hint `Entity`: an async tool gets in it the agent whose call it is.

    Args:
        function: sync or async; a sync one runs in a thread, so that it may block.
        name: what the model calls it, letters, digits, `_` and `-`, at most 64; the function's name by default.
        description: what the model is told; the docstring without its sections on arguments and results by default.
        timeout: seconds one call may take, instead of the default of whoever runs it.
        idempotent: a call whose result was lost may be run again.

    Raises:
        ToolDefinitionError: the function cannot be a tool; the message names the parameter and the mend.
    """
    module = _caller_module(inspect.currentframe())
    if function is None:
        return functools.partial(_make, module=module, name=name, description=description, timeout=timeout, idempotent=idempotent)
    return _make(function, module=module, name=name, description=description, timeout=timeout, idempotent=idempotent)


def _make(function: Callable[P, R], *, module: str, name: str | None, description: str | None, timeout: float | None, idempotent: bool) -> Tool[P, R]:
    function, named = _callable(function)
    label = str(getattr(innermost(named), "__name__", type(function).__name__))
    if named is not function:  # an object with __call__
        label = type(function).__name__
    name = label if name is None else name
    if not _NAME.fullmatch(name):
        raise ToolDefinitionError(
            f"{name!r} cannot be a tool's name: it must be 1 to 64 letters, digits, _ and -; give another one: tool(…, name='…')"
        )
    if timeout is not None and not 0 < timeout < math.inf:
        raise ToolDefinitionError(f"{label} cannot be a tool: its timeout is {timeout}; it must be a positive number of seconds, or None")
    is_async = _is_async(named)
    parameters, lease = _without_lease(read_parameters(named, label), label, is_async)
    documented = read_docstring(_docstring(function), [each.name for each in parameters])
    arguments = build_arguments(parameters, documented.parameters, label)
    schema = ToolSchema(name, documented.text if description is None else description, arguments.schema)
    return Tool(function, schema, module, timeout, idempotent, is_async, arguments.parse, lease)


def _callable(function: Callable[P, R]) -> tuple[Callable[P, R], Callable[..., object]]:
    """What to call, and the routine that says how; they differ for objects with `__call__`."""
    if isinstance(function, Tool):
        raise ToolDefinitionError(f"{function.name} is a tool already; make another one from its function: tool({function.name}.function, …)")
    if isinstance(function, staticmethod):
        function = cast("Callable[P, R]", function.__func__)
        return function, function
    if isinstance(function, type) or not callable(function):
        raise ToolDefinitionError(f"{function!r} cannot be a tool: give a function, a bound method or an object with __call__")
    return function, described_by(function)


def _without_lease(parameters: list[Parameter], label: str, is_async: bool) -> tuple[list[Parameter], str | None]:
    """The parameters that the model fills in, and the name of the one that whoever runs the tool does."""
    leases = [each.name for each in parameters if isinstance(each.hint, type) and issubclass(each.hint, Lease)]
    if len(leases) > 1:
        raise ToolDefinitionError(f"{label} cannot be a tool: {' and '.join(leases)} both ask for the agent; one is enough")
    if leases and not is_async:
        raise ToolDefinitionError(f"{label} cannot be a tool: {leases[0]} asks for the agent, which a thread cannot touch; make it an async function")
    return [each for each in parameters if each.name not in leases], leases[0] if leases else None


def _docstring(function: Callable[..., object]) -> str:
    inner = innermost(function)
    if inspect.isroutine(inner):
        return inner.__doc__ or ""
    return type(inner).__call__.__doc__ or type(inner).__doc__ or ""


def _is_async(function: Callable[..., object]) -> bool:
    inner = innermost(function)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise ToolDefinitionError(f"{getattr(inner, '__name__', inner)} cannot be a tool: it yields its results; return them as a list")
    return inspect.iscoroutinefunction(function)


def _caller_module(frame: Any) -> str:
    caller = frame.f_back if frame is not None else None
    return str(caller.f_globals.get("__name__", "")) if caller is not None else ""
