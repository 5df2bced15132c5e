"""What a server refused is left out, if the answer does not need it."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_agent.errors import BadRequestError, RateLimitError
from ecs_agent.providers.openai_responses.withdrawn import MOST_REMEMBERED, Withdrawn
from ecs_agent.types import JsonObject

REASONING: JsonObject = {"type": "reasoning", "id": "rs_1", "encrypted_content": "E"}
SEARCH: JsonObject = {"type": "web_search_call", "id": "ws_1"}
SENT: JsonObject = {
    "model": "m",
    "input": [{"type": "message"}, REASONING, SEARCH, {"type": "function_call", "id": "fc_1"}, {"type": "function_call_output"}],
    "previous_response_id": "resp_1",
    "include": ["reasoning.encrypted_content"],
    "reasoning": {"effort": "low", "summary": "auto"},
}


def facts(withdrawn: Withdrawn) -> tuple[Any, ...]:
    return (withdrawn.chains, withdrawn.lost, withdrawn.refused, withdrawn.plain_models, withdrawn.silent_models)


@pytest.mark.parametrize(
    ("words", "left_out"),
    [
        ("Previous response with id 'resp_1' not found.", (True, {"resp_1"}, set(), set(), set())),
        ("previous_response_not_found", (True, {"resp_1"}, set(), set(), set())),
        ("llama.cpp does not support 'previous_response_id'.", (False, set(), set(), set(), set())),
        ("Encrypted content is not supported with this model. include", (True, set(), set(), {"m"}, set())),
        ("Unknown parameter: 'include'.", (True, set(), set(), {"m"}, set())),
        ("Unsupported parameter: 'reasoning.summary' is not supported with this model.", (True, set(), set(), set(), {"m"})),
        ("Your organization must be verified to generate reasoning summaries.", (True, set(), set(), set(), {"m"})),
        ("The encrypted content gAAA... could not be verified. invalid_encrypted_content", (True, set(), {"rs_1", "ws_1"}, set(), set())),
        ("Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.", (True, set(), {"rs_1", "ws_1"}, set(), set())),
        ("Item 'rs_1' of type 'reasoning' was provided without its required following item.", (True, set(), {"rs_1", "ws_1"}, set(), set())),
        ("Cannot determine type of 'item'", (True, set(), {"rs_1", "ws_1"}, set(), set())),
        ("Invalid 'input[1].content': array too long.", (True, set(), {"rs_1", "ws_1"}, set(), set())),
    ],
)
def test_each_refusal_says_what_to_leave_out(words: str, left_out: tuple[Any, ...]) -> None:
    withdrawn = Withdrawn()
    assert withdrawn.take(BadRequestError(words), SENT)
    assert facts(withdrawn) == left_out


@pytest.mark.parametrize("words", ["the model does not exist", "Invalid value for temperature"])
def test_a_refusal_of_something_else_is_one(words: str) -> None:
    withdrawn = Withdrawn()
    assert not withdrawn.take(BadRequestError(words), SENT)
    assert facts(withdrawn) == facts(Withdrawn())


def test_other_failures_say_nothing_about_the_request() -> None:
    assert not Withdrawn().take(RateLimitError("Item with id 'rs_1' not found"), SENT)


@pytest.mark.parametrize(
    ("words", "without"),
    [
        ("previous_response_not_found", "previous_response_id"),
        ("Encrypted content is not supported with this model", "include"),
        ("Unsupported parameter: 'reasoning.summary'", "reasoning"),
        ("Item with id 'rs_1' not found", "input"),
    ],
)
def test_what_was_not_sent_cannot_be_left_out(words: str, without: str) -> None:
    sent = {name: value for name, value in SENT.items() if name != without}
    if without != "input":
        sent["input"] = []
    assert not Withdrawn().take(BadRequestError(words), sent)


@pytest.mark.parametrize("words", ["'reasoning.summary' no", "Unknown parameter: 'include'", "Item with id 'rs_1' not found"])
def test_requests_that_were_under_way_meanwhile_are_sent_again_too(words: str) -> None:
    withdrawn = Withdrawn()
    sent = {name: value for name, value in SENT.items() if name != "previous_response_id"}
    assert [withdrawn.take(BadRequestError(words), sent) for _ in range(3)] == [True, True, True]


def test_other_things_that_are_included_do_not_count_as_encrypted_reasoning() -> None:
    sent = {"model": "m", "input": [], "include": ["message.output_text.logprobs"]}
    assert not Withdrawn().take(BadRequestError("Unknown parameter: 'include'."), sent)


def test_a_model_without_encrypted_reasoning_is_sent_none_either() -> None:
    withdrawn, error = Withdrawn(), BadRequestError("Encrypted content is not supported with this model")
    assert withdrawn.take(error, SENT)
    assert withdrawn.take(error, {**SENT, "include": []})
    assert not withdrawn.take(error, {**SENT, "include": [], "input": []})
    assert (withdrawn.plain_models, withdrawn.refused) == ({"m"}, {"rs_1", "ws_1"})


def test_of_many_refusals_the_oldest_are_forgotten() -> None:
    withdrawn = Withdrawn()
    for number in range(MOST_REMEMBERED + 2):
        item = {**REASONING, "id": f"rs_{number}"}
        assert withdrawn.take(BadRequestError("Item with id not found"), {"model": "m", "input": [item]})
        assert withdrawn.take(BadRequestError("Previous response not found"), {"input": [], "previous_response_id": f"previous_{number}"})
    for remembered, before in ((withdrawn.refused, "rs"), (withdrawn.lost, "previous")):
        assert len(remembered) == MOST_REMEMBERED
        assert f"{before}_1" not in remembered
        assert f"{before}_{MOST_REMEMBERED + 1}" in remembered


def test_what_is_refused_again_is_the_newest() -> None:
    withdrawn = Withdrawn()
    for number in [*range(MOST_REMEMBERED), 0, MOST_REMEMBERED]:
        sent = {"model": "m", "input": [{**REASONING, "id": f"rs_{number}"}]}
        assert withdrawn.take(BadRequestError("Item with id not found"), sent)
    assert ("rs_0" in withdrawn.refused, "rs_1" in withdrawn.refused) == (True, False)


def test_all_that_one_request_was_refused_for_is_remembered() -> None:
    withdrawn, many = Withdrawn(), [{**REASONING, "id": f"rs_{number}"} for number in range(MOST_REMEMBERED + 2)]
    assert withdrawn.take(BadRequestError("Item with id not found"), {"model": "m", "input": many})
    assert len(withdrawn.refused) == len(many)
