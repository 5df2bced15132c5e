"""Values of requests that all protocols write alike."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from typing import cast

from ecs_agent.types import JsonObject, ToolCall


def plain_option(value: object) -> object:
    """The value of an option that is sent as it is."""
    return dict(cast("Mapping[str, object]", value)) if isinstance(value, Mapping) else value


def call_arguments(call: ToolCall) -> JsonObject:
    """A call's arguments; those that could not be read go back as an object that says so, since servers that read them refuse anything else.

    What is wrong with them, the call's result says.
    """
    return call.arguments if call.arguments_error is None else {"invalid_arguments": call.raw_arguments}


def call_text(call: ToolCall) -> str:
    """The same as JSON."""
    if call.arguments_error is None and call.raw_arguments is not None:
        return call.raw_arguments
    return json.dumps(call_arguments(call), ensure_ascii=False)


def data_url(kind: str, data: bytes) -> str:
    """Bytes of a media type as a URL."""
    return f"data:{kind};base64,{b64encode(data).decode()}"
