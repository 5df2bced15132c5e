"""Where the official SDK's accumulator and ours read a body differently, and the rule of the wire cases that says who is right.

The list is complete: a body that stands here differs in exactly the fields that are named, and every other body is read alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.oracle.reading import Reading

GROQ = "openai-chat/groq.test_groq."
OTHER = "openai-chat/"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One way in which the two differ, and the bodies that show it."""

    name: str
    rule: str
    why: str
    fields: frozenset[str]
    bodies: tuple[str, ...]
    holds: Callable[[Reading, Reading], bool]
    """Whether the SDK's reading and ours say what `why` says."""


def _fails(error: str) -> Callable[[Reading, Reading], bool]:
    """The SDK gives up with an error where there is an answer; what it had read until then is a beginning of ours."""
    return lambda sdk, ours: sdk.failed == error and ours.failed is None and ours.text.startswith(sdk.text)


def _misses_the_failure(kind: str) -> Callable[[Reading, Reading], bool]:
    return lambda sdk, ours: sdk.failed is None and ours.failed == kind and sdk.text == ours.text


DISAGREEMENTS = (
    Disagreement(
        "usage in the extension of Groq",
        "R10",
        "The usage stands in x_groq.usage, which the SDK does not read. Ours is right: usage counts wherever it stands.",
        frozenset({"usage"}),
        (
            GROQ + "test_groq_model_thinking_part_iter.1",
            GROQ + "test_groq_model_thinking_part_iter.2",
            GROQ + "test_groq_model_web_search_tool_stream.1",
            OTHER + "groq.test_token_counts.TestTokenCounts.test_groq.1",
        ),
        lambda sdk, ours: sdk.usage is None and ours.usage is not None,
    ),
    Disagreement(
        "usage that a later chunk does not repeat",
        "R10",
        "The SDK takes the usage of the last chunk, and so forgets it when another chunk follows. Ours is right: the last value that is not null wins.",
        frozenset({"usage"}),
        (OTHER + "openai.test_openai.test_openai_moderation_stream.1",),
        lambda sdk, ours: sdk.usage is None and ours.usage is not None,
    ),
    Disagreement(
        "calls without an index",
        "R7c",
        "The SDK uses the index to find the call and fails where there is none. Ours is right: a new id opens a call, else the last one goes on.",
        frozenset({"failed"}),
        (
            OTHER + "mistral.test_instrumentor.test_synchronous_streaming_chat_completions_with_tool_call_response_emits_expected_spans_Fal",
            OTHER + "mistral.test_instrumentor.test_synchronous_streaming_chat_completions_with_tool_call_response_emits_expected_spans_Tru",
            "cases/ollama_missing_index",
        ),
        _fails("TypeError"),
    ),
    Disagreement(
        "a call without an index that has only begun",
        "R7c",
        "As above; the SDK fails at the second fragment and so holds half of the arguments.",
        frozenset({"failed", "calls"}),
        ("cases/dashscope_missing_index_continuation",),
        _fails("TypeError"),
    ),
    Disagreement(
        "an id and a name that are repeated",
        "R7b, R7e",
        "The SDK glues the repeated id and name to the first. Ours is right: the same id continues, and a repeated name is ignored.",
        frozenset({"calls"}),
        (OTHER + "openai.test_tools_streaming.test_tools_streaming_variant_a.1",),
        lambda sdk, ours: [call[:2] for call in sdk.calls] == [("00", "llm_versionllm_version")] and ours.calls == (("0", "llm_version", {}),),
    ),
    Disagreement(
        "several calls on one index",
        "R7a, R7d",
        "The SDK glues them to one call that nobody made. Ours is right: a new id, or a name behind closed arguments, opens a call.",
        frozenset({"calls"}),
        ("cases/ollama_two_calls_same_index0",),
        lambda sdk, ours: len(sdk.calls) == 1 < len(ours.calls),
    ),
    Disagreement(
        "several calls on one index, finished with stop",
        "R7a, R7d, R8",
        "As above; and with calls present, stop means tool_calls.",
        frozenset({"calls", "finish"}),
        ("cases/gemini_compat_no_id_two_whole_calls", "cases/gemini_compat_parallel_index0", "cases/ollama_finish_stop_with_tool_calls"),
        lambda sdk, ours: len(sdk.calls) == 1 < len(ours.calls) and (sdk.finish, ours.finish) == ("stop", "tool_calls"),
    ),
    Disagreement(
        "no arguments",
        "R7g",
        "The SDK leaves them empty or null, which is no JSON. Ours is right: a call that finished without arguments has {}.",
        frozenset({"calls"}),
        (OTHER + "openai.test_tools_streaming.test_tools_streaming_variant_d.1", "cases/tool_no_args_empty_string"),
        lambda sdk, ours: sdk.calls[0][2] in (None, "") and ours.calls[0][2] == {},
    ),
    Disagreement(
        "calls without an id",
        "R7g",
        "The SDK leaves the id out, and a result could not name its call. Ours is right: a missing id is made up.",
        frozenset({"calls"}),
        ("cases/tool_call_missing_id",),
        lambda sdk, ours: not any(call[0] for call in sdk.calls) and all(call[0] for call in ours.calls),
    ),
    Disagreement(
        "details without an index",
        "R6",
        "The SDK merges every list by index and fails where an entry has none, at the first reasoning detail or citation. Ours is right: such data is kept.",
        frozenset({"failed", "text"}),
        (OTHER + "openrouter.test_openrouter.test_openrouter_web_search_annotations_stream.1",),
        _fails("RuntimeError"),
    ),
    Disagreement(
        "reasoning details without an index",
        "R5, R6",
        "As above; the SDK also stops before the reasoning is over.",
        frozenset({"failed", "text", "reasoning"}),
        (OTHER + "openrouter.test_openai.test_openrouter_streaming_reasoning.1",),
        lambda sdk, ours: _fails("RuntimeError")(sdk, ours) and ours.reasoning.startswith(sdk.reasoning),
    ),
    Disagreement(
        "reasoning that is no field of its own",
        "R5",
        "It stands in parts of the content, or only in reasoning_details, where the SDK keeps it unread. Ours is right: it is reasoning by any name.",
        frozenset({"reasoning"}),
        (
            OTHER + "mistral.test_mistral.test_mistral_model_thinking_part_iter.1",
            OTHER + "snowflake.test_snowflake.test_snowflake_thinking_streaming.1",
        ),
        lambda sdk, ours: not sdk.reasoning and bool(ours.reasoning),
    ),
    Disagreement(
        "another choice comes first",
        "R4",
        "The SDK puts the first choice it sees into a list by its index and fails when that is not 0. Ours is right: only choice 0 is ours.",
        frozenset({"failed", "text"}),
        ("q05/n2",),
        _fails("IndexError"),
    ),
    Disagreement(
        "a cut stream",
        "R9",
        "The SDK takes the end of the body for the end of the answer. Ours is right: without a finish or [DONE] it is an error that keeps the partial.",
        frozenset({"failed"}),
        (
            "smol/cancel_midstream",
            "cases/cut_clean_eof_mid_event",
            "cases/cut_clean_eof_no_finish",
            "cases/cut_reset_mid_event",
            "cases/stall_after_first_delta",
        ),
        _misses_the_failure("StreamInterruptedError"),
    ),
    Disagreement(
        "a finish that is an error",
        "R8",
        "The SDK hands the word on as if the answer were one. Ours is right: network_error is a failure of the server.",
        frozenset({"failed"}),
        ("cases/glm_finish_network_error",),
        _misses_the_failure("ServerError"),
    ),
    Disagreement(
        "words for a finish that others use",
        "R8",
        "The SDK hands on the server's word, which none of its users expects. Ours is right: there are five, and the server's own word is kept beside them.",
        frozenset({"finish"}),
        ("cases/mistral_finish_model_length", "cases/together_finish_eos"),
        lambda sdk, ours: (sdk.finish, ours.finish) in {("model_length", "length"), ("eos", "stop")},
    ),
    Disagreement(
        "a last chunk that calls itself a whole answer",
        "R4, R10",
        "The SDK skips a chunk whose object is another word, and with it finish and usage. Ours is right: what counts in a chunk is what it holds.",
        frozenset({"finish", "usage"}),
        ("cases/minimax_final_full_message",),
        lambda sdk, ours: (sdk.finish, sdk.usage) == (None, None) and ours.usage is not None and sdk.text == ours.text,
    ),
    Disagreement(
        "chunks without the word object",
        "R4, R14",
        "The SDK skips them, and all the text. Ours is right: it is there, with the half of a surrogate pair replaced.",
        frozenset({"text"}),
        ("cases/escaped_surrogate_pair_and_lone",),
        lambda sdk, ours: not sdk.text and ours.text.endswith("x\ufffdy"),
    ),
    Disagreement(
        "keep-alives in data lines",
        "R2",
        "The SDK tries to read them as JSON and fails. Ours is right: empty data and the usual words are no answer and no error.",
        frozenset({"failed", "text"}),
        ("cases/data_only_keepalives",),
        _fails("JSONDecodeError"),
    ),
    Disagreement(
        "JSON that is no object",
        "R2",
        "The SDK looks for fields in it and fails with an AttributeError. Ours is right: it is ignored.",
        frozenset({"failed"}),
        ("cases/non_object_json_event",),
        _fails("AttributeError"),
    ),
    Disagreement(
        "bytes that are no UTF-8",
        "R1",
        "The SDK fails. Ours is right: the standard says that they are replaced.",
        frozenset({"failed", "text"}),
        ("cases/invalid_utf8_bytes",),
        _fails("UnicodeDecodeError"),
    ),
    Disagreement(
        "a whole answer where a stream was asked for",
        "R3 (a choice: malformed would be right too)",
        "The SDK reads it as an empty stream and then has nothing to give. Ours takes the answer that is there.",
        frozenset({"failed", "text"}),
        ("cases/proxy_200_json_non_stream",),
        _fails("AssertionError"),
    ),
)
