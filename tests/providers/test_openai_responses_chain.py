"""Going on from a response that the server keeps."""

from __future__ import annotations

import pytest

from ecs_agent.providers.openai_responses.chain import Anchor, anchor_of, digest_of
from ecs_agent.types import JsonObject, Message, OpaquePart, TextPart

ASKED = [Message("user", "q")]


def answer(after: object, response_id: object = "resp_1", source: str = "openai-responses") -> Message:
    data: JsonObject = {"type": "response", "id": response_id, "after": after}
    return Message("assistant", parts=[TextPart("a"), OpaquePart(source, data)])


ANSWERED = [*ASKED, answer(digest_of(ASKED))]
MORE = [*ANSWERED, Message("user", "more")]


def test_a_request_goes_on_from_the_last_response() -> None:
    later = [*MORE, answer(digest_of(MORE), "resp_2")]
    assert anchor_of(MORE, set()) == Anchor("resp_1", 2)
    assert anchor_of([*later, Message("user", "again")], set()) == Anchor("resp_2", 4)


def test_nothing_may_have_come_since() -> None:
    assert anchor_of(ANSWERED, set()) == Anchor("resp_1", 2)


@pytest.mark.parametrize(
    "messages",
    [
        [],
        ASKED,
        [Message("user", "edited"), *MORE[1:]],
        MORE[1:],
        [Message("user", "before"), *MORE],
        [*ASKED, answer(None), Message("user", "more")],
        [*ASKED, answer(digest_of(ASKED), 7), Message("user", "more")],
        [*ASKED, answer(digest_of(ASKED), source="anthropic"), Message("user", "more")],
    ],
    ids=["empty", "no response", "edited", "cut", "longer", "no digest", "no id", "foreign"],
)
def test_else_it_is_sent_in_full(messages: list[Message]) -> None:
    assert anchor_of(messages, set()) is None


def test_a_response_that_the_server_lost_is_not_named() -> None:
    assert anchor_of(MORE, {"resp_1"}) is None


def test_a_digest_tells_conversations_apart() -> None:
    told = [ASKED, [Message("user", "r")], [Message("assistant", "q")], [named(ASKED[0])], [*ASKED, *ASKED], [Message("user", "\ud800")]]
    assert len({digest_of(messages) for messages in told}) == len(told)


def named(message: Message) -> Message:
    return Message(message.role, message.content, name="ann")
