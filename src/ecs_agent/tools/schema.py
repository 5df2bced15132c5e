"""From a function's signature and docstring to what a model is told, and from a model's arguments to checked Python values.

Rules of validation, chosen for arguments that a language model wrote:

* Unknown keys are refused, also inside dataclasses and typed dicts; a pydantic model follows its own configuration.
* Values are converted only where nothing is lost: "3" and 3.0 are an int, 3.5 is none; an ISO string is a datetime; "yes" is a bool;
  a number is never taken for a string, and "nan" or "inf" never for a number.
* A missing argument with a default is left out, so that the function's own default applies.

pydantic and griffe are imported when the first tool is defined, not before: they are heavy, and worlds without tools do not need them.
"""

from __future__ import annotations

import functools
import inspect
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, cast, get_args, get_origin, get_type_hints

import msgspec

from ecs_agent.errors import ToolArgumentsError, ToolDefinitionError
from ecs_agent.types import JsonObject

if TYPE_CHECKING:
    from griffe import DocstringSection
    from pydantic_core import ErrorDetails

MAX_ARGUMENT_BYTES = 1024 * 1024
MAX_ARGUMENT_DEPTH = 64

_MAX_PROBLEMS = 8
_MAX_LISTED_ERRORS = 1000
_JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that the model fills in: its resolved hint, and its default (`inspect.Parameter.empty` when it has none)."""

    name: str
    hint: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether the function has no default for it."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Documentation:
    """What a docstring says: the text without its sections on parameters and results, and a description for each parameter."""

    text: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Arguments:
    """The JSON schema of a function's arguments and the function that turns arguments into Python values."""

    schema: JsonObject
    parse: Callable[[JsonObject], JsonObject]


def read_parameters(function: Callable[..., object], label: str) -> list[Parameter]:
    """The parameters a model fills in, in order; those that a `functools.partial` has fixed are left out.

    Args:
        function: what will be called.
        label: how error messages call it.

    Raises:
        ToolDefinitionError: it cannot be called by name, or a hint is missing or has no meaning.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ToolDefinitionError(f"{label} cannot be a tool: Python does not know its signature; wrap it in a function with type hints") from error
    fixed = frozenset[str](function.keywords) if isinstance(function, functools.partial) else frozenset[str]()
    wanted = [parameter for name, parameter in signature.parameters.items() if name not in fixed]
    for position, parameter in enumerate(wanted):
        _refuse_unusable(parameter, position, label)
    origin = innermost(function)
    names = _names_around(origin)
    return [Parameter(each.name, _resolved(each, origin, names, label), each.default) for each in wanted]


def _refuse_unusable(parameter: inspect.Parameter, position: int, label: str) -> None:
    name, kind = parameter.name, parameter.kind
    if kind is inspect.Parameter.VAR_POSITIONAL or kind is inspect.Parameter.VAR_KEYWORD:
        stars = "*" if kind is inspect.Parameter.VAR_POSITIONAL else "**"
        raise ToolDefinitionError(f"{label} cannot be a tool: {stars}{name} has no schema; name each parameter, or take one list or dict")
    if kind is inspect.Parameter.POSITIONAL_ONLY:
        raise ToolDefinitionError(f"{label} cannot be a tool: {name} is positional-only; remove the / from its signature, tools are called by name")
    if parameter.annotation is inspect.Parameter.empty:
        if position == 0 and name in ("self", "cls"):
            raise ToolDefinitionError(f"{label} cannot be a tool: {name} is not bound; make the tool from an instance: tool(instance.{label})")
        raise ToolDefinitionError(f"{label} cannot be a tool: parameter {name} has no type hint; write for example {name}: str")
    if type(parameter.default).__name__ == "FieldInfo":
        raise ToolDefinitionError(
            f"{label} cannot be a tool: the default of {name} is a pydantic Field; write {name}: Annotated[<type>, Field(...)] = <default>"
        )


def described_by(function: Any) -> Callable[..., object]:
    """The routine that says how `function` is called: itself, or the `__call__` of an object."""
    if inspect.isroutine(function) or isinstance(function, functools.partial):
        return cast("Callable[..., object]", function)
    return cast("Callable[..., object]", function.__call__)


def innermost(function: Any) -> Any:
    """The plain function inside partials, bound methods and decorators that declare what they wrap."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            return function


