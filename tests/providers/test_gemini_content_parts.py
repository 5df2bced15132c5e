"""Calls in pieces, sources, and single fields of the Gemini protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecs_agent.providers.gemini_content.calls import LONGEST_PATH, CallInPieces, comes_in_pieces
from ecs_agent.providers.gemini_content.chunk import candidate_of, parts_of, plain_chunks, value_of
from ecs_agent.providers.gemini_content.citations import Sources
from ecs_agent.providers.gemini_content.fields import bytes_of, logprobs_of, text_of, usage_of
from ecs_agent.streaming.json_edge import NOT_JSON
from ecs_agent.streaming.sse import Run
from ecs_agent.types import CitationPart, TokenLogprob, Usage

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 99) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def pieces(*partial: dict[str, Any]) -> CallInPieces:
    call = CallInPieces()
    call.take({"partialArgs": list(partial)})
    return call


class TestCallsInPieces:
    @pytest.mark.parametrize(
        ("partial", "arguments"),
        [
            ([{"jsonPath": "$.a.b[0].c", "stringValue": "x"}], {"a": {"b": [{"c": "x"}]}}),
            ([{"jsonPath": "$['a b'][\"c\"]", "numberValue": 2}], {"a b": {"c": 2}}),
            ([{"jsonPath": "$.a", "stringValue": "x", "willContinue": True}, {"jsonPath": "$.a"}], {"a": "x"}),
            ([{"jsonPath": "$.a[0]", "numberValue": 1.5}, {"jsonPath": "$.a[7]", "boolValue": False}], {"a": [1.5, False]}),
            ([{"jsonPath": "$.a[0]", "stringValue": "x"}, {"jsonPath": "$.a[0]", "stringValue": "y"}], {"a": ["xy"]}),
            ([{"jsonPath": f"$.a[{place}]", "numberValue": value} for place, value in [(0, 1), (1, 2), (2, 3), (1, 9)]], {"a": [1, 9, 3]}),
            ([{"jsonPath": "$.a", "numberValue": 1}, {"jsonPath": "$.a", "stringValue": "x"}], {"a": "x"}),
            ([{"jsonPath": "$.a", "numberValue": 1}, {"jsonPath": "$.a.b", "stringValue": "x"}, {"jsonPath": "$[0]", "stringValue": "x"}], {"a": 1}),
            ([{"jsonPath": "$.a", "nullValue": "NULL_VALUE"}, {"jsonPath": "$", "stringValue": "x"}, {"jsonPath": 7}, {}], {"a": None}),
            ([{"jsonPath": "$['']", "stringValue": "x"}, {"jsonPath": "$" + ".a" * 999, "stringValue": "x"}], {"": "x"}),
        ],
    )
    def test_values_go_where_their_path_says(self, partial: list[dict[str, Any]], arguments: Any) -> None:
        assert json.loads(pieces(*partial).text(whole=True)) == arguments

    def test_they_are_written_with_their_letters_as_they_are_and_whole_numbers_without_a_point(self) -> None:
        call = pieces({"jsonPath": "$.a", "stringValue": "é"}, {"jsonPath": "$.b", "numberValue": 2.0}, {"jsonPath": "$.c", "numberValue": 1.5})
        assert call.text(whole=True) == '{"a": "é", "b": 2, "c": 1.5}'

    def test_a_path_is_read_up_to_a_certain_length(self) -> None:
        name = "a" * (LONGEST_PATH - len("$."))
        call = pieces({"jsonPath": f"$.{name}", "boolValue": True}, {"jsonPath": f"$.{name}a", "boolValue": True})
        assert json.loads(call.text(whole=True)) == {name: True}

    def test_one_that_was_cut_off_is_no_json(self) -> None:
        with pytest.raises(ValueError, match="delimiter"):
            json.loads(pieces({"jsonPath": "$.a", "stringValue": "x"}).text(whole=False))

    def test_whole_arguments_may_come_beside_pieces(self) -> None:
        call = CallInPieces()
        call.take({"args": {"a": 1}, "partialArgs": "x"})
        call.take({"args": 7, "partialArgs": [7, {"jsonPath": "$.b", "stringValue": "y"}]})
        assert json.loads(call.text(whole=True)) == {"a": 1, "b": "y"}
        assert [comes_in_pieces({"willContinue": goes_on}) for goes_on in (None, False, "yes", True)] == [False, False, False, True]
        assert comes_in_pieces({"partialArgs": []})

    @given(
        st.lists(
            st.fixed_dictionaries(
                {"jsonPath": st.text("$.ab[]0'\"1", max_size=9)}, optional={"stringValue": VALUES, "nullValue": VALUES, "numberValue": VALUES}
            )
        )
    )
    def test_whatever_comes_the_arguments_are_an_object(self, partial: list[dict[str, Any]]) -> None:
        assert isinstance(json.loads(pieces(*partial).text(whole=True)), dict)


class TestSources:
    def test_each_is_named_once_with_the_provider_s_record(self) -> None:
        chunk, support = (
            {"web": {"uri": "u", "title": "t"}},
            {"segment": {"endIndex": 2, "text": "ab"}, "groundingChunkIndices": [0, 0, 1, 5, "x", True, -1]},
        )
        sources = Sources()
        for _ in range(2):
            sources.add({"groundingMetadata": {"groundingChunks": [chunk], "groundingSupports": [support]}})
        assert sources.parts("abc") == (CitationPart("u", "t", "", 0, 2, {"groundingChunk": chunk, "groundingSupport": support}),)

    @pytest.mark.parametrize(
        ("segment", "place"),
        [
            ({"startIndex": 3, "endIndex": 5, "text": "bc"}, (2, 4)),
            ({"startIndex": 3, "endIndex": 5}, (2, 4)),
            ({"startIndex": 0, "endIndex": 2, "text": "bc"}, (2, 4)),
            ({"startIndex": 9, "endIndex": 99, "text": "bc"}, (2, 4)),
            ({"text": "bc"}, (2, 4)),
            ({"text": "éa"}, (0, 2)),
            ({"startIndex": 2, "endIndex": 3, "text": "a"}, (1, 2)),
            ({"text": "aa"}, (None, None)),
            ({"startIndex": 3, "endIndex": 5, "text": "elsewhere"}, (None, None)),
            ({"endIndex": 1, "text": "a"}, (None, None)),
            ({"startIndex": 5, "endIndex": 3}, (None, None)),
            ({"startIndex": 3, "endIndex": 3}, (None, None)),
            ({"startIndex": -1, "endIndex": 3}, (None, None)),
            ({"startIndex": True, "endIndex": 3}, (None, None)),
            ({"endIndex": 99}, (None, None)),
            ("x", (None, None)),
        ],
    )
    def test_a_place_is_believed_where_the_text_is_there_and_else_looked_for(self, segment: Any, place: tuple[int | None, int | None]) -> None:
        sources = Sources()
        sources.add(
            {
                "groundingMetadata": {
                    "groundingChunks": [{"web": {"uri": "u"}}],
                    "groundingSupports": [{"segment": segment, "groundingChunkIndices": [0]}],
                }
            }
        )
        [found] = sources.parts("éabcaaa")
        assert (found.start, found.end) == place

    def test_a_document_has_a_name_and_its_words(self) -> None:
        sources = Sources()
        store: dict[str, Any] = {"retrievedContext": {"text": "words", "fileSearchStore": "stores/1", "title": 7}}
        document: dict[str, Any] = {"retrievedContext": {"documentName": "documents/1", "fileSearchStore": "stores/1"}}
        place: dict[str, Any] = {"maps": {"uri": "m", "title": "M", "documentName": "documents/1"}}
        sources.add({"groundingMetadata": {"groundingChunks": [store, document, place, {"web": {}}, 7, {"x": 1}]}})
        assert sources.parts("") == (
            CitationPart("stores/1", quote="words", data={"groundingChunk": store}),
            CitationPart("documents/1", data={"groundingChunk": document}),
            CitationPart("m", "M", data={"groundingChunk": place}),
        )

    def test_citations_of_both_spellings(self) -> None:
        sources = Sources()
        cited = {"uri": "v", "title": "V", "endIndex": 1, "license": "mit"}
        sources.add({"citationMetadata": {"citations": [cited, {"license": "mit"}, 3], "citationSources": [{"uri": "a"}]}})
        sources.add({"citationMetadata": {"citations": [{"uri": "b"}]}})
        assert sources.parts("xy") == (
            CitationPart("a", data={"uri": "a"}),
            CitationPart("v", "V", "", 0, 1, cited),
            CitationPart("b", data={"uri": "b"}),
        )

    @given(VALUES, VALUES, VALUES, st.text(max_size=4))
    def test_whatever_comes_they_are_citations(self, chunks: Any, supports: Any, cited: Any, text: str) -> None:
        sources = Sources()
        sources.add({"groundingMetadata": chunks, "citationMetadata": cited})
        sources.add({"groundingMetadata": {"groundingChunks": chunks, "groundingSupports": supports}, "citationMetadata": {"citations": cited}})
        assert all(isinstance(part, CitationPart) for part in sources.parts(text))


class TestFields:
    @pytest.mark.parametrize(
        ("found", "usage"),
        [
            ({"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}, Usage(3, 2, 5)),
            ({"promptTokenCount": 3, "thoughtsTokenCount": 4, "totalTokenCount": 7}, Usage(3, 4, 7, None, 4)),
            ({"promptTokenCount": 3, "totalTokenCount": 9}, Usage(3, 6, 9)),
            ({"promptTokenCount": 3}, Usage(3, 0, 3)),
            ({"promptTokenCount": 3, "toolUsePromptTokenCount": 2, "candidatesTokenCount": 1, "cachedContentTokenCount": 0}, Usage(5, 1, 6, 0)),
            ({"candidatesTokenCount": 2.0, "totalTokenCount": 5}, Usage(3, 2, 5)),
            ({"candidatesTokenCount": 2}, Usage(0, 2, 2)),
            ({"candidatesTokenCount": 0, "totalTokenCount": 5}, Usage(5, 0, 5)),
            ({"promptTokenCount": 0, "totalTokenCount": 5}, Usage(0, 5, 5)),
            ({"totalTokenCount": 5}, None),
            ({"trafficType": "ON_DEMAND"}, None),
            (None, None),
        ],
    )
    def test_usage(self, found: Any, usage: Usage | None) -> None:
        assert usage_of(found) == usage

    def test_log_probabilities(self) -> None:
        found = {
            "chosenCandidates": [{"token": "a", "logProbability": -0.5}, {"token": "b"}, 7, {"token": "c", "logProbability": "x"}, {"token": "d"}],
            "topCandidates": [{"candidates": [{"token": "a", "logProbability": -0.5}, 7]}, 3, {"candidates": 7}],
        }
        assert logprobs_of(found) == (
            TokenLogprob("a", -0.5, top=(TokenLogprob("a", -0.5),)),
            TokenLogprob("b", 0.0),
            TokenLogprob("d", 0.0),
        )
        assert logprobs_of(7) == logprobs_of({}) == ()

    def test_what_stands_in_base64_and_what_does_not(self) -> None:
        assert [bytes_of(found) for found in ("eA==", "", "*", "eA", "ü", None)] == [b"x", None, None, None, None, None]
        assert [text_of(found) for found in ("a\ud800", 7)] == ["a\ufffd", ""]


class TestChunks:
    def test_a_run_is_plain_if_each_of_its_events_is(self) -> None:
        plain = b'{"candidates":[{"content":{"parts":[{"text":"a"}],"role":"model"}}],"usageMetadata":{"x":1},"z":[1]}'
        for line, count in (
            (plain, 1),
            (plain + b"\n" + plain, 2),
            (plain.replace(b'"text":"a"', b'"text":"a","thought":true'), 0),
            (plain.replace(b'"text":"a"', b'"text":"a","thoughtSignature":"S"'), 0),
            (plain.replace(b'"text":"a"', b'"text":"a","new":1'), 0),
            (plain.replace(b'{"text":"a"}', b'{"text":"a"},{"text":"b"}'), 0),
            (plain.replace(b'"role":"model"}', b'"role":"model"},"finishReason":"STOP"'), 0),
            (plain.replace(b'"role":"model"}', b'"role":"model"},"finishReason":"FINISH_REASON_UNSPECIFIED"'), 1),
            (plain.replace(b'"role":"model"}', b'"role":"model"},"index":1'), 0),
            (plain.replace(b'"role":"model"}', b'"role":"model"},"groundingMetadata":{}'), 0),
            (plain.replace(b'"z":[1]', b'"promptFeedback":{}'), 0),
            (plain.replace(b'"z":[1]', b'"error":{}'), 0),
            (plain + plain, 0),
            (b"{", 0),
        ):
            assert len(plain_chunks(Run(line, line.count(b"\n") + 1))) == count, line

    def test_values_that_only_a_patient_reader_takes(self) -> None:
        assert value_of(b'{"a":1}') == {"a": 1}
        assert value_of(b"{") is value_of(b'"\\ud800"') is NOT_JSON

    def test_our_candidate_and_its_parts(self) -> None:
        assert candidate_of([7, {"index": 1}, {"index": "0", "a": 1}]) == {"index": "0", "a": 1}
        assert [candidate_of([{"index": 1}, {"index": index}]) for index in (0, None, "")] == [{"index": 0}, {"index": None}, {"index": ""}]
        assert candidate_of([{"index": 1}]) is candidate_of({}) is None
        assert parts_of({"content": {"parts": [{"a": 1}, 7]}}) == [{"a": 1}]
        assert parts_of({"content": {"parts": {}}}) == parts_of({"content": 3}) == []
