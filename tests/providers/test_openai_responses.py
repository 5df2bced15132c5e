"""Answers of the Responses protocol: the corpus of its own, what is kept of the items beside the text, and that nothing in a body raises."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.families import RESPONSES
from tests.providers.wire import ABSENT, Case, Outcome, check_own, decode, own_cases, recorded_bodies, run_case, written

from ecs_agent.errors import ProviderError, ServerError
from ecs_agent.providers.openai_responses.decoder import ResponsesDecoder
from ecs_agent.providers.openai_responses.input import InputWriter
from ecs_agent.providers.openai_responses.items import thoughts_in
from ecs_agent.streaming import fold
from ecs_agent.types import CitationPart, ImagePart, JsonObject, OpaquePart, ReasoningPart, TextPart, TokenLogprob, ToolCall, ToolCallFragment

BODIES = recorded_bodies(RESPONSES)
COMPLETED: JsonObject = {"type": "response.completed", "response": {"id": "resp_1", "status": "completed"}}


def read(*events: JsonObject) -> Outcome:
    return decode([written(event, RESPONSES) for event in (*events, COMPLETED)], family=RESPONSES)


def done(item: JsonObject, place: int = 0) -> JsonObject:
    return {"type": "response.output_item.done", "output_index": place, "item": item}


def added(item: JsonObject, place: int | None = None) -> JsonObject:
    return {"type": "response.output_item.added", "output_index": place, "item": item}


def final(*output: JsonObject) -> JsonObject:
    return {"type": "response.completed", "response": {"status": "completed", "output": [*output]}}


def nameless(kind: str, **fields: Any) -> JsonObject:
    """An event of which only the place tells the item."""
    return {"type": f"response.{kind}", "output_index": 0, **fields}


def text(delta: str, **more: Any) -> JsonObject:
    return {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": delta, **more}


def annotation(**found: Any) -> JsonObject:
    return {"type": "response.output_text.annotation.added", "item_id": "m", "output_index": 0, "annotation": found}


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in own_cases(RESPONSES)])
def test_a_case_gives_what_it_must_event_by_event_and_at_once(case: Case) -> None:
    check_own(run_case(case, case.pieces), case.expect)
    check_own(run_case(case, [case.body]), case.expect)


class TestOrder:
    def test_each_item_stands_where_it_came(self) -> None:
        reasoning, search = {"type": "reasoning", "id": "r", "summary": []}, {"type": "web_search_call", "id": "w"}
        found = read(
            {"type": "response.reasoning_summary_text.delta", "item_id": "r", "output_index": 0, "summary_index": 0, "delta": "hm"},
            done(reasoning),
            done(search, 1),
            text("a", item_id="m", output_index=2),
            done({"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": "{}"}, 3),
        )
        assert found.result.message.parts == (
            ReasoningPart("hm"),
            OpaquePart("openai-responses", reasoning),
            OpaquePart("openai-responses", search),
            TextPart("a"),
            ToolCall("c", "f", {}),
        )

    def test_a_phase_stands_before_its_text(self) -> None:
        assert read(added({"type": "message", "id": "m", "phase": "commentary"}, 0), text("a")).result.message.parts == (
            OpaquePart("openai-responses", {"type": "message", "phase": "commentary"}),
            TextPart("a"),
        )

    def test_a_phase_of_a_message_that_comes_whole_does_too(self) -> None:
        whole = {"type": "message", "id": "m", "phase": "final_answer", "content": [{"type": "output_text", "text": "a"}]}
        marked = OpaquePart("openai-responses", {"type": "message", "phase": "final_answer"})
        assert read(done(whole)).result.message.parts == (marked, TextPart("a"))
        assert read(text("a"), done(whole)).result.message.parts == (TextPart("a"),)
        alone = {"type": "response.output_text.done", "item_id": "m", "output_index": 0, "content_index": 0, "text": "a"}
        assert read(alone, done(whole)).result.message.parts == (TextPart("a"),)

    def test_a_phase_that_its_item_repeats_counts_once(self) -> None:
        begun = {"type": "message", "id": "m", "phase": "commentary"}
        marked = OpaquePart("openai-responses", {"type": "message", "phase": "commentary"})
        whole = {**begun, "content": [{"type": "output_text", "text": "a"}]}
        assert read(added(begun), done(whole)).result.message.parts == (marked, TextPart("a"))

    def test_calls_whose_items_share_an_id_are_told_apart_by_their_call_ids(self) -> None:
        a, b = ({"type": "function_call", "id": "same", "call_id": call_id, "name": "f", "arguments": '{"x": 1}'} for call_id in "ab")
        for events in ([added(a), done(a), added(b), done(b)], [added(a), added(b), done(b), final(a, b)]):
            assert read(*events).result.message.tool_calls == [ToolCall("a", "f", {"x": 1}), ToolCall("b", "f", {"x": 1})]

    def test_a_call_keeps_what_belongs_to_it_and_not_its_id(self) -> None:
        (call,) = read(
            done({"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": "{}", "namespace": "n"})
        ).result.message.parts
        assert call == ToolCall("c", "f", {}, opaque={"openai-responses": {"namespace": "n"}})

    def test_items_of_other_tools_stay_as_they_are_whatever_they_hold(self) -> None:
        item = {"type": "new_call", "id": "n", "result": b64encode(b"no image").decode()}
        assert read(done(item)).result.message.parts == (OpaquePart("openai-responses", item),)

    @pytest.mark.skipif(not BODIES, reason=ABSENT)
    @pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in BODIES])
    def test_what_was_answered_is_what_is_sent_back(self, path: Any) -> None:
        """Items whose order or content servers change between stream and final response are compared without what they change."""
        body = path.read_bytes()
        sent = InputWriter(stored=True, refused=set()).items([decode([body], family=RESPONSES).result.message])
        kept = sorted(essence(item) for item in sent if item["type"] != "function_call_output")
        assert kept == sorted(essence(item) for item in final_output(body) if (item["type"], item.get("execution")) != ("tool_search_call", "client"))


def test_half_surrogate_pairs_in_an_answer_that_was_not_streamed_are_replaced() -> None:
    reasoning = {"type": "reasoning", "id": "r", "encrypted_content": "\ud83d"}
    cited = {"type": "output_text", "text": "x\ud83d", "annotations": [{"type": "url_citation", "url": "u\ud83d"}]}
    body = json.dumps({"object": "response", "status": "completed", "output": [reasoning, {"type": "message", "content": [cited]}]})
    assert decode([body.encode()], family=RESPONSES, content_type="application/json").result.message.parts == (
        OpaquePart("openai-responses", {**reasoning, "encrypted_content": "\ufffd"}),
        TextPart("x\ufffd"),
        CitationPart("u\ufffd", data={"type": "url_citation", "url": "u\ufffd"}),
    )


def test_an_answer_that_was_not_streamed_may_have_no_output() -> None:
    found = decode([b'{"object": "response", "status": "cancelled"}'], family=RESPONSES, content_type="application/json")
    assert str(found.error) == "the answer was cancelled at the server; what had arrived is kept as the partial result"


def test_what_only_the_fast_decoder_reads_is_no_json() -> None:
    """Python reads no numbers that are longer."""
    found = decode([b'data: {"x": ' + b"1" * 5000 + b"}\n\n"], family=RESPONSES)
    assert str(found.error).startswith('the server sent an event that is not JSON: \'{"x": 111')


class TestDeltasThatSayNothing:
    """What comes only in the `done` is told from there, also behind a delta that was empty."""

    @pytest.mark.parametrize("more", [{}, {"logprobs": [1]}])
    def test_of_a_text(self, more: JsonObject) -> None:
        whole = {"type": "response.output_text.done", "item_id": "m", "output_index": 0, "content_index": 0, "text": "Hello"}
        assert read(text("", **more), whole).result.message.parts == (TextPart("Hello"),)

    def test_of_a_refusal(self) -> None:
        begun = {"type": "response.refusal.delta", "item_id": "m", "content_index": 0, "delta": ""}
        whole = {"type": "response.refusal.done", "item_id": "m", "content_index": 0, "refusal": "No."}
        assert read(begun, whole).result.message.refusal == "No."

    @pytest.mark.parametrize("kind", ["reasoning_text", "reasoning_summary_text"])
    def test_of_thoughts(self, kind: str) -> None:
        begun = {"type": f"response.{kind}.delta", "item_id": "r", "delta": ""}
        whole = {"type": f"response.{kind}.done", "item_id": "r", "text": "Hm."}
        assert read(begun, whole).result.message.reasoning == "Hm."


def final_output(body: bytes) -> list[JsonObject]:
    lines = [line[5:] for line in body.decode().splitlines() if line.startswith("data:") and '"response.completed"' in line]
    found: list[JsonObject] = json.loads(lines[-1])["response"]["output"]
    return found


def essence(item: JsonObject) -> str:
    """An item without ids that were not stored, statuses, and ciphers, which differ each time they are written."""
    match item["type"]:
        case "message":
            made: object = ([part["text"] for part in item["content"]], item.get("phase"))
        case "function_call":
            made = (item["call_id"], item["name"], json.loads(item["arguments"]), item.get("namespace"))
        case "reasoning":
            made = ([part["text"] for part in item["summary"]], [part["text"] for part in item.get("content") or ()], "encrypted_content" in item)
        case "compaction":
            made = item["id"]
        case _:
            made = {name: value for name, value in item.items() if value is not None}
    return repr((item["type"], made if not isinstance(made, dict) else sorted(made.items())))


SAID: JsonObject = {"type": "output_text", "text": "ab"}
REFUSED: JsonObject = {"type": "refusal", "refusal": "No"}
THOUGHT: JsonObject = {"type": "reasoning_text", "text": "hm"}
SUMMED_UP: JsonObject = {"type": "summary_text", "text": "hm"}


class TestToldOnce:
    """Each text is told as it comes first, and not again by what repeats it, also where only a place tells of which item it is."""

    @pytest.mark.parametrize(
        ("events", "told"),
        [
            pytest.param(
                [
                    nameless("output_text.delta", delta="a"),
                    nameless("output_text.delta", delta="b"),
                    nameless("output_text.done", text="ab"),
                    nameless("content_part.done", part=SAID),
                    done({"type": "message", "content": [SAID]}),
                ],
                ["a", "b"],
                id="a text",
            ),
            pytest.param(
                [nameless("output_text.delta", delta="ab", logprobs=[{"token": "ab", "logprob": -1.0}]), nameless("output_text.done", text="ab")],
                ["ab"],
                id="a text with logprobs",
            ),
            pytest.param(
                [
                    nameless("output_text.delta", delta="ab"),
                    nameless("content_part.added", content_index=1, part={"type": "output_text", "text": ""}),
                    done({"type": "message", "content": [SAID]}),
                ],
                ["ab"],
                id="a text with another part behind it",
            ),
            pytest.param(
                [nameless("output_text.done", text="ab"), done({"type": "message", "content": [SAID]})], ["ab"], id="a text that no index tells"
            ),
            pytest.param(
                [
                    nameless("refusal.delta", delta="N"),
                    nameless("refusal.delta", delta="o"),
                    nameless("refusal.done", refusal="No"),
                    nameless("content_part.done", part=REFUSED),
                    done({"type": "message", "content": [REFUSED]}),
                ],
                ["N", "o"],
                id="a refusal",
            ),
            pytest.param(
                [nameless("refusal.done", refusal="No"), done({"type": "message", "content": [REFUSED]})], ["No"], id="a refusal that no index tells"
            ),
            pytest.param(
                [
                    nameless("reasoning_text.delta", delta="h"),
                    nameless("reasoning_text.delta", delta="m"),
                    nameless("reasoning_text.done", text="hm"),
                    nameless("content_part.done", part=THOUGHT),
                    done({"type": "reasoning", "content": [THOUGHT]}),
                ],
                ["h", "m"],
                id="thoughts",
            ),
            pytest.param(
                [nameless("content_part.done", part=THOUGHT), done({"type": "reasoning", "content": [THOUGHT]})],
                ["hm"],
                id="thoughts that come with their part",
            ),
            pytest.param(
                [
                    nameless("reasoning_summary_text.delta", delta="h"),
                    nameless("reasoning_summary_text.delta", delta="m"),
                    nameless("reasoning_summary_text.done", text="hm"),
                    nameless("reasoning_summary_part.done", part=SUMMED_UP),
                    done({"type": "reasoning", "summary": [SUMMED_UP]}),
                ],
                ["h", "m"],
                id="a summary",
            ),
            pytest.param(
                [nameless("reasoning_summary_part.done", part=SUMMED_UP), done({"type": "reasoning", "summary": [SUMMED_UP]})],
                ["hm"],
                id="a summary that comes with its part",
            ),
            pytest.param(
                [nameless("reasoning_summary_text.done", text="hm"), nameless("reasoning_text.done", text="hm, hm")],
                ["hm"],
                id="a summary and the thoughts behind it",
            ),
        ],
    )
    def test_what_was_told_is_not_repeated(self, events: list[JsonObject], told: list[str]) -> None:
        assert texts(read(*events)) == told

    @pytest.mark.parametrize(
        ("events", "told"),
        [
            ([nameless("output_text.done", content_index=place, text=text) for place, text in enumerate("ab")], ["a", "b"]),
            ([nameless("refusal.done", content_index=place, refusal=text) for place, text in enumerate("ab")], ["a", "b"]),
            ([nameless("content_part.done", content_index=place, part={**SAID, "text": text}) for place, text in enumerate("ab")], ["a", "b"]),
            ([nameless("reasoning_summary_text.done", summary_index=place, text=text) for place, text in enumerate("ab")], ["a", "\n\nb"]),
            (
                [nameless("reasoning_summary_part.done", summary_index=place, part={**SUMMED_UP, "text": text}) for place, text in enumerate("ab")],
                ["a", "\n\nb"],
            ),
            (
                [nameless("reasoning_summary_text.delta", delta="a"), nameless("reasoning_summary_text.done", summary_index=1, text="b")],
                ["a", "\n\nb"],
            ),
            ([nameless("reasoning_text.done", text="a"), nameless("reasoning_text.delta", delta="b")], ["a", "b"]),
            ([nameless("content_part.done", part=THOUGHT), nameless("reasoning_text.delta", delta="b")], ["hm", "b"]),
        ],
        ids=[
            "texts",
            "refusals",
            "parts",
            "summaries",
            "parts of summaries",
            "a summary behind deltas",
            "thoughts",
            "thoughts behind a part",
        ],
    )
    def test_what_is_new_is_told(self, events: list[JsonObject], told: list[str]) -> None:
        assert texts(read(*events)) == told

    def test_a_part_of_either_name_of_texts_is_one_and_a_part_that_is_new_says_nothing(self) -> None:
        message = read(done({"type": "message", "content": [{"type": "text", "text": "a"}, {"type": "new", "text": "b"}]})).result.message
        assert message.parts == (TextPart("a"),)

    @pytest.mark.parametrize(
        ("output", "kept"),
        [
            ([{"type": "web_search_call"}], []),
            ([{"type": "web_search_call", "id": "w"}, {"type": "web_search_call", "id": "x"}], [{"type": "web_search_call", "id": "x"}]),
            ([{"type": "web_search_call", "call_id": "x"}], [{"type": "web_search_call", "call_id": "x"}]),
            ([{"type": "file_search_call"}], [{"type": "file_search_call"}]),
        ],
        ids=["without its id", "one more", "one more without an id", "of another kind"],
    )
    def test_of_the_final_response_only_items_that_the_stream_did_not_tell(self, output: list[JsonObject], kept: list[JsonObject]) -> None:
        search = {"type": "web_search_call", "id": "w"}
        assert read(done(search), final(*output)).result.message.parts == tuple(OpaquePart("openai-responses", item) for item in [search, *kept])

    def test_whole_thoughts_are_summaries_else_what_they_sum_up(self) -> None:
        content = [{"type": "reasoning_text", "text": text} for text in "cd"]
        summary = [{"type": "summary_text", "text": text} for text in "ab"]
        assert thoughts_in({"summary": summary, "content": content}) == [("summary", 0, "a"), ("summary", 1, "b")]
        assert thoughts_in({"summary": [], "content": content}) == [("reasoning", 0, "cd")]


def texts(found: Outcome) -> list[str]:
    return [said for delta in found.deltas if (said := delta.content or delta.reasoning or delta.refusal)]


class TestCalls:
    CALL: ClassVar[JsonObject] = {"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": ""}

    def test_a_call_is_told_piece_by_piece_and_nothing_of_it_twice(self) -> None:
        pieces = [{"type": "response.function_call_arguments.delta", "item_id": "f", "delta": delta} for delta in ('{"a":', "1}")]
        end = {"type": "response.function_call_arguments.done", "item_id": "f", "arguments": '{"a":1}'}
        whole = {**self.CALL, "arguments": '{"a":1}'}
        found = read(added(self.CALL), added(self.CALL), *pieces, end, done(whole), final(whole))
        assert [fragment for delta in found.deltas for fragment in delta.tool_fragments] == [
            ToolCallFragment(0, "c", "f"),
            ToolCallFragment(0, arguments='{"a":'),
            ToolCallFragment(0, arguments="1}"),
        ]

    @pytest.mark.parametrize(
        ("item", "call"),
        [
            ({"call_id": "c"}, ToolCall("c", "", {})),
            ({"name": "f"}, ToolCall("call_0", "f", {})),
            ({"namespace": "n"}, ToolCall("call_0", "", {}, opaque={"openai-responses": {"namespace": "n"}})),
        ],
    )
    def test_what_comes_only_behind_its_arguments_counts_too(self, item: JsonObject, call: ToolCall) -> None:
        delta = {"type": "response.function_call_arguments.delta", "item_id": "f", "delta": "{}"}
        assert read(delta, done({"type": "function_call", "id": "f", **item})).result.message.tool_calls == [call]

    def test_an_id_for_a_call_that_came_without_one_is_made_as_was_asked(self) -> None:
        decoder = ResponsesDecoder(call_id="mine_{}".format)
        call = {"type": "function_call", "name": "f", "arguments": "{}"}
        assert fold(decoder.feed(written(final(call), RESPONSES))).message.tool_calls == [ToolCall("mine_0", "f", {})]

    @pytest.mark.parametrize("call_id", [None, "", 7, [1], {"a": 1}])
    def test_a_call_id_that_is_no_text_is_none(self, call_id: Any) -> None:
        call = {**self.CALL, "call_id": call_id, "arguments": "{}"}
        assert read(done(call)).result.message.tool_calls == [ToolCall("call_0", "f", {})]

    def test_arguments_that_are_an_object_are_written_as_json(self) -> None:
        (told,) = read(done({**self.CALL, "arguments": {"city": "Zürich"}})).deltas[0].tool_fragments
        assert told.arguments == '{"city": "Zürich"}'


ARGUMENTS = [{"type": "response.function_call_arguments.delta", "output_index": place, "delta": f'{{"n": {place}}}'} for place in (0, 1)]


class TestWhichItem:
    """An event's item is found by its id, else by its place, while that item goes on."""

    def test_a_place_that_is_used_again_is_another_item(self) -> None:
        first = {"type": "message", "content": [{"type": "output_text", "text": "a"}]}
        second = {"type": "response.output_text.done", "output_index": 0, "text": "b"}
        assert read(text("a", item_id=None), done(first), second).result.message.content == "ab"

    def test_items_without_ids_are_told_apart_by_their_places(self) -> None:
        begun = [added({"type": "function_call", "name": name}, place) for place, name in enumerate("fg")]
        assert read(*begun, *ARGUMENTS).result.message.tool_calls == [ToolCall("call_0", "f", {"n": 0}), ToolCall("call_1", "g", {"n": 1})]

    def test_and_so_are_those_that_only_the_final_response_names(self) -> None:
        named = [{"type": "function_call", "call_id": call_id, "name": name} for call_id, name in ("cf", "dg")]
        assert read(*ARGUMENTS, final(*named)).result.message.tool_calls == [ToolCall("c", "f", {"n": 0}), ToolCall("d", "g", {"n": 1})]

    def test_an_id_that_is_new_is_another_item_where_no_place_says_otherwise(self) -> None:
        pieces = [{"type": "response.function_call_arguments.delta", "item_id": name, "delta": "{}"} for name in ("a", "b")]
        ends = [
            done({"type": "function_call", "id": name, "call_id": f"c{name}", "name": "f", "arguments": "{}"}, place)
            for place, name in enumerate("ab")
        ]
        assert read(*pieces, *ends).result.message.tool_calls == [ToolCall("ca", "f", {}), ToolCall("cb", "f", {})]

    def test_one_that_is_done_twice_is_kept_once(self) -> None:
        search = {"type": "web_search_call", "id": "w"}
        assert read(done(search), done(search)).result.message.parts == (OpaquePart("openai-responses", search),)

    def test_a_refusal_is_not_told_again_when_the_final_response_calls_its_item_otherwise(self) -> None:
        whole = {"type": "message", "id": "other", "content": [{"type": "refusal", "refusal": "No"}]}
        end = {"type": "response.completed", "response": {"status": "completed", "output": [{"type": "new", "id": "n"}, whole]}}
        assert read({"type": "response.refusal.delta", "item_id": "m", "output_index": 0, "delta": "No"}, end).result.message.refusal == "No"