def _names_around(function: Any) -> dict[str, Any]:
    """Local names that the function's hints may use: those of the functions and classes it is being defined in.

    Hints are text under `from __future__ import annotations`, and Python itself looks that text up among globals only. A frame counts when
    its code encloses the function by name, so that a caller's locals never stand in for globals.
    """
    qualified = getattr(function, "__qualname__", "")
    names: dict[str, Any] = {}
    frame = inspect.currentframe() if "." in qualified else None
    while frame is not None:
        if qualified.startswith(frame.f_code.co_qualname + ".") and frame.f_globals is getattr(function, "__globals__", None):
            names = {**frame.f_locals, **names}
        frame = frame.f_back
    return names


def _resolved(parameter: inspect.Parameter, origin: Any, names: dict[str, Any], label: str) -> Any:
    def holder() -> None: ...

    holder.__annotations__ = {"hint": parameter.annotation}
    try:
        return get_type_hints(holder, getattr(origin, "__globals__", {}), names, include_extras=True)["hint"]
    except Exception as error:
        raise ToolDefinitionError(
            f"{label} cannot be a tool: the hint {parameter.annotation!r} of parameter {parameter.name} has no meaning where the tool is made "
            f"({error}); define or import its type above the function, outside of TYPE_CHECKING"
        ) from error


def read_docstring(docstring: str, parameters: Iterable[str]) -> Documentation:
    """Text and parameter descriptions of a docstring in Google, NumPy or Sphinx style; the style that explains most parameters is taken."""
    cleaned = inspect.cleandoc(docstring)
    if "\n" not in cleaned:
        return Documentation(cleaned, {})
    import griffe  # noqa: PLC0415 - heavy

    known = frozenset(parameters)
    best, best_score, best_found = [], (-1, -1), {}
    for parse in (griffe.parse_google, griffe.parse_numpy, griffe.parse_sphinx):
        sections = parse(griffe.Docstring(cleaned), warnings=False)
        found = {name: text for name, text in _described(sections) if name in known}
        score = (len(found), len(sections))
        if score > best_score:
            best, best_score, best_found = sections, score, found
    return Documentation("\n\n".join(filter(None, map(_section_text, best))), best_found)


def _described(sections: list[DocstringSection]) -> Iterable[tuple[str, str]]:
    for section in sections:
        if section.kind.value in ("parameters", "other parameters"):
            for parameter in section.value:
                yield parameter.name, " ".join(parameter.description.split())


def _section_text(section: DocstringSection) -> str:
    if section.kind.value == "text":
        return str(section.value).strip()
    if section.kind.value == "admonition" and not (section.title or "").lower().startswith("example"):
        return f"{section.title}: {section.value.contents}"
    return ""


def build_arguments(parameters: list[Parameter], described: Mapping[str, str], label: str) -> Arguments:
    """The JSON schema and the validator for these parameters.

    Args:
        parameters: what the model fills in.
        described: descriptions from the docstring; one in the hint (`Annotated[int, "…"]` or a pydantic `Field`) comes first.
        label: how error messages call the function.

    Raises:
        ToolDefinitionError: a hint has no JSON schema, or a default of None does not fit its hint.
    """
    import pydantic  # noqa: PLC0415 - heavy
    from pydantic.json_schema import GenerateJsonSchema  # noqa: PLC0415 - heavy

    class WithoutTitles(GenerateJsonSchema):
        """A title says what the name already says, and costs tokens at every request."""

        def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
            return False

    try:
        adapter = pydantic.TypeAdapter(_typed_dict(parameters))
        schema = adapter.json_schema(schema_generator=WithoutTitles)
    except Exception as error:
        raise _schema_error(parameters, label, error) from error
    schema.pop("title", None)
    _describe(schema["properties"], parameters, described)
    validate = cast("Callable[[JsonObject], JsonObject]", adapter.validator.validate_python)
    _refuse_false_none(parameters, validate, label)
    return Arguments(schema, _parser(validate, list(schema["properties"])))


