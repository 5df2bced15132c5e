"""What an option holds is looked at before anything is sent, whoever is asked."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import BaseModel

from ecs_agent.providers import AnthropicProvider, FakeProvider, GeminiProvider, OpenAIProvider, OpenAIResponsesProvider
from ecs_agent.providers.option_values import check_values
from ecs_agent.testing import ScriptedTransport, run
from ecs_agent.types import Message, ToolSchema

HI = [Message("user", "Hello?")]
TOOL = ToolSchema("weather", "Tells the weather.", {"type": "object"})
PROVIDERS = (OpenAIProvider, OpenAIResponsesProvider, AnthropicProvider, GeminiProvider)


class City(BaseModel):
    name: str


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"temperature": "0.5"}, "temperature is a str; give a number"),
    ({"temperature": True}, "temperature is a bool; give a number"),
    ({"max_tokens": "5"}, "max_tokens is a str; give a whole number"),
    ({"max_tokens": 1.5}, "max_tokens is a float; give a whole number"),
    ({"top_p": [1]}, "top_p is a list; give a number"),
    ({"seed": "1"}, "seed is a str; give a whole number"),
    ({"logprobs": 5}, "logprobs is a int; give True or False"),
    ({"top_logprobs": True}, "top_logprobs is a bool; give a whole number"),
    ({"parallel_tool_calls": "no"}, "parallel_tool_calls is a str; give True or False"),
    ({"model": 5}, "model is a int; give the name of a model"),
    ({"reasoning_effort": True}, "reasoning_effort is a bool; give a word, such as 'low'"),
    ({"stop": 5}, "stop is a int; give a text, or a list of texts"),
    ({"stop": ["a", 5]}, "stop is a list; give a text, or a list of texts"),
    ({"extra_body": "x"}, "extra_body is a str; give a dict"),
    ({"extra_headers": ["a"]}, "extra_headers is a list; give a dict"),
    ({"metadata": "a"}, "metadata is a str; give a dict"),
    ({"logit_bias": [1]}, "logit_bias is a list; give a dict"),
    ({"output_format": City}, "output_format is the class City; give a wire object (a dict), or ask by stream_object()"),
    ({"tools": "weather"}, "tools is a str; give a list of ToolSchema"),
    ({"tools": TOOL}, "tools is a ToolSchema; give a list of ToolSchema"),
    (
        {"tools": [{"type": "function", "function": {"name": "weather"}}]},
        "tools holds a dict; give a list of ToolSchema(name, description, parameters): of a function with @tool it is its schema",
    ),
    ({"tool_choice": {"type": "function"}}, "tool_choice is a dict; give 'auto', 'none', 'required' or the name of a tool"),
]


@pytest.mark.parametrize("kind", PROVIDERS)
@pytest.mark.parametrize(("options", "said"), WRONG, ids=lambda value: str(value)[:40])
def test_a_value_that_is_none_for_its_option_is_refused_before_anything_is_sent(kind: Any, options: dict[str, Any], said: str) -> None:
    server = ScriptedTransport(["never said"])

    async def main() -> None:
        await kind("a-key", model="m", transport=server).complete(HI, **options)

    with pytest.raises(TypeError) as caught:
        run(main)
    assert str(caught.value) == said
    assert server.requests == []


@pytest.mark.parametrize(("name", "value"), [("temperature", math.nan), ("top_p", math.inf), ("temperature", -math.inf)])
def test_a_number_that_json_has_not_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{name} is {value}; give a finite number$"):
        check_values({name: value})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tools": [TOOL], "tool_choice": "wether"}, "tool_choice is 'wether', and the request's tools are weather; give 'auto'"),
        ({"tool_choice": "weather"}, "tool_choice is 'weather', and the request has no tools; give 'auto'"),
    ],
)
def test_a_choice_of_a_tool_that_is_not_there_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_values(options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 1, "top_p": 0.5, "max_tokens": 9, "seed": 0, "logprobs": False, "top_logprobs": 3, "parallel_tool_calls": True},
        {"temperature": None, "tools": None, "tool_choice": None, "stop": None},
        {"stop": "a"},
        {"stop": ("a", "b")},
        {"tools": [TOOL], "tool_choice": "weather"},
        {"tool_choice": "auto"},
        {"tool_choice": "web_search", "extra_body": {"tools": [{"type": "web_search"}]}},
        {"extra_body": {}, "extra_headers": {}, "metadata": {}, "logit_bias": {}, "output_format": {}, "reasoning_effort": "low", "model": "m"},
    ],
)
def test_what_is_right_or_not_set_passes(options: dict[str, Any]) -> None:
    check_values(options)


@pytest.mark.parametrize("messages", [None, HI[0], 5])
def test_a_conversation_that_is_no_list_is_told_as_such(messages: Any) -> None:
    async def main() -> None:
        await FakeProvider(["never said"]).complete(messages)

    with pytest.raises(TypeError, match=rf"messages is a {type(messages).__name__}; give a list of Message, such as \[Message\('user', 'Hello'\)\]"):
        run(main)
