"""Strict schemas: the part of JSON Schema by which servers make sure that an answer fits, and how a schema of pydantic is brought into it.

What OpenAI takes with `strict` (platform.openai.com/docs/guides/structured-outputs, "Supported schemas") is the narrowest, so it is what is made:

* The root is an object and no union. Every object lists all of its properties as required and takes no others, so there are no free keys.
* `anyOf`, `enum`, `const`, `$ref` and `$defs`, also recursive ones; no `oneOf`, `allOf`, `not`, no conditions, nothing beside a `$ref`, no `default`.
* Arrays have one schema for all items; there are no tuples. Every value has a type.
* `pattern` (without looking around), nine values of `format`, the bounds of numbers and `minItems`, `maxItems`.

What a keyword beyond those says is told to the model in words, in the description, and checked when the answer is validated. Anthropic takes closed
schemas too, but no bounds; Gemini takes nearly all of this. What they do not take, the `schema` modules of their protocols say in words as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.types import JsonObject

BOUNDS: Final = frozenset({"exclusiveMaximum", "exclusiveMinimum", "maxItems", "maximum", "minItems", "minimum", "multipleOf"})
FORMATS: Final = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"})

_AS_THEY_ARE: Final = BOUNDS | {"const", "description", "enum", "format", "pattern", "type"}
_IN_WORDS: Final = frozenset({"contentEncoding", "contentMediaType", "examples", "maxLength", "minLength", "uniqueItems"})
_REFUSED: Final = ("allOf", "contains", "dependentRequired", "dependentSchemas", "else", "if", "not", "then", "unevaluatedProperties")
_OPEN: Final = ("maxProperties", "minProperties", "patternProperties", "propertyNames")
_LOOKS_AROUND: Final = re.compile(r"\(\?(?!:)")
_DEFS: Final = "#/$defs/"
_TYPES: Final[Mapping[type, str]] = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def strict_schema(schema: JsonObject, name: str) -> JsonObject:
    """The same schema, closed.

    Args:
        schema: as pydantic makes it.
        name: how errors call its root.

    Raises:
        UnsupportedFeatureError: it cannot be closed; the sentence names the field, and what to do.
    """
    return _Closing(schema, name).root()


def said_in_words(schema: Any, keywords: Collection[str]) -> Any:
    """The same schema without these keywords; what they say stands in the descriptions."""
    if is_list(schema):
        return [said_in_words(item, keywords) for item in schema]
    if not is_object(schema):
        return schema
    made: JsonObject = {}
    for key, value in schema.items():
        if key in ("properties", "$defs") and is_object(value):
            made[key] = {own: said_in_words(inner, keywords) for own, inner in value.items()}  # these keys are names of the user's
        elif key not in keywords:
            made[key] = value if key in ("enum", "const") else said_in_words(value, keywords)
    return _described(made, {key: value for key, value in schema.items() if key in keywords})


class _Closing:
    """A schema on its way to a closed one. A path is the name of a model, then those of its fields."""

    def __init__(self, schema: JsonObject, name: str) -> None:
        self._schema = schema
        self._name = name
        self._defs: JsonObject = schema.get("$defs", {})

    def root(self) -> JsonObject:
        schema = {key: value for key, value in self._schema.items() if key != "$defs"}
        if set(schema) & {"$ref"}:  # a recursive model is a reference to itself
            schema = {**self._target(schema, self._name), **{key: value for key, value in schema.items() if key != "$ref"}}
        if schema.get("type") != "object":
            raise _refusal(self._name, "the root of a structured answer must be an object", "make it a field of a model")
        made = self._closed(schema, self._name)
        if self._defs:
            made["$defs"] = {name: self._closed(inner, name) for name, inner in self._defs.items()}
        return made

    def _closed(self, schema: Any, path: str) -> JsonObject:
        if not is_object(schema):
            raise _refusal(path, "a value of any type cannot be made strict", "give it a type")
        alone = schema.get("allOf")
        if is_list(alone) and len(alone) == 1 and is_object(alone[0]):
            schema = {**alone[0], **{key: value for key, value in schema.items() if key != "allOf"}}
        wrong = next((key for key in _REFUSED if key in schema), None)
        if wrong is not None:
            raise _refusal(path, f"strict schemas have no {wrong!r}", "leave it to a validator of the model")
        if "$ref" in schema:
            return self._reference(schema, path)
        made: JsonObject = {key: value for key, value in schema.items() if key in _AS_THEY_ARE}
        variants = schema.get("anyOf", schema.get("oneOf"))
        if is_list(variants):
            made["anyOf"] = [self._closed(variant, path) for variant in variants]
        elif "type" not in made:
            made["type"] = _type_of(schema, path)
        if made.get("type") == "object":
            made |= self._object(schema, path)
        if made.get("type") == "array":
            made |= self._array(schema, path)
        return _described(made, {key: value for key, value in schema.items() if key in _IN_WORDS} | _unfit(made))

    def _reference(self, schema: JsonObject, path: str) -> JsonObject:
        """A reference stands alone. What stands beside it is merged into what it means, unless that means itself."""
        beside = {key: value for key, value in schema.items() if key in _AS_THEY_ARE}
        name = str(schema["$ref"]).removeprefix(_DEFS)
        if not beside or name in self._meant_by(name):
            return {"$ref": schema["$ref"]}
        return self._closed({**self._target(schema, path), **beside}, path)

    def _target(self, schema: JsonObject, path: str) -> JsonObject:
        found = self._defs.get(str(schema["$ref"]).removeprefix(_DEFS))
        if not is_object(found):
            raise _refusal(path, f"{schema['$ref']} is not in the schema", "let pydantic make the schema")
        return found

    def _meant_by(self, name: str) -> set[str]:
        """All definitions that one refers to, over others too."""
        met: set[str] = set()
        left = [self._defs.get(name)]
        while left:
            new = {reference.removeprefix(_DEFS) for reference in _references(left.pop())} - met
            met |= new
            left += [self._defs.get(each) for each in new]
        return met

    def _object(self, schema: JsonObject, path: str) -> JsonObject:
        properties = schema.get("properties")
        if not is_object(properties) or is_object(schema.get("additionalProperties")) or any(key in schema for key in _OPEN):
            raise _refusal(path, "a dict with free keys cannot be made strict", "use a list of key and value")
        closed = {name: self._closed(inner, f"{path}.{name}") for name, inner in properties.items()}
        return {"properties": closed, "required": list(closed), "additionalProperties": False}

    def _array(self, schema: JsonObject, path: str) -> JsonObject:
        places = schema.get("prefixItems")
        if not is_list(places):
            if not schema.get("items"):
                raise _refusal(path, "a list of anything cannot be made strict", "say what its items are, as in list[str]")
            return {"items": self._closed(schema["items"], path)}
        if schema.get("maxItems") != len(places):
            raise _refusal(path, "a tuple without a fixed length cannot be made strict", "use a model with a field for each place")
        kinds = [self._closed(place, path) for place in places]
        unlike = [kind for at, kind in enumerate(kinds) if kind not in kinds[:at]]
        if len(unlike) == 1:
            return {"items": unlike[0]}
        order = f"in this order: {', '.join(map(_short, kinds))}"
        said = schema.get("description")
        return {"items": {"anyOf": unlike}, "description": f"{said} ({order})" if said else order}


def _refusal(path: str, wrong: str, remedy: str) -> UnsupportedFeatureError:
    return UnsupportedFeatureError(f"{path}: {wrong}; {remedy}")


def _type_of(schema: JsonObject, path: str) -> Any:
    """The type of a schema that only lists values."""
    values: list[object] = schema["enum"] if is_list(schema.get("enum")) else [schema["const"]] if "const" in schema else []
    kinds = list(dict.fromkeys([_TYPES.get(type(value)) for value in values]))
    if not kinds or None in kinds:
        raise _refusal(path, "a value of any type cannot be made strict", "give it a type")
    return kinds[0] if len(kinds) == 1 else kinds


def _unfit(made: JsonObject) -> JsonObject:
    """Takes out the keywords whose value strict schemas do not have."""
    unfit: JsonObject = {}
    if "format" in made and made["format"] not in FORMATS:
        unfit["format"] = made.pop("format")
    if "pattern" in made and _LOOKS_AROUND.search(str(made["pattern"])):
        unfit["pattern"] = made.pop("pattern")
    return unfit


def _described(made: JsonObject, told: Mapping[str, Any]) -> JsonObject:
    """A schema whose description tells these keywords as well."""
    words = ", ".join([f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}" for key, value in told.items()])
    if not words:
        return made
    said = made.get("description")
    return {**made, "description": f"{said} ({words})" if said else words}


def _references(schema: Any) -> list[str]:
    if is_list(schema):
        return [found for item in schema for found in _references(item)]
    if not is_object(schema):
        return []
    own = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
    return own + [found for value in schema.values() for found in _references(value)]


def _short(kind: JsonObject) -> str:
    return str(kind.get("type") or kind.get("$ref", "").removeprefix(_DEFS) or "one of several")
