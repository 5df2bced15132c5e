"""Writing requests of the Responses protocol."""

from __future__ import annotations

from typing import Any

import pytest

from ecs_agent.errors import BadRequestError, UnsupportedFeatureError
from ecs_agent.providers.openai_responses.chain import digest_of
from ecs_agent.providers.openai_responses.request import LOGPROBS, ResponsesSettings, encode_request, is_stored
from ecs_agent.providers.openai_responses.withdrawn import ENCRYPTED, Withdrawn
from ecs_agent.providers.protocol import ModelRequest, RequestOptions
from ecs_agent.types import ImagePart, JsonObject, Message, OpaquePart, TextPart, ToolSchema

ALWAYS = {"model": "m", "input": [], "store": False, "include": [ENCRYPTED]}
SCHEMA = ToolSchema("f", "Does f.", {"type": "object"})
FUNCTION = {"type": "function", "name": "f", "description": "Does f.", "parameters": {"type": "object"}, "strict": False}


def body(
    *messages: Message, settings: ResponsesSettings | None = None, withdrawn: Withdrawn | None = None, stream: bool = False, **options: Any
) -> JsonObject:
    request = ModelRequest("m", messages, stream, RequestOptions(**options))  # type: ignore[typeddict-item]
    return encode_request(request, settings or ResponsesSettings(), withdrawn or Withdrawn())


def test_what_is_not_given_is_not_sent() -> None:
    assert body(temperature=None, tools=None, tool_choice=None, logprobs=False) == ALWAYS


def test_a_stream_is_asked_for() -> None:
    assert body(stream=True) == ALWAYS | {"stream": True}


def test_options_are_sent_under_their_names() -> None:
    sent = body(temperature=0.0, top_p=0.5, max_tokens=9, parallel_tool_calls=False, metadata={"a": "b"}, reasoning_effort="low")
    assert sent == ALWAYS | {
        "temperature": 0.0,
        "top_p": 0.5,
        "max_output_tokens": 9,
        "parallel_tool_calls": False,
        "metadata": {"a": "b"},
        "reasoning": {"effort": "low", "summary": "auto"},
    }


@pytest.mark.parametrize(("name", "value"), [("stop", ["x"]), ("seed", 0), ("logit_bias", {})])
def test_an_option_that_the_protocol_has_no_word_for_is_refused_and_not_dropped(name: str, value: Any) -> None:
    with pytest.raises(UnsupportedFeatureError, match=rf"has no '{name}'; leave it out, ask with OpenAIProvider"):
        body(**{name: value})
    nothing: dict[str, Any] = {name: None}
    assert body(**nothing) == ALWAYS


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        (ResponsesSettings(reasoning_summary=None), {"effort": "high"}),
        (ResponsesSettings(reasoning_summary="detailed"), {"effort": "high", "summary": "detailed"}),
    ],
)
def test_how_thoughts_are_summed_up(settings: ResponsesSettings, sent: JsonObject) -> None:
    assert body(settings=settings, reasoning_effort="high")["reasoning"] == sent


@pytest.mark.parametrize(("options", "count"), [({"logprobs": True}, None), ({"top_logprobs": 3}, 3), ({"logprobs": True, "top_logprobs": 2}, 2)])
def test_logprobs(options: Any, count: int | None) -> None:
    sent = body(**options)
    assert (sent["include"], sent.get("top_logprobs")) == ([ENCRYPTED, LOGPROBS], count)


class TestTools:
    @pytest.mark.parametrize(
        ("choice", "sent"), [("auto", "auto"), ("none", "none"), ("required", "required"), ("f", {"type": "function", "name": "f"})]
    )
    def test_functions_and_the_choice_of_them(self, choice: str, sent: Any) -> None:
        made = body(tools=[SCHEMA], tool_choice=choice)
        assert (made["tools"], made["tool_choice"]) == ([FUNCTION], sent)

    def test_built_in_tools_stand_behind_the_functions(self) -> None:
        settings = ResponsesSettings(builtin_tools=({"type": "web_search"},))
        made = body(settings=settings, tools=[SCHEMA], extra_body={"tools": [{"type": "file_search"}], "include": ["web_search_call.action.sources"]})
        assert made["tools"] == [FUNCTION, {"type": "web_search"}, {"type": "file_search"}]
        assert made["include"] == [ENCRYPTED, "web_search_call.action.sources"]
        assert body(settings=settings)["tools"] == [{"type": "web_search"}]

    def test_what_is_included_twice_is_asked_for_once(self) -> None:
        assert body(extra_body={"include": [ENCRYPTED]})["include"] == [ENCRYPTED]
        assert body(extra_body={"include": [[1]]})["include"] == [ENCRYPTED, [1]]

    def test_extra_body_counts_most(self) -> None:
        made = body(temperature=0.5, extra_body={"temperature": 1, "truncation": "auto", "tools": None, "include": None})
        assert made == {"model": "m", "input": [], "store": False, "temperature": 1, "truncation": "auto", "tools": None, "include": None}


class TestStructure:
    SHAPE = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}}  # noqa: RUF012 - never changed
    SENT = {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}}  # noqa: RUF012 - never changed

    def test_a_schema_stands_beside_its_type(self) -> None:
        assert body(response_format=self.SHAPE)["text"] == self.SENT
        assert body(output_format=self.SHAPE)["text"] == self.SENT

    @pytest.mark.parametrize("shape", [{"type": "json_object"}, {"type": "json_schema", "name": "n", "schema": {}}])
    def test_other_shapes_are_sent_as_they_are(self, shape: JsonObject) -> None:
        assert body(response_format=shape)["text"] == {"format": shape}


