"""What a body is, told by its first character and not by its label alone."""

from __future__ import annotations

import pytest

from ecs_agent.streaming.body import BodyBeginning

STREAM, JSON = "text/event-stream", "application/json"


def fed(content_type: str, *pieces: bytes) -> tuple[bytes, bytes | None]:
    """What is to be read as a stream, and what may be a whole body."""
    beginning = BodyBeginning(content_type)
    stream = b"".join([beginning.feed(piece) for piece in pieces])
    return stream, None if beginning.whole is None else bytes(beginning.whole)


@pytest.mark.parametrize(
    ("content_type", "is_json"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        (" application/problem+json ;x=y", True),
        ("application/json-seq", False),
        ("text/event-stream", False),
        ("text/html; note=json", False),
        ("", False),
    ],
)
def test_a_label_that_ends_in_json_says_json(content_type: str, is_json: bool) -> None:
    assert BodyBeginning(content_type).is_json is is_json


class TestAStream:
    @pytest.mark.parametrize("content_type", [STREAM, JSON, ""])
    @pytest.mark.parametrize("body", [b"data: x", b": comment", b"event: x", b"id: 1", b"retry: 1"])
    def test_what_begins_as_one_is_one_whatever_its_label(self, content_type: str, body: bytes) -> None:
        assert fed(content_type, body) == (body, None)

    @pytest.mark.parametrize("body", [b"x", b"X\r\n", b"7", b'"', b"D", b"\xff"])
    def test_so_is_what_begins_with_anything_but_a_bracket_unless_it_is_labelled_as_json(self, body: bytes) -> None:
        assert fed(STREAM, body) == (body, None)
        assert fed(JSON, body) == (b"", body)

    def test_once_it_is_known_bytes_pass_as_they_are(self) -> None:
        beginning = BodyBeginning(JSON)
        beginning.feed(b"data: x\n\n")
        assert (beginning.feed(b"{"), beginning.feed(b"  "), beginning.whole) == (b"{", b"  ", None)


class TestAWholeBody:
    @pytest.mark.parametrize("body", [b"{}", b"[]", b"<html>"])
    def test_what_begins_with_a_bracket_may_be_whole_and_is_read_as_a_stream_too(self, body: bytes) -> None:
        assert fed(STREAM, body, b" and", b" more") == (body + b" and more", body + b" and more")

    @pytest.mark.parametrize("body", [b"{}", b"[]", b"<html>"])
    def test_labelled_as_json_it_is_no_stream(self, body: bytes) -> None:
        assert fed(JSON, body, b"data: x\n\n") == (b"", body + b"data: x\n\n")


class TestBlanks:
    @pytest.mark.parametrize("blank", [b"", b" ", b"\t \n\r", b"\xef\xbb\xbf", b"\xef", b"\xef\xbb\xbf\n"])
    def test_they_say_nothing_and_are_kept(self, blank: bytes) -> None:
        for content_type in (STREAM, JSON):
            assert fed(content_type, blank) == (b"", blank)

    @pytest.mark.parametrize("content_type", [STREAM, JSON])
    def test_a_stream_behind_them_gets_them_back(self, content_type: str) -> None:
        assert fed(content_type, b"\xef\xbb", b"\xbf", b" ", b"\n", b"data: x", b"\n") == (b"\xef\xbb\xbf \ndata: x\n", None)

    def test_so_does_a_body_that_may_be_whole(self) -> None:
        assert fed(STREAM, b" ", b"{", b"}") == (b" {}", b" {}")
        assert fed(JSON, b" ", b"{", b"}") == (b"", b" {}")

    @pytest.mark.parametrize("content_type", [STREAM, JSON])
    def test_blank_lines_are_dropped_as_they_come(self, content_type: str) -> None:
        assert fed(content_type, *[b"\n\r\n"] * 1000) == (b"", b"")
        assert fed(content_type, b"\n", b"\r\n", b"{}")[1] == b"{}"

    @pytest.mark.parametrize("content_type", [STREAM, JSON])
    def test_other_blanks_are_waited_out_only_so_long(self, content_type: str) -> None:
        assert fed(content_type, b" " * 4095) == (b"", b" " * 4095)
        assert fed(content_type, b" " * 4095, b" ") == (b" " * 4096, None)