class TestCitations:
    def test_positions_count_from_the_beginning_of_the_message(self) -> None:
        second = {"type": "response.content_part.added", "item_id": "m", "output_index": 0, "content_index": 1, "part": {"type": "output_text"}}
        cited = annotation(type="url_citation", url="https://x.example", title="X", start_index=0, end_index=2)
        found = read(text("one "), text("more "), second, text("two", content_index=1), cited)
        assert found.result.message.citations == [CitationPart("https://x.example", "X", "", 9, 11, cited["annotation"])]

    def test_a_file_is_named_by_its_name(self) -> None:
        one = annotation(type="file_citation", file_id="f", filename="a.txt", index=3)
        two = annotation(type="container_file_citation", file_id="g", filename="b.png", start_index=1, end_index=2)
        three = annotation(type="file_path", file_id="h", index=None)
        assert [(part.url, part.title, part.start, part.end) for part in read(text("text"), one, two, three).result.message.citations] == [
            ("", "a.txt", 3, 3),
            ("", "b.png", 1, 2),
            ("", "", None, None),
        ]

    def test_one_that_is_repeated_counts_once_and_one_that_comes_only_with_the_item_counts_too(self) -> None:
        first, second = ({"type": "url_citation", "url": url, "start_index": 0, "end_index": 1} for url in ("https://a.example", "https://b.example"))
        whole = {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "t", "annotations": [first, second]}]}
        found = read(text("t"), annotation(**first), done(whole))
        assert [part.url for part in found.result.message.citations] == ["https://a.example", "https://b.example"]

    def test_texts_of_whole_parts_count_too(self) -> None:
        cited = {"type": "url_citation", "url": "https://a.example", "start_index": 0, "end_index": 1}
        parts = [{"type": "output_text", "text": text} for text in ("ab", "c")] + [{"type": "output_text", "text": "d", "annotations": [cited]}]
        assert [part.start for part in read(done({"type": "message", "content": parts})).result.message.citations] == [3]

    @pytest.mark.parametrize("begun", [[], [added({"type": "message", "id": "n"}, 1)]], ids=["with its text", "before its text"])
    def test_and_so_do_those_of_the_messages_before_wherever_the_next_begins(self, begun: list[JsonObject]) -> None:
        cited = {"type": "response.output_text.annotation.added", "item_id": "n", "annotation": {"start_index": 0, "end_index": 1}}
        found = read(text("ab"), *begun, text("cd", item_id="n", output_index=1), cited)
        assert [(part.start, part.end) for part in found.result.message.citations] == [(2, 3)]

    def test_the_text_is_that_of_the_place_where_no_id_tells_it(self) -> None:
        found = read(text("ab", item_id=None), annotation(start_index=0, end_index=1) | {"item_id": None})
        assert [(part.start, part.end) for part in found.result.message.citations] == [(0, 1)]

    @pytest.mark.parametrize("position", ["1", True, -1, 1.5, [1]])
    def test_a_position_that_is_none_is_left_out(self, position: Any) -> None:
        found = read(text("ab"), annotation(start_index=position, end_index=1))
        assert [(part.start, part.end) for part in found.result.message.citations] == [(None, 1)]

    @pytest.mark.parametrize("name", ["type", "url", "file_id", "start_index", "end_index", "index"])
    def test_those_that_differ_in_anything_are_two(self, name: str) -> None:
        one: JsonObject = {"type": "t", "url": "u", "file_id": "f", "start_index": 0, "end_index": 1, "index": 2}
        other = {**one, name: 3 if "index" in name else "other"}
        found = read(text("text"), annotation(**one), annotation(**other), annotation(**one))
        assert [part.data for part in found.result.message.citations] == [one, other]


