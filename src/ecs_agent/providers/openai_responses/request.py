"""Writing requests of the OpenAI Responses protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers.openai_responses.chain import anchor_of
from ecs_agent.providers.openai_responses.input import InputWriter
from ecs_agent.providers.openai_responses.withdrawn import ENCRYPTED, Withdrawn
from ecs_agent.providers.protocol import ModelRequest, RequestOptions
from ecs_agent.providers.wire.request_values import plain_option
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.types import JsonObject, Message, TextPart, ToolSchema

LOGPROBS: Final = "message.output_text.logprobs"

_NAMES: Final = {
    "parallel_tool_calls": "parallel_tool_calls",
    "temperature": "temperature",
    "top_p": "top_p",
    "max_tokens": "max_output_tokens",
    "metadata": "metadata",
    "top_logprobs": "top_logprobs",
}
_WORDLESS: Final = ("stop", "seed", "logit_bias")


@dataclass(frozen=True, slots=True)
class ResponsesSettings:
    """What a provider of this protocol was told, see there."""

    store: bool = False
    reasoning_summary: str | None = "auto"
    builtin_tools: Sequence[JsonObject] = field(default_factory=tuple[JsonObject, ...])


def is_stored(request: ModelRequest, settings: ResponsesSettings) -> bool:
    """Whether the server is asked to keep the answer."""
    return bool((request.options.get("extra_body") or {}).get("store", settings.store))


def encode_request(request: ModelRequest, settings: ResponsesSettings, withdrawn: Withdrawn) -> JsonObject:
    """The JSON of a request. What is not given is not sent; `extra_body` is merged last, its `tools` and `include` are added to ours.

    Raises:
        UnsupportedFeatureError: the protocol has no words for an option or a part.
    """
    options = request.options
    for name in _WORDLESS:
        if options.get(name) is not None:
            raise UnsupportedFeatureError(
                f"the Responses protocol has no {name!r}; leave it out, ask with OpenAIProvider, or send it as extra_body to a server that takes it"
            )
    extra = options.get("extra_body") or {}
    stored = is_stored(request, settings)
    body: JsonObject = {"model": request.model, **_conversation(request, extra, stored, withdrawn), "store": stored}
    for name, word in _NAMES.items():
        if (value := options.get(name)) is not None:
            body[word] = plain_option(value)
    tools = [*map(_tool, options.get("tools") or ()), *settings.builtin_tools, *_listed(extra, "tools")]
    include = [*_include(request, stored, withdrawn), *_listed(extra, "include")]
    made = {
        "tools": tools,
        "tool_choice": _choice(options.get("tool_choice")),
        "text": _format(options),
        "reasoning": _reasoning(request, settings, withdrawn),
        "include": list(dict.fromkeys(include)) if all(isinstance(word, str) for word in include) else include,
        "stream": request.stream,
    }
    body |= {name: value for name, value in made.items() if value}
    return {**body, **{name: value for name, value in extra.items() if name not in ("tools", "include") or not is_list(value)}}


def _conversation(request: ModelRequest, extra: Mapping[str, object], stored: bool, withdrawn: Withdrawn) -> JsonObject:
    """Instructions and input; of a conversation that the server keeps, what is new."""
    instructions, messages = split_instructions(request.messages)
    is_known = stored and withdrawn.chains and not {"previous_response_id", "conversation"} & extra.keys()
    anchor = anchor_of(messages, withdrawn.lost) if is_known else None
    body: JsonObject = {"instructions": instructions} if instructions else {}
    if anchor is not None:
        news = InputWriter(stored=stored, refused=withdrawn.refused).items(messages, anchor.start)
        if news:  # else there is nothing to go on with
            return body | {"previous_response_id": anchor.response_id, "input": news}
    items = InputWriter(stored=stored, refused=withdrawn.refused).items(messages)
    if instructions and not items:  # servers answer an input, and instructions are none
        return {"input": [{"type": "message", "role": "system", "content": [{"type": "input_text", "text": instructions}]}]}
    return body | {"input": items}


def split_instructions(messages: Sequence[Message]) -> tuple[str, Sequence[Message]]:
    """The texts of the system messages with which a conversation begins, and the rest of it; later ones stay where they are."""
    begun = 0
    while begun < len(messages) and messages[begun].role == "system" and all(isinstance(part, TextPart) for part in messages[begun].parts):
        begun += 1
    texts = [message.content for message in messages[:begun] if message.content]
    return "\n\n".join(texts), messages[begun:]


def _include(request: ModelRequest, stored: bool, withdrawn: Withdrawn) -> list[str]:
    options = request.options
    wanted = [ENCRYPTED] if not stored and request.model not in withdrawn.plain_models else []
    return [*wanted, LOGPROBS] if options.get("logprobs") or options.get("top_logprobs") else wanted


def _listed(extra: Mapping[str, Any], name: str) -> list[Any]:
    found = extra.get(name)
    return found if is_list(found) else []


def _tool(tool: ToolSchema) -> JsonObject:
    # Without the word, servers of this protocol take a schema to be strict, and refuse or change those that are not closed.
    return {"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters, "strict": False}


def _choice(choice: str | None) -> Any:
    if choice is None:
        return None
    return choice if choice in ("auto", "none", "required") else {"type": "function", "name": choice}


def _format(options: RequestOptions) -> JsonObject | None:
    """A structured answer in this protocol's words: what stands in an object of its own elsewhere stands beside the type here."""
    given: Mapping[str, Any] = {**options}
    wanted = given.get("output_format") or given.get("response_format")
    if not wanted:
        return None
    schema = wanted.get("json_schema")
    return {"format": {"type": "json_schema", **schema} if is_object(schema) else dict(wanted)}


def _reasoning(request: ModelRequest, settings: ResponsesSettings, withdrawn: Withdrawn) -> JsonObject | None:
    effort = request.options.get("reasoning_effort")
    if effort is None:
        return None
    summary = settings.reasoning_summary if request.model not in withdrawn.silent_models else None
    return {"effort": effort, "summary": summary} if summary else {"effort": effort}
