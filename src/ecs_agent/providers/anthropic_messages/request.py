"""Writing requests of the Messages protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.anthropic_messages.models import FIRST_ADAPTIVE, FIRST_THINKING, FIRST_XHIGH, is_older
from ecs_agent.providers.anthropic_messages.schema import accepted_schema
from ecs_agent.providers.anthropic_messages.turns import may_think, system_of, turns_of, without_thoughts
from ecs_agent.providers.protocol import ModelRequest, RequestOptions
from ecs_agent.providers.wire.request_values import plain_option
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.types import JsonObject, ToolSchema

Caching: TypeAlias = Literal["auto", "always", "none"]

LEAST_BUDGET: Final = 1024
_BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32768}
"""Tokens to think, for models that are given a number."""

_UNSAYABLE: Final = {
    "seed": "its answers cannot be made repeatable; leave seed out",
    "logit_bias": "leave logit_bias out, or say in words what to avoid",
    "logprobs": "it does not tell probabilities; leave logprobs out",
    "top_logprobs": "it does not tell probabilities; leave top_logprobs out",
}
_COUNTED: Final = ("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config")
_CACHEABLE: Final = ("text", "image", "document", "tool_use", "tool_result")


@dataclass(frozen=True, slots=True)
class Manner:
    """How requests for a model are written.

    Attributes:
        max_tokens: the most an answer may have, its thoughts included, where the request does not say.
        adaptive: the model decides how long it thinks; else it is given a number of tokens. None for what its name says.
        may_be_told_not_to_think: "none" as `reasoning_effort` switches thinking off; else it asks for as little as there is.
        caching: which beginnings of requests the server is to keep.
    """

    max_tokens: int
    adaptive: bool | None = None
    may_be_told_not_to_think: bool = True
    caching: Caching = "auto"

    def is_adaptive(self, model: str) -> bool:
        """Whether a model decides how long it thinks."""
        return self.adaptive if self.adaptive is not None else not is_older(model, FIRST_ADAPTIVE)


def encode_request(request: ModelRequest, manner: Manner) -> JsonObject:
    """The JSON of a request. What is not given is not sent; `extra_body` is merged last.

    Raises:
        UnsupportedFeatureError: an option, or a part of a message, that the protocol has no words for.
    """
    options = request.options
    for name, advice in _UNSAYABLE.items():
        if options.get(name):
            raise UnsupportedFeatureError(f"the Messages API has no {name}: {advice}")
    extra = options.get("extra_body") or {}
    most = options.get("max_tokens")
    body: JsonObject = {"model": request.model, "max_tokens": manner.max_tokens if most is None else most}
    body |= {"system": system} if (system := system_of(request.messages)) else {}
    turns = turns_of(request.messages)
    body |= _plain_options(options) | _tools(options) | _thinking(request, turns, manner, body["max_tokens"])
    body["messages"] = turns if _thinks({**body, **extra}) else without_thoughts(turns)
    if request.stream:
        body["stream"] = True
    body |= extra
    return body if manner.caching == "none" else _with_cache(body, always=manner.caching == "always")


def count_body(body: JsonObject) -> JsonObject:
    """What of a request is sent to have its tokens counted."""
    return {name: body[name] for name in _COUNTED if name in body}


# Options


def _plain_options(options: RequestOptions) -> JsonObject:
    made: JsonObject = {}
    for name in ("temperature", "top_p"):
        value = options.get(name)
        if value is not None:
            made[name] = plain_option(value)
    stop = options.get("stop")
    if stop:
        made["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
    metadata = options.get("metadata")
    if metadata:
        others = [name for name in metadata if name != "user_id"]
        if others:
            raise UnsupportedFeatureError(f"the Messages API takes only user_id as metadata, and was given {others[0]!r}; leave it out")
        made["metadata"] = dict(metadata)
    return made


def _tools(options: RequestOptions) -> JsonObject:
    tools, choice, parallel = options.get("tools"), options.get("tool_choice"), options.get("parallel_tool_calls")
    made: JsonObject = {"tools": [_tool(tool) for tool in tools]} if tools else {}
    has_tools = bool(tools) or "tools" in (options.get("extra_body") or {})
    if choice in ("auto", "none", None):
        chosen: JsonObject = {"type": choice or "auto"}
    else:
        chosen = {"type": "any"} if choice == "required" else {"type": "tool", "name": choice}
    if parallel is False and chosen["type"] != "none":
        chosen["disable_parallel_tool_use"] = True
    if chosen != {"type": "auto"} and (has_tools or chosen["type"] in ("any", "tool")):  # the API takes no choice where there is none
        made["tool_choice"] = chosen
    return made


def _tool(tool: ToolSchema) -> JsonObject:
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "input_schema": {"type": "object", **tool.parameters}}


def _thinking(request: ModelRequest, turns: list[JsonObject], manner: Manner, most: int) -> JsonObject:
    """How long to think, and in which form to answer.

    A model does not think when it is made to call a tool, nor, given a budget, when it goes on with what it had not thought about: the API refuses
    both.
    """
    effort, form = request.options.get("reasoning_effort"), _format(request.options)
    config: JsonObject = {"format": form} if form is not None else {}
    made: JsonObject = {}
    forced = request.options.get("tool_choice") not in (None, "auto", "none")
    if effort == "none":
        if manner.may_be_told_not_to_think:
            made["thinking"] = {"type": "disabled"}
        else:
            config["effort"] = "low"
    elif effort is not None and manner.is_adaptive(request.model):
        config["effort"] = _effort(effort, request.model)
        if not forced:
            made["thinking"] = {"type": "adaptive", "display": "summarized"}
    elif effort is not None:
        budget = _budget(effort, request.model, most)
        if not forced and may_think(turns):
            made["thinking"] = {"type": "enabled", "budget_tokens": budget}
    return made | ({"output_config": config} if config else {})


def _effort(effort: str, model: str) -> str:
    if effort == "xhigh" and is_older(model, FIRST_XHIGH):
        return "high"
    return "low" if effort == "minimal" else effort


def _budget(effort: str, model: str, most: int) -> int:
    if is_older(model, FIRST_THINKING):
        raise UnsupportedFeatureError(f"{model} does not think; leave reasoning_effort out, or ask a newer model")
    if most <= LEAST_BUDGET:
        raise UnsupportedFeatureError(
            f"max_tokens is {most}, of which nothing is left to think; give more than {LEAST_BUDGET}, or no reasoning_effort"
        )
    if effort not in _BUDGETS:
        raise UnsupportedFeatureError(f"reasoning_effort is {effort!r}; {model} takes one of {', '.join(_BUDGETS)}, none")
    return max(LEAST_BUDGET, min(_BUDGETS[effort], most * 3 // 4))


def _format(options: RequestOptions) -> JsonObject | None:
    named = cast("Mapping[str, Any]", options)
    asked = named.get("output_format") or named.get("response_format")
    if not asked:
        return None
    wanted = asked.get("json_schema")
    schema = wanted.get("schema") if is_object(wanted) else asked.get("schema")
    if asked.get("type") != "json_schema" or not is_object(schema):
        raise UnsupportedFeatureError(f"the Messages API has no format {asked.get('type')!r}; give a json_schema, which says what is in the answer")
    return {"type": "json_schema", "schema": accepted_schema(schema)}


def _thinks(body: JsonObject) -> bool:
    thinking = body.get("thinking")
    return is_object(thinking) and thinking.get("type") != "disabled"


# Keeping what is the same in the next request


def _with_cache(body: JsonObject, *, always: bool) -> JsonObject:
    """The same body with marks behind tools and system, behind the last message, and behind the one that was last before the assistant spoke.

    A mark costs a quarter more for what is kept, and a later request that begins the same nine tenths less. So without `always` it is set only where
    a later request is likely: where there are tools, or the assistant has spoken. The API takes four marks, and looks back from one only so far.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or "cache_control" in body:
        return body
    turns = cast("list[JsonObject]", messages)
    if not always and not body.get("tools") and not any(turn.get("role") == "assistant" for turn in turns):
        return body
    made = dict(body)
    if isinstance(body.get("system"), str):
        made["system"] = [_marked({"type": "text", "text": body["system"]})]
    elif body.get("tools") and "system" not in body:
        made["tools"] = [*body["tools"][:-1], _marked(body["tools"][-1])]
    last = {len(turns) - 1, *[at for at, turn in enumerate(turns[:-1]) if turn.get("role") == "user"][-1:]}
    made["messages"] = [_marked_at_its_end(turn) if at in last else turn for at, turn in enumerate(turns)]
    return made


def _marked_at_its_end(turn: JsonObject) -> JsonObject:
    content = turn.get("content")
    if not is_list(content) or not content or content[-1].get("type") not in _CACHEABLE:
        return turn
    return {**turn, "content": [*content[:-1], _marked(content[-1])]}


def _marked(block: JsonObject) -> JsonObject:
    return {**block, "cache_control": {"type": "ephemeral"}}
