"""JSON schemas as the Gemini API takes them: open or closed, of few keywords, and with nothing beside a reference.

The API reads `$defs`, `$ref`, `type`, `format`, `title`, `description`, `enum`, `items`, `prefixItems`, the bounds of numbers and of lists, `anyOf`,
`oneOf`, `properties`, `additionalProperties` and `required`. Nothing stands beside a `$ref`, and a property that leads back to its own object must
not be required (https://ai.google.dev/api/generate-content#GenerationConfig, `responseJsonSchema`).
"""

from __future__ import annotations

from typing import Any, Final

from ecs_agent.providers.structured.strict_schema import said_in_words
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.types import JsonObject

_NOT_READ: Final = frozenset(
    {
        "default", "examples", "exclusiveMaximum", "exclusiveMinimum", "maxLength", "maxProperties", "minLength", "minProperties", "multipleOf",
        "pattern", "uniqueItems",
    }
)  # fmt: skip
_NAMES: Final = ("properties", "$defs", "definitions")


def accepted_schema(schema: JsonObject) -> JsonObject:
    """The same schema in keywords that the API reads; what the others say is said to the model in the descriptions."""
    worded: JsonObject = said_in_words(schema, _NOT_READ)
    made: JsonObject = _in_its_words(worded)
    definitions = made.get("$defs")
    if is_object(definitions):
        made["$defs"] = {name: _may_end(inner, name, definitions) for name, inner in definitions.items()}
    return made


def _in_its_words(schema: Any) -> Any:
    if is_list(schema):
        return [_in_its_words(item) for item in schema]
    if not is_object(schema):
        return schema
    made: JsonObject = {}
    for key, value in schema.items():
        if key in _NAMES and is_object(value):
            made[key] = {own: _in_its_words(inner) for own, inner in value.items()}  # these keys are names of the user's
        elif key == "const" and isinstance(value, str | int | float) and not isinstance(value, bool):
            made["enum"] = [value]
        else:
            made[key] = value if key in ("enum", "const", "required") else _in_its_words(value)
    beside = {key: value for key, value in made.items() if not key.startswith("$")}
    if "$ref" in made and beside:
        dollars = {key: value for key, value in made.items() if key.startswith("$") and key != "$ref"}
        return {**beside, **dollars, "anyOf": [{"$ref": made["$ref"]}]}
    return made


def _may_end(schema: Any, name: str, definitions: JsonObject) -> Any:
    """A definition in which nothing is required that would have to hold another of its own kind, and so on without end."""
    if not is_object(schema) or not is_object(properties := schema.get("properties")) or not is_list(required := schema.get("required")):
        return schema
    endless = {own for own, inner in properties.items() if name in _reached(inner, definitions)}
    return {**schema, "required": [own for own in required if own not in endless]} if endless else schema


def _reached(schema: Any, definitions: JsonObject) -> set[str]:
    """The definitions that a schema refers to, over others too."""
    met: set[str] = set()
    left: list[Any] = [schema]
    while left:
        found = left.pop()
        if is_list(found):
            left += found
        elif is_object(found):
            name = found["$ref"].removeprefix("#/$defs/") if isinstance(found.get("$ref"), str) else None
            if name is not None and name not in met:
                met.add(name)
                left.append(definitions.get(name))
            left += found.values()
    return met
