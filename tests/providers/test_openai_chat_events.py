"""What a line or an event is that holds no text: an error, a keep-alive, usage; and where usage stands."""

from __future__ import annotations

from typing import Any

import pytest
from tests.providers.wire import Outcome, decode, written

from ecs_agent.errors import MalformedResponseError, RateLimitError, ServerError
from ecs_agent.types import Usage

A, B, FINISH = written({"delta": {"content": "a"}}), written({"delta": {"content": "b"}}), written({"finish": "stop"})
COUNTED = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
FAILURE = b'data: {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}\n\n'


class TestLinesThatAreNoFields:
    @pytest.mark.parametrize(
        "line",
        [
            'error: {"message": "m", "code": "rate_limit_exceeded"}',
            'error : {"error": {"message": "m", "code": 429}}',
            "error: rate limit reached",
            "error:rate limit reached",
            '{"error": {"message": "rate limit"}}',
            '[{"error": {"message": "rate limit"}}]',
            'error: "rate limit"',
        ],
    )
    def test_an_error_is_one_bare_or_as_a_field_of_its_own(self, line: str) -> None:
        assert isinstance(decode([A, line.encode() + b"\n\n", FINISH]).error, RateLimitError)

    @pytest.mark.parametrize(
        "line", ["hello", "warning: rate limit", '{"message": "rate limit"}', "terror: rate limit", 'error: {"message": "half', "error"]
    )
    def test_anything_else_is_passed_over(self, line: str) -> None:
        outcome = decode([A, line.encode() + b"\n\n", B, FINISH])
        assert (outcome.error, outcome.result.message.content) == (None, "ab")


class TestEventsThatAreNoChunks:
    @pytest.mark.parametrize(
        "word", ["", " ", "ping", "PING", "keep-alive", "keepalive", "heartbeat", ": keep-alive", ":keep-alive", "7", "null", "[]"]
    )
    def test_a_keep_alive_says_nothing(self, word: str) -> None:
        assert decode([A, f"data: {word}\n\n".encode(), B, FINISH]).result.message.content == "ab"

    @pytest.mark.parametrize("kind", ["ping", "Heartbeat", "keep-alive"])
    def test_an_event_that_is_named_so_may_hold_any_text(self, kind: str) -> None:
        assert decode([A, f"event: {kind}\ndata: 12:04:59\n\n".encode(), B, FINISH]).result.message.content == "ab"
        assert isinstance(decode([A, f"event: {kind}\n".encode() + FAILURE]).error, RateLimitError)

    def test_an_event_of_any_other_name_may_not(self) -> None:
        assert isinstance(decode([A, b"event: time\ndata: 12:04:59\n\n"]).error, MalformedResponseError)

    @pytest.mark.parametrize(
        "data", ["rate limit", '{"message": "rate limit"}', '{"error": "rate limit"}', '"rate limit"', '{"choices": [], "code": 429}']
    )
    def test_one_that_is_named_error_is_one_whatever_it_holds(self, data: str) -> None:
        assert isinstance(decode([A, f"event: error\ndata: {data}\n\n".encode(), FINISH]).error, RateLimitError)

    @pytest.mark.parametrize("data", ["ping", "", "{}"])
    def test_even_if_it_says_nothing(self, data: str) -> None:
        assert isinstance(decode([A, f"event: error\ndata: {data}\n\n".encode(), FINISH]).error, ServerError)


class TestErrorsBesideChoices:
    """An error counts before anything else in its chunk."""

    @pytest.mark.parametrize(
        "beside",
        [
            {"error": {"message": "rate limit"}},
            {"base_resp": {"status_code": 1002, "status_msg": "slow down"}},
            {"object": "error", "message": "rate limit"},
        ],
    )
    def test_it_is_told_and_the_choices_are_not(self, beside: dict[str, Any]) -> None:
        outcome = decode([A, written({"delta": {"content": "b"}} | beside)])
        assert isinstance(outcome.error, RateLimitError)
        assert outcome.result.message.content == "a"

    @pytest.mark.parametrize("beside", [{"error": None}, {"error": ""}, {"base_resp": {"status_code": 0}}, {"object": "text_completion"}])
    def test_one_that_says_nothing_is_none(self, beside: dict[str, Any]) -> None:
        assert decode([A, written({"delta": {"content": "b"}} | beside), FINISH]).result.message.content == "ab"

    def test_bytes_that_are_no_text_elsewhere_in_its_chunk_do_not_hide_it(self) -> None:
        assert isinstance(decode([A, b'data: {"x": "\xff", "error": {"message": "rate limit"}}\n\n']).error, RateLimitError)


class TestWhereUsageStands:
    @staticmethod
    def counted(*events: Any) -> Outcome:
        return decode([A, *[written(event) for event in events]])

    def test_in_the_chunk_else_in_its_extension_else_in_the_choice(self) -> None:
        other = {"prompt_tokens": 7, "completion_tokens": 7}
        for event in (
            {"delta": {}, "usage": COUNTED, "x_groq": {"usage": other}, "choice": {"usage": other}},
            {"delta": {}, "usage": None, "x_groq": {"usage": COUNTED}, "choice": {"usage": other}},
            {"delta": {}, "x_groq": {"usage": None}, "choice": {"usage": COUNTED}},
            {"delta": {}, "x_groq": "x", "choice": {"usage": COUNTED}},
        ):
            assert self.counted(event, {"finish": "stop"}).result.usage == Usage(1, 2, 3)

    def test_behind_the_finish_it_ends_the_answer_unless_a_choice_stands_beside_it(self) -> None:
        late = {"delta": {"content": "late"}}
        assert self.counted({"finish": "stop"}, {"choices": [], "usage": COUNTED}, late).result.message.content == "a"
        assert self.counted({"finish": "stop"}, {"delta": {}, "usage": COUNTED}, late).result.message.content == "alate"
        assert self.counted({"finish": "stop"}, {"choices": [], "usage": {}}, late).result.message.content == "alate"

    @pytest.mark.parametrize("nothing", [b"data: 7\n\n", b"data: null\n\n", b"data: []\n\n", b"data: ping\n\n", b": c\n\n"])
    def test_behind_the_finish_what_says_nothing_does_not_keep_it_away(self, nothing: bytes) -> None:
        assert decode([A, FINISH, nothing, written({"choices": [], "usage": COUNTED})]).result.usage == Usage(1, 2, 3)

    def test_behind_the_finish_garbage_ends_the_answer_and_takes_nothing_away(self) -> None:
        outcome = decode([A, FINISH, b"data: <html>\n\n", written({"choices": [], "usage": COUNTED})])
        assert (outcome.error, outcome.result.finish_reason, outcome.result.usage) == (None, "stop", None)
        assert [delta.final for delta in outcome.deltas] == [False, True]

    def test_before_it_it_does_not(self) -> None:
        assert self.counted({"choices": [], "usage": COUNTED}, {"delta": {"content": "b"}}, {"finish": "stop"}).result.message.content == "ab"
