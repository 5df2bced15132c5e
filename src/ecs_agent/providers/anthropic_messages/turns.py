"""A conversation as turns of the Messages protocol, valid whatever it was before: another family's, truncated, or broken off.

The API's rules:

* Turns alternate, and a user begins. Nothing in them is empty or blank.
* Each call has one result, in the very next turn and before anything else there. Ids are unique, of letters, digits, `_` and `-`.
* An assistant's turn does not end in thoughts, and the text that ends the conversation has no blanks behind it.
* What the server's own tools were asked stands only with its result, but in the last turn, where the server goes on; and no result without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from ecs_agent.providers.anthropic_messages.parts import assistant_blocks, result_block, user_blocks
from ecs_agent.providers.wire.call_ids import sent_ids
from ecs_agent.providers.wire.call_results import answered_calls, orphan_text, results_of_calls
from ecs_agent.types import JsonObject, Message

LONGEST_ID: Final = 64
"""So long at most are the ids of calls that we send; the API says only which characters it takes."""
_THOUGHTS: Final = ("thinking", "redacted_thinking")
_ASKED: Final = ("server_tool_use", "mcp_tool_use")
SILENCE: Final = "…"
"""What a user says where one has to say something."""


def system_of(messages: Sequence[Message]) -> str:
    """The system messages, joined in order by a blank line."""
    return "\n\n".join([message.content for message in messages if message.role == "system" and message.content.strip()])


def turns_of(messages: Sequence[Message]) -> list[JsonObject]:
    """The turns of a conversation.

    Raises:
        UnsupportedFeatureError: a part that the protocol has no words for.
    """
    results = results_of_calls(messages)
    answering = set(results.values())
    ids = sent_ids(messages, LONGEST_ID)
    turns: list[JsonObject] = []
    owed: list[JsonObject] = []
    spoken = [(at, message) for at, message in enumerate(messages) if message.role != "system"]
    for is_assistant, group in groupby(spoken, key=lambda entry: entry[1].role == "assistant"):
        for at, message in group:
            if is_assistant:
                _add(turns, "assistant", assistant_blocks(message, ids[at]))
                owed += [result_block(ids[at][place], result, call) for place, call, result in answered_calls(messages, at, results)]
            elif at not in answering:
                owed += [{"type": "text", "text": orphan_text(message)}] if message.role == "tool" else user_blocks(message.parts)
        if not is_assistant:
            _add(turns, "user", owed)
            owed = []
    _add(turns, "user", owed)
    return _valid(turns)


def _add(turns: list[JsonObject], role: str, blocks: list[JsonObject]) -> None:
    if blocks and turns and turns[-1]["role"] == role:
        turns[-1]["content"] = [*turns[-1]["content"], *blocks]
    elif blocks:
        turns.append({"role": role, "content": blocks})


def _valid(turns: list[JsonObject]) -> list[JsonObject]:
    """The same turns without what the API refuses in a conversation's past."""
    spoken = [block for turn in turns if turn["role"] == "assistant" for block in turn["content"]]
    asked = {str(block.get("id")) for block in spoken if block["type"] in _ASKED}
    answered = {str(block["tool_use_id"]) for block in spoken if "tool_use_id" in block}
    made: list[JsonObject] = []
    for turn in turns:
        blocks = turn["content"]
        if turn["role"] == "assistant":
            is_last = turn is turns[-1]
            blocks = _assistant(blocks, asked, asked if is_last else answered, is_last=is_last)
        if blocks and not made and turn["role"] == "assistant":
            _add(made, "user", [_silence()])
        _add(made, turn["role"], blocks)
    return made or [{"role": "user", "content": [_silence()]}]


def _silence() -> JsonObject:
    return {"type": "text", "text": SILENCE}


def _assistant(blocks: list[JsonObject], asked: set[str], answered: set[str], *, is_last: bool) -> list[JsonObject]:
    """The blocks of an assistant's turn that may stand there, by the ids of what its server's tools were asked, and of what they answered."""
    answers = [block for block in blocks if "tool_use_id" not in block or str(block["tool_use_id"]) in asked]
    kept = [block for block in answers if block["type"] not in _ASKED or str(block.get("id")) in answered]
    while kept and kept[-1]["type"] in _THOUGHTS:
        kept.pop()
    if is_last and kept and kept[-1]["type"] == "text":
        kept[-1] = {**kept[-1], "text": kept[-1]["text"].rstrip()}
    return kept


def unsent_blanks(messages: Sequence[Message]) -> str:
    """The blanks at the end of a conversation that the model is to go on with, which the API does not take there."""
    spoken = [message for message in messages if message.role != "system"]
    if not spoken or spoken[-1].role != "assistant" or spoken[-1].tool_calls:
        return ""
    blocks = [block for block in assistant_blocks(spoken[-1], {}) if block["type"] not in _THOUGHTS]
    text = blocks[-1]["text"] if blocks and blocks[-1]["type"] == "text" else ""
    return str(text[len(text.rstrip()) :])


def without_thoughts(turns: list[JsonObject]) -> list[JsonObject]:
    """The turns with no thoughts in an assistant's text that stands last: the API refuses them there unless it is asked to think."""
    if turns[-1]["role"] != "assistant" or turns[-1]["content"][-1]["type"] != "text":
        return turns
    return [*turns[:-1], {"role": "assistant", "content": [block for block in turns[-1]["content"] if block["type"] not in _THOUGHTS]}]


def may_think(turns: list[JsonObject]) -> bool:
    """Whether a model that is given a budget may think now: what it is to go on with, its own words or calls, must have begun with its thoughts."""
    at = len(turns) - 1
    if turns[at]["role"] == "assistant":
        return bool(turns[at]["content"][-1]["type"] != "text" and turns[at]["content"][0]["type"] in _THOUGHTS)
    while at > 0 and all(block["type"] == "tool_result" for block in turns[at]["content"]):
        at -= 2  # to the turn of the user whom the calls are for
    return at == len(turns) - 1 or turns[at + 1]["content"][0]["type"] in _THOUGHTS