def _typed_dict(parameters: list[Parameter]) -> Any:
    import typing_extensions  # noqa: PLC0415 - pydantic needs its TypedDict before Python 3.12

    make = cast("Any", typing_extensions.TypedDict)
    fields = {each.name: each.hint if each.required else NotRequired[each.hint] for each in parameters}
    made = make("Arguments", fields)
    made.__pydantic_config__ = {"extra": "forbid", "allow_inf_nan": False}
    return made


def _describe(properties: JsonObject, parameters: list[Parameter], described: Mapping[str, str]) -> None:
    from pydantic_core import PydanticSerializationError, to_jsonable_python  # noqa: PLC0415 - heavy

    for parameter in parameters:
        shown = properties.get(parameter.name)
        if shown is None:  # the hint gives it an alias, and says itself what there is to say
            continue
        description = _annotated_text(parameter.hint) or described.get(parameter.name)
        if description:
            shown.setdefault("description", description)
        if not parameter.required:
            try:
                shown.setdefault("default", to_jsonable_python(parameter.default, inf_nan_mode="null"))
            except (PydanticSerializationError, ValueError):
                pass  # a default that JSON cannot hold stays the function's secret


def _annotated_text(hint: Any) -> str | None:
    if get_origin(hint) is not Annotated:
        return None
    return next((extra for extra in get_args(hint)[1:] if isinstance(extra, str)), None)


def _schema_error(parameters: list[Parameter], label: str, error: Exception) -> ToolDefinitionError:
    """Name the parameter whose hint cannot be described, by trying each alone."""
    import pydantic  # noqa: PLC0415 - heavy

    for parameter in parameters:
        try:
            pydantic.TypeAdapter(parameter.hint).json_schema()
        except Exception as own:  # noqa: BLE001 - whatever it is, it is the reason
            reason = str(own).partition("\n")[0].rstrip(".")
            return ToolDefinitionError(
                f"{label} cannot be a tool: the hint {parameter.hint!r} of parameter {parameter.name} has no JSON schema ({reason}); "
                "use JSON types, Literal, Enum, dataclasses, typed dicts or pydantic models"
            )
    return ToolDefinitionError(f"{label} cannot be a tool: its parameters have no JSON schema together ({error}); simplify the hints")


def _refuse_false_none(parameters: list[Parameter], validate: Callable[[JsonObject], JsonObject], label: str) -> None:
    """`days: int = None` would tell the model that null is the default and then refuse it."""
    from pydantic import ValidationError  # noqa: PLC0415 - heavy

    nones = {each.name: None for each in parameters if each.default is None}
    try:
        validate(nones)
    except ValidationError as error:
        wrong = next((each["loc"][0] for each in error.errors() if each["loc"][0] in nones), None)
        if wrong is not None:
            raise ToolDefinitionError(
                f"{label} cannot be a tool: parameter {wrong} has the default None, which its hint does not allow; add | None to the hint"
            ) from None


def _parser(validate: Callable[[JsonObject], JsonObject], names: list[str]) -> Callable[[JsonObject], JsonObject]:
    from pydantic import ValidationError  # noqa: PLC0415 - heavy

    def parse(arguments: JsonObject) -> JsonObject:
        try:
            return validate(arguments)
        except ValidationError as error:
            if error.error_count() > _MAX_LISTED_ERRORS:  # listing a million errors takes longer than finding them
                raise ToolArgumentsError(f"{error.error_count()} values do not fit the schema") from None
            problems = [_problem(each) for each in error.errors(include_url=False, include_context=False)]
            raise ToolArgumentsError(_sentence(problems, names)) from None

    return parse