class TestImages:
    @pytest.mark.parametrize(("form", "media"), [(None, "image/png"), ("webp", "image/webp"), ("svg", "image/svg+xml")])
    def test_an_image_stands_behind_its_item_which_does_not_hold_it_twice(self, form: str | None, media: str) -> None:
        item = {"type": "image_generation_call", "id": "ig", "result": b64encode(b"pixels").decode(), "output_format": form}
        partial = {"type": "response.image_generation_call.partial_image", "item_id": "ig", "partial_image_b64": "AAAA"}
        rest = {name: value for name, value in item.items() if name != "result"}
        assert read(partial, done(item)).result.message.parts == (OpaquePart("openai-responses", rest), ImagePart(data=b"pixels", media_type=media))

    @pytest.mark.parametrize("result", [None, "", "no base64!", 7])
    def test_what_is_no_image_stays_in_its_item(self, result: Any) -> None:
        item = {"type": "image_generation_call", "id": "ig", "result": result}
        assert read(done(item)).result.message.parts == (OpaquePart("openai-responses", item),)


class TestLogprobs:
    ENTRY: ClassVar[JsonObject] = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1.0, "bytes": None}]}
    TOLD = (TokenLogprob("a", -0.5, b"a", (TokenLogprob("b", -1.0),)),)

    def test_they_come_with_their_deltas(self) -> None:
        found = read(text("a", logprobs=[self.ENTRY]), text("b"))
        assert (found.result.logprobs, found.deltas[0].logprobs, found.result.message.content) == (self.TOLD, self.TOLD, "ab")

    def test_or_with_a_text_that_comes_whole(self) -> None:
        whole = {"type": "response.output_text.done", "item_id": "m", "output_index": 0, "text": "a", "logprobs": [self.ENTRY]}
        assert read(whole).result.logprobs == self.TOLD


