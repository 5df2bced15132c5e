"""Classification: every failure is exactly one leaf, by the words in its body before its status, and no input raises anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.errors import ErrorKind, ProviderError
from ecs_agent.providers.classify import MAX_WORDS, classify_error_object, classify_response, error_object, parse_retry_after, scrub

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["error", "message", "code", "type", "detail", "base_resp", "status_code", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def kind_of(status: int, body: Any, **headers: str) -> str:
    return str(classify_response(status, headers, json.dumps(body).encode()).kind)


def said(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


@pytest.mark.parametrize("status", range(300, 600))
@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b'{"error": {"message": "something"}}'])
def test_every_status_is_exactly_one_leaf(status: int, body: bytes) -> None:
    error = classify_response(status, {}, body)
    assert type(error).__mro__[1] is ProviderError or ProviderError in type(error).__bases__
    assert error.kind in ErrorKind
    assert error.status == status
    assert str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "bad_request"), (401, "auth"), (402, "quota"), (403, "auth"), (404, "bad_request"), (407, "auth"), (408, "timeout"), (413, "bad_request"),
     (422, "bad_request"), (429, "rate_limit"), (500, "server"), (502, "server"), (503, "server"), (504, "server"), (529, "server"), (302, "bad_request")],
)  # fmt: skip
def test_a_status_without_words_decides(status: int, kind: str) -> None:
    assert kind_of(status, {}) == kind


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, said("You exceeded your current quota", code="insufficient_quota"), "quota"),
        (400, said("Insufficient Balance"), "quota"),
        (400, said("API key not valid. Please pass a valid API key."), "auth"),
        (400, [said("API key not valid")], "auth"),
        (400, said("This model's maximum context length is 8192 tokens"), "context_length"),
        (500, said("Context size has been exceeded."), "context_length"),
        (500, said("input (701 tokens) is too large to process. increase the physical batch size (current batch size: 512)"), "context_length"),
        (400, said("filtered", code="content_filter"), "content_filter"),
        (500, {"error": "the model is overloaded"}, "server"),
        (400, {"message": "too many", "type": "too_many_requests_error", "code": "queue_exceeded"}, "rate_limit"),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, "bad_request"),
        (200, {"base_resp": {"status_code": 1004, "status_msg": "login fail"}}, "auth"),
        (200, {"base_resp": {"status_code": 1008, "status_msg": "no balance"}}, "quota"),
        (200, {"base_resp": {"status_code": 9999, "status_msg": "?"}}, "server"),
    ],
)
def test_the_words_of_a_body_win_over_its_status(status: int, body: Any, kind: str) -> None:
    assert kind_of(status, body) == kind


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ({"message": "upstream", "code": "503"}, "server"),
        ({"message": "Provider returned error", "code": 429}, "rate_limit"),
        ({"code": 401, "message": "nope"}, "auth"),
        ({"message": "Failed to call a function", "type": "invalid_request_error"}, "bad_request"),
        ("something broke", "server"),
        ({"code": 200, "message": "odd"}, "server"),
    ],
)
def test_an_error_inside_an_answer_is_judged_by_its_own_code(failure: Any, kind: str) -> None:
    assert str(classify_error_object(failure).kind) == kind


@given(JSON)
def test_no_json_raises_anything(value: Any) -> None:
    body = json.dumps(value).encode()
    assert isinstance(classify_response(500, {}, body), ProviderError)
    assert isinstance(classify_error_object(value), ProviderError)
    error_object(value)


@given(
    st.integers(200, 599),
    st.binary(max_size=200),
    st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "content-type", "location"]), st.text(max_size=20)),
)
def test_no_bytes_and_headers_raise_anything(status: int, body: bytes, headers: dict[str, str]) -> None:
    assert isinstance(classify_response(status, headers, body, now=0.0), ProviderError)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, 50.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers, now=10.0) == seconds


def test_the_server_may_say_whether_to_retry() -> None:
    assert classify_response(400, {"x-should-retry": "true"}, b"{}").retryable
    assert not classify_response(503, {"x-should-retry": "false"}, b"{}").retryable
    assert not classify_response(429, {"x-should-retry": "true"}, b'{"error": {"code": "insufficient_quota"}}').retryable


def test_the_id_of_the_request_is_kept() -> None:
    assert classify_response(500, {"request-id": "req_1"}, b"{}").request_id == "req_1"


def test_long_bodies_are_shortened() -> None:
    assert len(str(classify_response(500, {}, b"x" * 100_000))) < MAX_WORDS + 200


@pytest.mark.parametrize("text", ["sk-abcdefghijklmnopqrstuv", "Bearer abc.def.ghi", "my key is THE-KEY!"])
def test_keys_are_removed(text: str) -> None:
    cleaned = scrub(f"bad: {text} here", ["THE-KEY"])
    assert "***" in cleaned
    assert "abc" not in cleaned
    assert "THE-KEY" not in cleaned


def test_an_empty_secret_is_none() -> None:
    assert scrub("bad", ["", "a"]) == "b***d"


def test_half_a_surrogate_pair_in_an_error_can_be_printed() -> None:
    str(classify_error_object({"message": "x\ud800y"})).encode()