def _problem(error: ErrorDetails) -> str:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error["loc"]).lstrip(".") or "the arguments"
    match error["type"]:
        case "missing" | "missing_argument":
            return f"{path} is missing"
        case "extra_forbidden" | "unexpected_keyword_argument":
            return f"{path} is unknown"
        case _:
            message = error["msg"].removeprefix("Input ")
            return f"{path} {message[:1].lower()}{message[1:]}, not {reprlib.repr(error['input'])}"


def _sentence(problems: list[str], names: Iterable[str]) -> str:
    """All that is wrong in one line, and the names that would be right: what a model needs to mend its call."""
    more = len(problems) - _MAX_PROBLEMS
    listed = [*problems[:_MAX_PROBLEMS], f"and {more} more"] if more > 0 else problems
    return f"{'; '.join(listed)} (arguments of this tool: {', '.join(names) or 'none'})"


def check_size(arguments: JsonObject, max_bytes: int, max_depth: int) -> None:
    """Refuse what is too deep or, as JSON, too long, before anything walks through it.

    Raises:
        ToolArgumentsError: it is, or it is no JSON object at all.
    """
    if not isinstance(arguments, dict):  # pyright: ignore[reportUnnecessaryIsInstance] - it came from outside
        raise ToolArgumentsError(f"the arguments must be a JSON object, not {reprlib.repr(arguments)}")
    depth, level = 1, _containers(arguments)
    while level:
        depth += 1
        if depth > max_depth:
            raise ToolArgumentsError(f"the arguments are nested deeper than {max_depth} levels")
        if 2 * len(level) > max_bytes:  # each takes two bytes at least
            raise ToolArgumentsError(f"the arguments are longer than the {max_bytes} bytes that are allowed")
        level = [inner for outer in level for inner in _containers(outer)]
    try:
        size = len(msgspec.json.encode(arguments))
    except (TypeError, ValueError) as error:
        raise ToolArgumentsError(f"the arguments are not JSON: {error}") from None
    if size > max_bytes:
        raise ToolArgumentsError(f"the arguments are {size} bytes long, longer than the {max_bytes} bytes that are allowed")


def _containers(outer: JsonObject | list[Any]) -> list[JsonObject | list[Any]]:
    return [inner for inner in (outer.values() if isinstance(outer, dict) else outer) if isinstance(inner, (dict, list))]


def check_declared(arguments: JsonObject, schema: JsonObject) -> None:
    """Check arguments against a hand-written JSON schema as far as its first level goes.

    For handlers that come with a `ToolSchema` and no types of their own: required keys, unknown keys when `additionalProperties` is false,
    `enum`, and the `type` of each property. Nested schemas, `$ref` and other keywords are the handler's to check; nothing is converted.

    Raises:
        ToolArgumentsError: they do not fit.
    """
    properties = schema.get("properties", {})
    problems = [f"{name} is missing" for name in schema.get("required", ()) if name not in arguments]
    for name, value in arguments.items():
        if name not in properties:
            if schema.get("additionalProperties") is False:
                problems.append(f"{name} is unknown")
            continue
        declared = properties[name]
        if isinstance(declared, dict):
            problems += _declared_problems(name, value, cast("JsonObject", declared))
    if problems:
        raise ToolArgumentsError(_sentence(problems, properties))


def _declared_problems(name: str, value: object, declared: JsonObject) -> Iterable[str]:
    types = declared.get("type")
    wanted = [types] if isinstance(types, str) else cast("list[str]", types) if isinstance(types, list) else []
    if wanted and not any(_has_type(value, each) for each in wanted):
        yield f"{name} should be {' or '.join(map(str, wanted))}, not {reprlib.repr(value)}"
    choices = declared.get("enum")
    if isinstance(choices, list) and value not in choices:
        yield f"{name} should be one of {', '.join(map(repr, cast('list[object]', choices)))}, not {reprlib.repr(value)}"


def _has_type(value: object, name: str) -> bool:
    if name == "integer" and isinstance(value, float):
        return value.is_integer()  # JSON schema: 3.0 is an integer
    expected = _JSON_TYPES.get(name)
    if expected is None:  # a type this list does not know is the handler's to check
        return True
    return isinstance(value, expected) and (not isinstance(value, bool) or bool in expected)