class TestStoredResponses:
    def test_the_id_of_a_response_that_the_server_keeps_is_the_last_part(self) -> None:
        decoder = ResponsesDecoder(after="digest")
        deltas = [*decoder.feed(written(text("a"), RESPONSES) + written(COMPLETED, RESPONSES)), *decoder.eof()]
        kept = OpaquePart("openai-responses", {"type": "response", "id": "resp_1", "after": "digest"})
        assert fold(deltas).message.parts == (TextPart("a"), kept)

    @pytest.mark.parametrize("response", [{"status": "completed"}, {"status": "completed", "id": 7}])
    def test_one_without_an_id_is_not_kept(self, response: JsonObject) -> None:
        decoder = ResponsesDecoder(after="digest")
        assert fold(decoder.feed(written({"type": "response.completed", "response": response}, RESPONSES))).message.parts == ()

    def test_one_that_was_not_told_to_its_end_is_not_either(self) -> None:
        decoder = ResponsesDecoder(after="digest")
        assert fold(decoder.feed(written(text("a"), RESPONSES) + b"data: [DONE]\n\n")).message.parts == (TextPart("a"),)


class TestEndings:
    @pytest.mark.parametrize("status", ["in_progress", "new", 7, None])
    def test_an_event_that_ends_an_answer_counts_more_than_a_status_that_does_not(self, status: Any) -> None:
        found = read(text("a"), {"type": "response.incomplete", "response": {"status": status}})
        assert (found.error, found.result.raw_finish_reason) == (None, "incomplete")

    def test_an_answer_that_failed_without_a_reason(self) -> None:
        error = read({"type": "response.failed", "response": {}}).error
        assert (type(error), str(error)) == (ServerError, 'the server failed; try again later: "the server did not say why it failed server_error"')

    def test_an_answer_that_is_not_finished(self) -> None:
        found = decode([json.dumps({"object": "response", "status": "x" * 50}).encode()], family=RESPONSES, content_type="application/json")
        assert str(found.error) == f"the server handed out an answer that is not finished (its status is '{'x' * 40}'); ask again"


