"""The wire object that asks for a structured answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.types import JsonObject

if TYPE_CHECKING:
    from pydantic import BaseModel


def pydantic_to_response_format(model: type[BaseModel]) -> JsonObject:
    """What to give as `response_format` so that the answer is JSON of a pydantic model.

    The schema is closed, as strict servers ask: every object lists all of its properties as required and takes no others; an optional field is
    one that may be null. Validate the answer with `model.model_validate_json(result.message.content)`.
    """
    return {"type": "json_schema", "json_schema": {"name": model.__name__, "schema": _closed(model.model_json_schema()), "strict": True}}


def _closed(schema: Any) -> Any:
    if is_list(schema):
        return [_closed(item) for item in schema]
    if not is_object(schema):
        return schema
    made: JsonObject = {}
    for name, value in schema.items():
        if name in ("properties", "$defs") and is_object(value):
            made[name] = {key: _closed(inner) for key, inner in value.items()}  # these keys are names of the user's
        elif name != "default":
            made[name] = _closed(value)
    properties = made.get("properties")
    if made.get("type") == "object" and is_object(properties):
        made["required"] = list(properties)
        made["additionalProperties"] = False
    return made
