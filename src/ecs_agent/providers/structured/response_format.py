"""The wire object that asks for a structured answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.structured.strict_schema import strict_schema
from ecs_agent.streaming.json_edge import is_object
from ecs_agent.types import JsonObject

if TYPE_CHECKING:
    from pydantic import BaseModel

_NO_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]+")
_LONGEST_NAME: Final = 64
"""Servers take no other characters in a name, and no longer one."""


def pydantic_to_response_format(model: type[BaseModel]) -> JsonObject:
    """What to give as `response_format` so that the answer is JSON of a pydantic model.

    The schema is closed, as strict servers ask: every object lists all of its properties as required and takes no others; an optional field is
    one that may be null. Validate the answer with `model.model_validate_json(result.message.content)`, or give the class itself as
    `response_format` and read `result.parsed`.

    Raises:
        UnsupportedFeatureError: the schema cannot be closed, as with a dict of free keys; the sentence names the field and says what to do.
    """
    return _wire(model, strict_schema(model.model_json_schema(), model.__name__), strict=True)


def response_format_of(asked: JsonObject | type[BaseModel], *, strict: bool) -> JsonObject:
    """The wire object of what was given as `response_format`.

    Args:
        asked: a pydantic class, or a wire object, which stays as it is.
        strict: the provider takes only closed schemas. Else one that cannot be closed is sent as it is, with `strict` false.

    Raises:
        UnsupportedFeatureError: the schema cannot be closed, and must be.
        TypeError: it is neither.
    """
    if not is_model(asked):
        if is_object(asked):
            return asked
        given = f"the class {asked.__name__}" if isinstance(asked, type) else f"a {type(asked).__name__}"
        raise TypeError(f"response_format is {given}; give a pydantic class or a wire object (a dict)")
    try:
        return pydantic_to_response_format(asked)
    except UnsupportedFeatureError:
        if strict:
            raise
        return _wire(asked, asked.model_json_schema(), strict=False)


def is_model(value: object) -> TypeGuard[type[BaseModel]]:
    """Whether this is a pydantic class."""
    if not isinstance(value, type):
        return False
    from pydantic import BaseModel  # noqa: PLC0415 - heavy

    return issubclass(value, BaseModel)


def wire_name(model: type[BaseModel]) -> str:
    """What servers are told a model is called: `Page[int]` is no name for them."""
    return _NO_NAME.sub("_", model.__name__).strip("_")[:_LONGEST_NAME] or "answer"


def _wire(model: type[BaseModel], schema: Any, *, strict: bool) -> JsonObject:
    return {"type": "json_schema", "json_schema": {"name": wire_name(model), "schema": schema, "strict": strict}}
