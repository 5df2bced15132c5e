"""Writing requests of the Gemini protocol: options, the model's path, what is merged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.gemini_content.messages import STAND_IN
from ecs_agent.providers.gemini_content.request import encode_request, generation, model_name, model_path
from ecs_agent.providers.protocol import ModelRequest, RequestOptions
from ecs_agent.types import ImagePart, Message, ToolCall, ToolSchema

HI = [Message("user", "Hi")]
SCHEMA = {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "$defs": {}}


def body(model: str = "gemini-2.5-flash", include_thoughts: bool | None = None, **options: Any) -> dict[str, Any]:
    request = ModelRequest(model, HI, False, RequestOptions(**options))  # type: ignore[typeddict-item]
    return encode_request(request, include_thoughts=include_thoughts)


def config(model: str = "gemini-2.5-flash", include_thoughts: bool | None = None, **options: Any) -> Any:
    return body(model, include_thoughts, **options).get("generationConfig")


def test_what_is_not_given_is_not_sent() -> None:
    assert body() == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    assert body(temperature=None, tools=[], stop=None, metadata=None, parallel_tool_calls=True, response_format={"type": "text"}) == body()


def test_what_the_system_says_stands_beside_the_conversation() -> None:
    asked = encode_request(ModelRequest("gemini-2.5-flash", [Message("system", "Be kind."), *HI], False, RequestOptions()))
    assert asked == body() | {"systemInstruction": {"parts": [{"text": "Be kind."}]}}


@pytest.mark.parametrize(
    ("model", "asked", "inside", "stands_in"),
    [
        ("gemini-2.5-flash", {}, False, False),
        ("gemini-2.5-flash", {"stand_in": True}, False, True),
        ("gemini-3-pro-preview", {}, True, True),
        ("gemini-4-flash", {"stand_in": True}, True, True),
        ("tunedModels/mine", {}, False, False),
    ],
)
def test_from_the_third_generation_on_images_stand_in_results_and_calls_without_a_signature_get_the_documented_one(
    model: str, asked: dict[str, bool], inside: bool, stands_in: bool
) -> None:
    said = [*HI, Message("assistant", "", [ToolCall("c", "f")]), Message("tool", [ImagePart(data=b"x")], tool_call_id="c")]
    image = {"inlineData": {"mimeType": "image/png", "data": "eA=="}}
    result = {"name": "f", "response": {"result": ""}}
    called = {"functionCall": {"name": "f", "args": {}}}
    assert encode_request(ModelRequest(model, said, False, RequestOptions()), **asked)["contents"][1:] == [
        {"role": "model", "parts": [called | {"thoughtSignature": STAND_IN} if stands_in else called]},
        {"role": "user", "parts": [{"functionResponse": result | {"parts": [image]}}] if inside else [{"functionResponse": result}, image]},
    ]


def test_options_have_the_names_of_the_protocol() -> None:
    asked = config(temperature=0, top_p=0.5, max_tokens=9, seed=0, stop="END", logprobs=True, top_logprobs=3)
    assert asked == {
        "temperature": 0,
        "topP": 0.5,
        "maxOutputTokens": 9,
        "seed": 0,
        "stopSequences": ["END"],
        "responseLogprobs": True,
        "logprobs": 3,
    }
    assert config(stop=("a", "b"))["stopSequences"] == ["a", "b"]
    assert config(top_logprobs=2) == {"responseLogprobs": True, "logprobs": 2}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"logit_bias": {"1": 2.0}}, "no word for logit_bias; leave it out"),
        ({"metadata": {"a": "b"}}, "no word for metadata; leave it out .on Vertex AI give extra_body"),
        (
            {"parallel_tool_calls": False},
            "^the Gemini protocol has no word for parallel_tool_calls=False; leave it out, and say in the prompt to call one at a time$",
        ),
        ({"reasoning_effort": "xhigh"}, "gemini-2.5-flash has no reasoning_effort 'xhigh'; give one of: none, minimal, low, medium, high"),
        ({"reasoning_effort": 3}, "has no reasoning_effort 3"),
        (
            {"response_format": {"type": "grammar"}},
            "^this is no format of an answer; give {'type': 'json_schema', 'json_schema': {'name': …, 'schema': {…}}}$",
        ),
        ({"response_format": {"type": "json_schema"}}, "no format of an answer"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": 1}}}, "no format of an answer"),
        ({"response_format": "json"}, "no format of an answer"),
    ],
)
def test_what_the_protocol_has_no_word_for_is_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UnsupportedFeatureError, match=sentence):
        body(**options)


def test_tools_are_declared_by_their_json_schema_as_it_is() -> None:
    tool = ToolSchema("f", "Does f.", SCHEMA)
    assert body(tools=[tool])["tools"] == [{"functionDeclarations": [{"name": "f", "description": "Does f.", "parametersJsonSchema": SCHEMA}]}]


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ("f", {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_the_choice_of_tools(choice: str, written: dict[str, Any]) -> None:
    assert body(tool_choice=choice, tools=[ToolSchema("f", "", {})])["toolConfig"] == {"functionCallingConfig": written}


def test_without_tools_nothing_need_be_said_of_them() -> None:
    assert body(tool_choice="auto") == body(tool_choice="none") == body()
    assert body(tool_choice="required")["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}


@pytest.mark.parametrize("option", ["response_format", "output_format"])
def test_a_structured_answer_is_asked_for_by_its_json_schema(option: str) -> None:
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}
    asked: dict[str, Any] = {option: wanted}
    assert config(**asked) == {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
    asked[option] = {"type": "json_object"}
    assert config(**asked) == {"responseMimeType": "application/json"}


@pytest.mark.parametrize(
    ("model", "effort", "written"),
    [
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-flash", "minimal", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-pro", "low", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("models/gemini-2.5-pro", "medium", {"thinkingBudget": 8192, "includeThoughts": True}),
        ("tunedModels/mine", "high", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-3-flash-preview", "minimal", {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        ("gemini-3.1-pro-preview", "minimal", {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-3.1-pro-preview", "low", {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-flash-latest", "medium", {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        ("gemini-12-flash", "high", {"thinkingLevel": "HIGH", "includeThoughts": True}),
    ],
)
def test_how_much_to_think_is_said_as_the_generation_takes_it(model: str, effort: str, written: dict[str, Any]) -> None:
    assert config(model, reasoning_effort=effort) == {"thinkingConfig": written}


def test_a_model_that_cannot_but_think_says_so() -> None:
    with pytest.raises(UnsupportedFeatureError, match="gemini-3-flash has no reasoning_effort 'none'; give one of: minimal, low, medium, high"):
        body("gemini-3-flash", reasoning_effort="none")


def test_whether_thoughts_are_told_can_be_said_for_all_requests() -> None:
    assert config(include_thoughts=True) == {"thinkingConfig": {"includeThoughts": True}}
    assert config(include_thoughts=False, reasoning_effort="low") == {"thinkingConfig": {"thinkingBudget": 1024}}


def test_extra_body_adds_to_the_options_and_tools_and_replaces_everything_else() -> None:
    extra = {
        "generationConfig": {"topK": 4, "temperature": 2, "thinkingConfig": {"thinkingBudget": -1}},
        "toolConfig": {"functionCallingConfig": {"streamFunctionCallArguments": True}, "includeServerSideToolInvocations": True},
        "tools": [{"googleSearch": {}}],
        "safetySettings": [{"category": "C", "threshold": "OFF"}],
        "contents": [],
    }
    asked = body(temperature=1, reasoning_effort="low", tool_choice="auto", tools=[ToolSchema("f", "", {})], extra_body=extra)
    assert asked["generationConfig"] == {"temperature": 2, "topK": 4, "thinkingConfig": {"thinkingBudget": -1, "includeThoughts": True}}
    assert asked["toolConfig"] == {
        "functionCallingConfig": {"mode": "AUTO", "streamFunctionCallArguments": True},
        "includeServerSideToolInvocations": True,
    }
    assert [list(tool) for tool in asked["tools"]] == [["functionDeclarations"], ["googleSearch"]]
    assert asked["safetySettings"] == extra["safetySettings"]
    assert asked["contents"] == []
    assert body(extra_body={"generationConfig": {"topK": 4}, "tools": [{"googleSearch": {}}]}) == body() | {
        "generationConfig": {"topK": 4},
        "tools": [{"googleSearch": {}}],
    }


def test_a_schema_of_extra_body_is_not_mixed_with_ours() -> None:
    asked = config(
        response_format={"type": "json_schema", "json_schema": {"schema": SCHEMA}}, extra_body={"generationConfig": {"responseJsonSchema": {}}}
    )
    assert asked["responseJsonSchema"] == {}


@pytest.mark.parametrize(
    ("model", "path", "name"),
    [
        ("gemini-2.5-flash", "models/gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("models/gemini-2.5-flash", "models/gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("tunedModels/mine", "tunedModels/mine", "tunedModels/mine"),
        ("gemini-1.5-pro@001", "models/gemini-1.5-pro@001", "models/gemini-1.5-pro@001"),
        ("a/../b?key=x#y:z", "models/a%2F..%2Fb%3Fkey%3Dx%23y%3Az", "models/a/../b?key=x#y:z"),
        ("\ud800", "models/%3F", "models/\ud800"),
    ],
)
def test_a_model_is_a_path_that_leads_nowhere_else(model: str, path: str, name: str) -> None:
    assert model_path(model) == path
    assert model_name(model) == name


@pytest.mark.parametrize("model", ["models/../secrets", "models/", "tunedModels/./x", "..", "models//x", ""])
def test_what_is_no_name_of_a_model_is_refused(model: str) -> None:
    with pytest.raises(UnsupportedFeatureError, match="is no name of a model; it looks like 'gemini-"):
        model_path(model)


@given(st.text())
def test_a_path_holds_only_what_a_path_may(model: str) -> None:
    try:
        path = model_path(model)
    except UnsupportedFeatureError:
        return
    assert all(char.isascii() and (char.isalnum() or char in "-._~@%/") for char in path)
    assert ".." not in path.split("/")


@pytest.mark.parametrize(
    ("model", "number"),
    [
        ("gemini-1.5-pro", 1),
        ("gemini-2.5-flash-lite", 2),
        ("models/gemini-3-pro", 3),
        ("gemini-flash-latest", 3),
        ("gemini-exp-1206", None),
        ("gemma-3", None),
        ("gemini-1206", None),
    ],
)
def test_the_generation_is_read_off_the_name(model: str, number: int | None) -> None:
    assert generation(model) == number
