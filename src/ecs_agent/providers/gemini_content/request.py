"""Writing requests of the Gemini protocol: the model's path, the options, and the body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import quote

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.gemini_content.messages import contents_of, system_text
from ecs_agent.providers.gemini_content.schema import accepted_schema
from ecs_agent.providers.protocol import ModelRequest, RequestOptions
from ecs_agent.providers.wire.request_values import plain_option
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.types import JsonObject, ToolSchema

_AS_THEY_ARE: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "max_tokens": "maxOutputTokens",
    "seed": "seed",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
"""Options that only have another name in `generationConfig`."""

_WITHOUT_A_WORD: Final = {
    "logit_bias": "logit_bias; leave it out",
    "metadata": "metadata; leave it out (on Vertex AI give extra_body={'labels': …})",
}
_CHOICES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_MERGED: Final = frozenset({"generationConfig", "thinkingConfig", "toolConfig", "functionCallingConfig"})
"""Objects of a body into which those of `extra_body` are merged, so that it can add one key."""

_LEVELS: Final = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH"}
_BUDGETS: Final = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
"""Tokens to think with, as Google's own compatibility layer reads the words (https://ai.google.dev/gemini-api/docs/openai#thinking)."""

_NUMBERED: Final = re.compile(r"gemini-(\d{1,3})(?!\d)")
_LATEST: Final = re.compile(r"gemini-(?:pro|flash|flash-lite)-latest$")
_COLLECTIONS: Final = ("models/", "tunedModels/", "publishers/", "projects/", "endpoints/")


def model_name(model: str) -> str:
    """The full name of a model: "models/…" if it does not say where it is."""
    return "/".join(_steps(model))


def model_path(model: str) -> str:
    """The same as a path, quoted so that nothing in a name leads elsewhere.

    Raises:
        UnsupportedFeatureError: it is no name of a model.
    """
    return "/".join([quote(step, safe="@", errors="replace") for step in _steps(model)])


def _steps(model: str) -> list[str]:
    steps = model.split("/") if model.startswith(_COLLECTIONS) else ["models", model]
    if any(step in ("", ".", "..") for step in steps):
        raise UnsupportedFeatureError(f"{model!r} is no name of a model; it looks like 'gemini-2.5-flash' or 'tunedModels/…'")
    return steps


def generation(model: str) -> int | None:
    """Which generation of Gemini a model is of; None where its name does not say."""
    numbered = _NUMBERED.search(model)
    if numbered is not None:
        return int(numbered[1])
    return 3 if _LATEST.search(model) else None


def encode_request(request: ModelRequest, *, include_thoughts: bool | None = None, stand_in: bool = False) -> JsonObject:
    """The JSON of a request. What is not given is not sent; `extra_body` is merged last.

    Args:
        request: what is asked.
        include_thoughts: whether thoughts are to be told in words; None: where the request says how much to think.
        stand_in: give calls that have no signature the documented one, whatever the model's name.

    Raises:
        UnsupportedFeatureError: the protocol has no word for an option, or cannot carry a part of the conversation.
    """
    options, model_generation = request.options, generation(request.model)
    _refuse(options)
    newer = model_generation is not None and model_generation >= 3
    body: JsonObject = {"contents": contents_of(request.messages, media_in_results=newer, stand_in=stand_in or newer)}
    if system := system_text(request.messages):
        body["systemInstruction"] = {"parts": [{"text": system}]}
    tools, choice = options.get("tools"), options.get("tool_choice")
    if tools:
        body["tools"] = [{"functionDeclarations": [_tool(tool) for tool in tools]}]
    if choice is not None and (tools or choice not in ("auto", "none")):  # words on tools are refused where there are none
        body["toolConfig"] = {"functionCallingConfig": _choice(choice)}
    if config := _config(options, request.model, include_thoughts):
        body["generationConfig"] = config
    return _merged(body, options.get("extra_body") or {})


def _refuse(options: RequestOptions) -> None:
    given = cast("Mapping[str, object]", options)
    for name, advice in _WITHOUT_A_WORD.items():
        if given.get(name):
            raise UnsupportedFeatureError(f"the Gemini protocol has no word for {advice}")
    if options.get("parallel_tool_calls") is False:
        raise UnsupportedFeatureError(
            "the Gemini protocol has no word for parallel_tool_calls=False; leave it out, and say in the prompt to call one at a time"
        )


def _tool(tool: ToolSchema) -> JsonObject:
    return {"name": tool.name, "description": tool.description, "parametersJsonSchema": accepted_schema(tool.parameters)}


def _choice(choice: str) -> JsonObject:
    return {"mode": _CHOICES[choice]} if choice in _CHOICES else {"mode": "ANY", "allowedFunctionNames": [choice]}


# generationConfig


def _config(options: RequestOptions, model: str, include_thoughts: bool | None) -> JsonObject:
    given = cast("Mapping[str, object]", options)
    config: JsonObject = {word: plain_option(value) for name, word in _AS_THEY_ARE.items() if (value := given.get(name)) is not None}
    if "logprobs" in config:
        config.setdefault("responseLogprobs", True)
    stop = options.get("stop")
    if stop is not None:
        config["stopSequences"] = [stop] if isinstance(stop, str) else list(stop)
    thinking = _thinking(options.get("reasoning_effort"), model, include_thoughts)
    if thinking:
        config["thinkingConfig"] = thinking
    return config | _format(given.get("output_format") or given.get("response_format"))


def _format(wanted: object) -> JsonObject:
    found = dict(cast("Mapping[str, Any]", wanted)) if isinstance(wanted, Mapping) else {"type": wanted}
    named = found.get("json_schema")
    match found.get("type"):
        case None | "text":
            return {}
        case "json_object":
            return {"responseMimeType": "application/json"}
        case "json_schema" if is_object(named) and is_object(named.get("schema")):
            return {"responseMimeType": "application/json", "responseJsonSchema": accepted_schema(named["schema"])}
        case _:
            raise UnsupportedFeatureError("this is no format of an answer; give {'type': 'json_schema', 'json_schema': {'name': …, 'schema': {…}}}")


def _thinking(effort: object, model: str, include_thoughts: bool | None) -> JsonObject:
    """How much to think: Gemini 3 takes levels, what came before it a budget of tokens; and whether thoughts are told."""
    made: JsonObject = {}
    if effort is not None:
        made = _effort(effort, model)
    told = include_thoughts if include_thoughts is not None else effort not in (None, "none")
    return {**made, "includeThoughts": True} if told else made


def _effort(effort: object, model: str) -> JsonObject:
    model_generation = generation(model)
    levels = model_generation is not None and model_generation >= 3
    words: Mapping[str, object] = _LEVELS if levels else _BUDGETS
    if not isinstance(effort, str) or effort not in words:
        raise UnsupportedFeatureError(f"{model} has no reasoning_effort {effort!r}; give one of: {', '.join(words)}")
    if levels:
        return {"thinkingLevel": "LOW" if effort == "minimal" and "pro" in model else _LEVELS[effort]}  # the lowest level of the pro models
    return {"thinkingBudget": _BUDGETS[effort]}


# extra_body


def _merged(body: JsonObject, extra: Mapping[str, Any]) -> JsonObject:
    """The body with what the user adds: into the objects that hold options, behind our tools, and instead of anything else."""
    made = dict(body)
    for name, value in extra.items():
        ours = made.get(name)
        if name in _MERGED and is_object(ours) and is_object(value):
            made[name] = _merged(ours, value)
        elif name == "tools" and is_list(ours) and is_list(value):
            made[name] = [*ours, *value]
        else:
            made[name] = value
    return made