NAMES = sorted(
    {*ResponsesDecoder._HANDLERS, "response.created", "response.completed", "response.incomplete", "response.failed", "error", "response.x"}
)
KINDS = ["message", "function_call", "reasoning", "image_generation_call", "custom_tool_call", "new"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(["", "a", "m", "c", "\ud83d", "\ude00", *KINDS]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "id", "call_id", "name", "summary", "content", "arguments", "result", "phase"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
FIELDS = ["sequence_number", "item_id", "output_index", "content_index", "summary_index", "delta", "text", "refusal", "arguments", "item", "part",
          "annotation", "logprobs", "response", "error", "object", "code", "message"]  # fmt: skip
ITEMS = st.fixed_dictionaries(
    {"type": st.sampled_from(KINDS)}, optional=dict.fromkeys(("id", "call_id", "name", "content", "summary", "arguments", "result"), VALUES)
)
EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from(NAMES)},
    optional={name: ITEMS | VALUES if name == "item" else VALUES for name in FIELDS},
)


@given(st.lists(EVENTS, max_size=8), st.booleans())
def test_events_of_any_shape_and_order_raise_nothing_and_fail_only_with_typed_errors(events: list[JsonObject], at_once: bool) -> None:
    pieces = [written(event, RESPONSES) for event in events]
    found = decode([b"".join(pieces)] if at_once else pieces, family=RESPONSES)
    assert found.error is None or isinstance(found.error, ProviderError)
    assert len([delta for delta in found.deltas if delta.final]) == (0 if found.error else 1)
    sent = InputWriter(stored=False, refused=set()).items([found.result.message])
    json.dumps(sent).encode()


@given(st.lists(EVENTS, max_size=8))
def test_they_come_out_alike_whether_they_come_one_by_one_or_at_once(events: list[JsonObject]) -> None:
    pieces = [written(event, RESPONSES) for event in events]
    assert repr(decode(pieces, family=RESPONSES).facts) == repr(decode([b"".join(pieces)], family=RESPONSES).facts)  # a NaN is not itself


@given(VALUES)
def test_a_body_that_is_any_json_value_fails_only_with_typed_errors(value: Any) -> None:
    for body in (value, {"object": "response", "status": "completed", "output": value}, {"output": [value, {"type": "message", "content": value}]}):
        found = decode([json.dumps(body).encode()], content_type="application/json", family=RESPONSES)
        assert found.error is None or isinstance(found.error, ProviderError)
