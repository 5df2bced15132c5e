"""A pydantic class as `response_format`: what is sent in its place, and the instance that the answer is. One way for all providers."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from ecs_agent.errors import StructuredOutputError
from ecs_agent.providers.capabilities import Capabilities
from ecs_agent.providers.classify import scrub
from ecs_agent.providers.protocol import RequestOptions
from ecs_agent.providers.structured.response_format import is_model, response_format_of
from ecs_agent.streaming.json_edge import without_surrogates
from ecs_agent.types import CompletionResult

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound="BaseModel")

MOST_PROBLEMS: Final = 8
LONGEST_PROBLEM: Final = 200
"""So many problems are told, in so many characters each."""
_MOST_ERRORS: Final = 1000
_FENCE: Final = re.compile(r"```[a-zA-Z0-9]*[ \t]*\r?")


def asked_format(options: RequestOptions, capabilities: Capabilities) -> RequestOptions:
    """The options as they are sent: a class given as `response_format` is replaced by its wire object.

    Raises:
        UnsupportedFeatureError: its schema cannot be closed, and the provider takes no other.
        TypeError: the `response_format` is neither a class nor a wire object.
    """
    asked = options.get("response_format")
    if asked is None or isinstance(asked, dict):
        return options
    made = options.copy()
    made["response_format"] = response_format_of(asked, strict=capabilities.strict_schemas)
    return made


def with_parsed(result: CompletionResult, response_format: object) -> CompletionResult:
    """The result with the instance that its text is, where a class was asked for.

    Raises:
        StructuredOutputError: there is none; the error says why, and holds the result.
    """
    return replace(result, parsed=parsed(result, response_format, result.message.content)) if is_model(response_format) else result


def parsed(result: CompletionResult, model: type[M], text: str, nothing: str | None = None) -> M:
    """The instance of a class that an answer's text is. A fence of Markdown around it is taken off; no other words may stand there.

    Args:
        result: the whole answer, for the error.
        model: the class.
        text: where the object stands in the answer.
        nothing: what an answer without such a text is told to lack; else what it has instead.

    Raises:
        StructuredOutputError: there is none.
    """
    from pydantic import ValidationError  # noqa: PLC0415 - heavy

    try:
        if text.strip():
            return model.model_validate_json(without_surrogates(unfenced(text)))
        problems = []
    except ValidationError as error:
        problems = problems_of(error)
    raise unfit(result, model, problems, nothing)


def unfenced(text: str) -> str:
    """The text within a fence of Markdown that is all there is; else the same."""
    first, _, rest = text.strip().partition("\n")
    return rest.removesuffix("```") if _FENCE.fullmatch(first) else text


def lost(result: CompletionResult) -> str | None:
    """Why an answer is no object although its words may fit, and asking again is no help: it was refused, filtered or cut. Else None."""
    if result.message.refusal:
        return f"was refused: {told(result.message.refusal)}"
    match result.finish_reason:
        case "content_filter":
            return "was stopped by the provider's content filter"
        case "length":
            return "was cut off at its length limit; raise max_tokens, or ask for less"
        case _:
            return None


def unfit(result: CompletionResult, model: type[BaseModel], problems: list[str], nothing: str | None = None) -> StructuredOutputError:
    """The error for an answer that is no instance of a class; without problems there was nothing to look at."""
    why = lost(result)
    if why is None and not problems:
        calls = result.message.tool_calls
        why = nothing or (f"has no text, it calls the tool {told(calls[0].name)!r}" if calls else "has no text")
    if why is not None:
        return StructuredOutputError(f"the answer {why}", result=result, problems=[f"it {why}"])
    return StructuredOutputError(f"the answer is no {model.__name__}: {'; '.join(problems)}", result=result, problems=problems)


def problems_of(error: ValidationError, at: tuple[str | int, ...] = (), *, skip: int = 0) -> list[str]:
    """What is wrong, a phrase each: the path and what should be there, without the values.

    Args:
        error: what pydantic says.
        at: the path of the value that it looked at.
        skip: so many steps of its own paths are left out.
    """
    if error.error_count() > _MOST_ERRORS:  # listing a million errors takes longer than finding them
        return [f"{error.error_count()} values do not fit"]
    found = error.errors(include_url=False, include_context=False, include_input=False)
    listed = [told(_problem((*at, *each["loc"][skip:]), each["type"], each["msg"])) for each in found[:MOST_PROBLEMS]]
    more = len(found) - MOST_PROBLEMS
    return [*listed, f"and {more} more"] if more > 0 else listed


def _problem(path: tuple[str | int, ...], kind: str, message: str) -> str:
    where = "".join([f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]).lstrip(".") or "it"
    if kind == "missing":
        return f"{where} is missing"
    if kind == "extra_forbidden":
        return f"{where} is unknown"
    message = message.removeprefix("Input ")
    return f"{where} {message[:1].lower()}{message[1:]}" if message.startswith("should") else f"{where}: {message}"


def told(text: str) -> str:
    """A text that a model wrote, as an error may show it: in one line, not long, and without what looks like a key."""
    line = scrub(" ".join(text.split()), ())
    return line if len(line) <= LONGEST_PROBLEM else f"{line[: LONGEST_PROBLEM - 1]}…"
