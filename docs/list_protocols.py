"""List what the four protocols carry: `python docs/list_protocols.py` renews the table in docs/providers.md.

Nothing of it is remembered: each provider is asked something, and its request is looked at, or what it raises instead of sending one.
"""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

from ecs_agent.errors import UnsupportedFeatureError
from ecs_agent.providers import AnthropicProvider, GeminiProvider, OpenAIProvider, OpenAIResponsesProvider, TokenCounter
from ecs_agent.testing import ScriptedTransport, WireFamily, json_reply, run
from ecs_agent.types import AudioPart, FilePart, ImagePart, Message, TextPart, ToolCall, ToolSchema

PAGE = Path(__file__).parent / "providers.md"
TABLE = re.compile(r"(?<=^<!-- protocols -->\n\n).*?(?=\n\n<!-- end of protocols -->$)", re.DOTALL | re.MULTILINE)

PROVIDERS: dict[WireFamily, tuple[type[Any], str, str]] = {
    "openai-chat": (OpenAIProvider, "gpt-5", "https://api.example.com/v1"),
    "openai-responses": (OpenAIResponsesProvider, "gpt-5", "https://api.example.com/v1"),
    "anthropic": (AnthropicProvider, "claude-opus-4-6", "https://api.example.com"),
    "gemini": (GeminiProvider, "gemini-3-flash", "https://api.example.com/v1beta"),
}
"""Who speaks a protocol, with which model and where."""

SEALED, SOURCE, REFUSED, KEY = "c2VhbGVk", "https://example.org/oslo", "Rather not.", "key-0123456789"
CITED = {"type": "url_citation", "url": SOURCE, "title": "", "start_index": 0, "end_index": 5}
QUOTED = {"type": "web_search_result_location", "url": SOURCE, "title": "", "cited_text": "Oslo", "encrypted_index": "aQ"}
ANSWERS: dict[WireFamily, Any] = {
    "openai-chat": {
        "choices": [
            {
                "message": {
                    "content": "Oslo.",
                    "refusal": REFUSED,
                    "reasoning_details": [{"type": "reasoning.encrypted", "data": SEALED}],
                    "annotations": [CITED],
                },
                "finish_reason": "stop",
            }
        ]
    },
    "openai-responses": {
        "object": "response",
        "status": "completed",
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SEALED},
            {
                "type": "message",
                "content": [{"type": "output_text", "text": "Oslo.", "annotations": [CITED]}, {"type": "refusal", "refusal": REFUSED}],
            },
        ],
    },
    "anthropic": {
        "type": "message",
        "content": [{"type": "thinking", "thinking": "Hm.", "signature": SEALED}, {"type": "text", "text": "Oslo.", "citations": [QUOTED]}],
        "stop_reason": "refusal",
    },
    "gemini": {
        "candidates": [
            {
                "content": {"parts": [{"text": "Oslo.", "thoughtSignature": SEALED}]},
                "citationMetadata": {"citationSources": [{"uri": SOURCE, "startIndex": 0, "endIndex": 5}]},
                "finishReason": "STOP",
            }
        ]
    },
}
"""An answer with everything that a protocol has words for: a sealed thought, a source, a refusal."""