class TestSystemMessages:
    def test_those_at_the_beginning_are_instructions(self) -> None:
        sent = body(Message("system", "a"), Message("system", ""), Message("system", "b"), Message("user", "u"), Message("system", "c"))
        assert sent["instructions"] == "a\n\nb"
        assert [item["role"] for item in sent["input"]] == ["user", "system"]

    def test_where_there_is_nothing_else_they_are_the_input(self) -> None:
        sent = body(Message("system", "a"), Message("system", "b"))
        assert ("instructions" in sent, sent["input"]) == (
            False,
            [{"type": "message", "role": "system", "content": [{"type": "input_text", "text": "a\n\nb"}]}],
        )

    def test_one_that_holds_more_than_text_stays_a_message(self) -> None:
        sent = body(Message("system", parts=[TextPart("a"), ImagePart(data=b"\x01")]))
        assert ("instructions" in sent, [part["type"] for part in sent["input"][0]["content"]]) == (False, ["input_text", "input_image"])


class TestStore:
    ASKED = (Message("system", "s"), Message("user", "q"))

    def conversation(self) -> list[Message]:
        part = OpaquePart("openai-responses", {"type": "response", "id": "resp_1", "after": digest_of(self.ASKED[1:])})
        return [*self.ASKED, Message("assistant", parts=[TextPart("a"), part]), Message("user", "more")]

    def test_a_server_that_keeps_the_answers_is_told_only_what_is_new(self) -> None:
        sent = body(*self.conversation(), settings=ResponsesSettings(store=True))
        assert sent == {
            "model": "m",
            "instructions": "s",
            "previous_response_id": "resp_1",
            "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "more"}]}],
            "store": True,
        }

    def test_the_instructions_may_change_and_what_stands_between_may_not(self) -> None:
        settings = ResponsesSettings(store=True)
        changed = [Message("system", "t"), *self.conversation()[1:]]
        assert body(*changed, settings=settings)["previous_response_id"] == "resp_1"
        changed.insert(2, Message("system", "later"))
        assert "previous_response_id" not in body(*changed, settings=settings)

    def test_what_is_new_holds_items_that_only_the_server_knows_and_none_that_it_refused(self) -> None:
        known: JsonObject = {"type": "reasoning", "id": "rs_1", "summary": []}
        refused: JsonObject = {**known, "id": "rs_2"}
        new = Message("assistant", parts=[OpaquePart("openai-responses", known), OpaquePart("openai-responses", refused), TextPart("b")])
        withdrawn = Withdrawn()
        assert withdrawn.take(BadRequestError("Item with id 'rs_2' not found."), {"input": [refused]})
        told = [known, {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]}]
        sent = body(*self.conversation(), new, settings=ResponsesSettings(store=True), withdrawn=withdrawn)
        assert (sent["previous_response_id"], sent["input"][1:]) == ("resp_1", told)
        assert body(new, settings=ResponsesSettings(store=True), withdrawn=withdrawn)["input"] == told

    def test_where_nothing_is_new_everything_is_sent(self) -> None:
        sent = body(*self.conversation()[:3], settings=ResponsesSettings(store=True))
        assert ("previous_response_id" in sent, len(sent["input"])) == (False, 2)

    @pytest.mark.parametrize("extra", [{"previous_response_id": "x"}, {"conversation": "x"}, {"store": False}])
    def test_unless_the_request_itself_says_otherwise(self, extra: JsonObject) -> None:
        sent = body(*self.conversation(), settings=ResponsesSettings(store=True), extra_body=extra)
        assert (len(sent["input"]), sent.get("previous_response_id")) == (3, extra.get("previous_response_id"))

    def test_or_the_server_did_not_take_it(self) -> None:
        lost, unable = Withdrawn(), Withdrawn()
        assert lost.take(BadRequestError("Previous response not found"), {"previous_response_id": "resp_1"})
        unable.chains = False
        for withdrawn in (lost, unable):
            sent = body(*self.conversation(), settings=ResponsesSettings(store=True), withdrawn=withdrawn)
            assert (len(sent["input"]), "previous_response_id" in sent) == (3, False)

    def test_else_everything_is_sent(self) -> None:
        assert len(body(*self.conversation())["input"]) == 3

    @pytest.mark.parametrize(
        ("store", "extra", "stored"), [(False, None, False), (True, None, True), (False, {"store": True}, True), (True, {"store": False}, False)]
    )
    def test_whether_it_is_asked_to_keep_the_answer(self, store: bool, extra: JsonObject | None, stored: bool) -> None:
        request = ModelRequest("m", [], False, RequestOptions(extra_body=extra))
        assert is_stored(request, ResponsesSettings(store=store)) is stored


class TestWithdrawn:
    def test_what_a_model_cannot_do_is_not_asked_of_it(self) -> None:
        withdrawn = Withdrawn()
        withdrawn.plain_models.add("m")
        withdrawn.silent_models.add("m")
        sent = body(withdrawn=withdrawn, reasoning_effort="low")
        assert sent == {"model": "m", "input": [], "store": False, "reasoning": {"effort": "low"}}
