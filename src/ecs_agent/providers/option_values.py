"""Whether the options of a request hold what they are for, so that a mistake is told in words of ours before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, cast

from ecs_agent.types import ToolSchema


class _Kind(NamedTuple):
    """What an option takes: the types of it, and what the error advises."""

    types: tuple[type, ...]
    advice: str


_NUMBER: Final = _Kind((int, float), "a number")
_WHOLE: Final = _Kind((int,), "a whole number")
_FLAG: Final = _Kind((bool,), "True or False")
_MAPPING: Final = _Kind((Mapping,), "a dict")

_KINDS: Final[Mapping[str, _Kind]] = {
    "model": _Kind((str,), "the name of a model"),
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "max_tokens": _WHOLE,
    "seed": _WHOLE,
    "top_logprobs": _WHOLE,
    "logprobs": _FLAG,
    "parallel_tool_calls": _FLAG,
    "reasoning_effort": _Kind((str,), "a word, such as 'low'"),
    "tool_choice": _Kind((str,), "'auto', 'none', 'required' or the name of a tool"),
    "output_format": _Kind((Mapping,), "a wire object (a dict), or ask by stream_object()"),
    "logit_bias": _MAPPING,
    "metadata": _MAPPING,
    "extra_body": _MAPPING,
    "extra_headers": _MAPPING,
}


def check_values(options: Mapping[str, object]) -> None:
    """Whether each option holds what it is for. Time limits and `response_format` are looked at where they are read.

    Raises:
        TypeError: a value is none for its option.
        ValueError: a number is infinite or none, or `tool_choice` names a tool that the request does not have.
    """
    for name, kind in _KINDS.items():
        value = options.get(name)
        if value is not None and not (isinstance(value, kind.types) and (not isinstance(value, bool) or bool in kind.types)):
            raise TypeError(f"{name} is {_what(value)}; give {kind.advice}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} is {value}; give a finite number")
    stop = options.get("stop")
    words = _each(stop)
    if stop is not None and not isinstance(stop, str) and (words is None or not all(isinstance(word, str) for word in words)):
        raise TypeError(f"stop is {_what(stop)}; give a text, or a list of texts")
    _check_tools(options)


def _check_tools(options: Mapping[str, object]) -> None:
    tools, choice = options.get("tools"), options.get("tool_choice")
    given = _each(tools)
    if tools is not None and (given is None or isinstance(tools, str)):
        raise TypeError(f"tools is {_what(tools)}; give a list of ToolSchema")
    names: list[str] = []
    for tool in given or ():
        if not isinstance(tool, ToolSchema):
            raise TypeError(
                f"tools holds {_what(tool)}; give a list of ToolSchema(name, description, parameters): of a function with @tool it is its schema"
            )
        names.append(tool.name)
    extra = options.get("extra_body")
    others = isinstance(extra, Mapping) and "tools" in extra  # in a server's own words, which are not read here
    if choice is not None and choice not in ("auto", "none", "required", *names) and not others:
        known = f"the request's tools are {', '.join(names)}" if names else "the request has no tools"
        raise ValueError(f"tool_choice is {choice!r}, and {known}; give 'auto', 'none', 'required' or the name of a tool")


def _each(values: object) -> Iterable[object] | None:
    """What is in a list or its like; None where it is none."""
    return cast("Iterable[object]", values) if isinstance(values, Iterable) else None


def _what(value: object) -> str:
    """What somebody gave, without what it holds."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