ASKED = Message("user", "Hello")
TOOL = ToolSchema("look", "Looks.", {"type": "object", "properties": {}})
PICTURE = ImagePart(data=b"\x89PNG")
FORMAT = {"type": "json_schema", "json_schema": {"name": "City", "schema": {"type": "object", "properties": {}, "additionalProperties": False}}}
SHOWN = [ASKED, Message("assistant", tool_calls=[ToolCall("c1", "look", {})])]
SENT: dict[str, tuple[list[Message], dict[str, Any]]] = {
    "images by their bytes": ([Message("user", [TextPart("Hello"), PICTURE])], {}),
    "images by URL": ([Message("user", [TextPart("Hello"), ImagePart(url="https://example.org/cat.png")])], {}),
    "files (PDF)": ([Message("user", [TextPart("Hello"), FilePart(data=b"%PDF", media_type="application/pdf")])], {}),
    "audio": ([Message("user", [TextPart("Hello"), AudioPart(b"RIFF")])], {}),
    "images in results of tools": ([*SHOWN, Message("tool", [TextPart("Seen."), PICTURE], tool_call_id="c1")], {}),
    "names of messages": ([Message("user", "Hello", name="ann")], {}),
    "`response_format`, `stream_object`": ([ASKED], {"response_format": FORMAT}),
    "`reasoning_effort`": ([ASKED], {"reasoning_effort": "low"}),
    "`tool_choice`": ([ASKED], {"tools": [TOOL], "tool_choice": "look"}),
    "`parallel_tool_calls=False`": ([ASKED], {"tools": [TOOL], "parallel_tool_calls": False}),
    "`temperature`, `top_p`": ([ASKED], {"temperature": 0.5, "top_p": 0.5}),
    "`stop`": ([ASKED], {"stop": ["."]}),
    "`seed`": ([ASKED], {"seed": 1}),
    "`logit_bias`": ([ASKED], {"logit_bias": {"1": 1.0}}),
    "`logprobs`": ([ASKED], {"logprobs": True}),
    "`metadata` of any name": ([ASKED], {"metadata": {"topic": "greetings"}}),
}
"""What is asked of each, by the name of its row."""


def protocol_table() -> str:
    """The protocols side by side, as a table in Markdown."""
    rows = [["", *[f"`{provider.__name__}`" for provider, _, _ in PROVIDERS.values()]], ["---"] * (len(PROVIDERS) + 1)]
    columns = [run(lambda family=family: _column(family)) for family in PROVIDERS]
    rows += [[name, *[column[name] for column in columns]] for name in columns[0]]
    return "\n".join(["| " + " | ".join(row) + " |" for row in rows])


async def _column(family: WireFamily) -> dict[str, str]:
    """What there is to say of one protocol, by the names of the rows."""
    provider, model, _ = PROVIDERS[family]
    transport = ScriptedTransport([json_reply(ANSWERS[family])])
    answer = (await _made(family, transport).complete([ASKED])).message
    again = ScriptedTransport([json_reply(ANSWERS[family])])
    await _made(family, again).complete([ASKED, answer, ASKED])
    sent_back = json.dumps(again.requests[0].body)
    head = transport.requests[0].headers
    column = {
        "wire family": f"`{family}`",
        "posts to": f"`{transport.requests[0].path.replace(model, '{model}')}`",
        "key in": ", ".join([f"`{name}`" for name, value in head.items() if KEY in value]),
    }
    column |= {name: await _sends(family, messages, options) for name, (messages, options) in SENT.items()}
    return column | {
        "sealed thoughts are kept and sent back": _word(SEALED in sent_back),
        "sources are read": _word(any(part.url == SOURCE for part in answer.citations)),
        "sources are sent back": _word(SOURCE in sent_back),
        "refusals in words of their own": _word(answer.refusal == REFUSED),
        "exact counts of tokens": _word(issubclass(provider, TokenCounter)),
        "a client of the official SDK": _word("client" in inspect.signature(provider).parameters),
    }


def _made(family: WireFamily, transport: ScriptedTransport) -> Any:
    provider, model, base_url = PROVIDERS[family]
    return provider(KEY, base_url, model, transport=transport)


async def _sends(family: WireFamily, messages: list[Message], options: dict[str, Any]) -> str:
    """Whether a request with this says more than one without."""
    plain = [Message(message.role, message.content, message.tool_calls, message.tool_call_id) for message in messages]
    tools = {name: options[name] for name in options if name == "tools"}
    try:
        return _word(await _body(family, messages, options) != await _body(family, plain, tools))
    except UnsupportedFeatureError:
        return "refused"


async def _body(family: WireFamily, messages: list[Message], options: dict[str, Any]) -> Any:
    transport = ScriptedTransport([json_reply(ANSWERS[family])])
    await _made(family, transport).complete(messages, **options)
    return transport.requests[0].body


def _word(is_so: bool) -> str:
    return "yes" if is_so else "no"


def main() -> None:
    """Renew it."""
    PAGE.write_text(TABLE.sub(lambda _: protocol_table(), PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
