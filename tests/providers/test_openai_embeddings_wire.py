"""The protocol of embeddings without I/O: what is sent, how texts are cut into batches, and what is made of any answer."""

from __future__ import annotations

import json
import math
import struct
from array import array
from base64 import b64decode, b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.providers.wire import ABSENT, SHARED

from ecs_agent.errors import BadRequestError, MalformedResponseError, ServerError
from ecs_agent.providers.embeddings import openai_wire as wire
from ecs_agent.providers.embeddings.openai_wire import BATCH_BYTES, OpenAIEmbeddingCodec, batches, check_batch_size, read_answer
from ecs_agent.types import Usage

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["data", "embedding", "index", "usage", "model"]), inner, max_size=4),
    max_leaves=12,
)


def packed(values: list[float]) -> str:
    return b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def answer(*embeddings: Any, **rest: Any) -> dict[str, Any]:
    return {"object": "list", "model": "m-1", "data": [{"index": at, "embedding": e} for at, e in enumerate(embeddings)], **rest}


def read(found: Any, count: int = 1, dimensions: int | None = None) -> Any:
    return read_answer(found, count=count, model="m", dimensions=dimensions)


class TestRequests:
    def test_vectors_are_asked_for_in_base64(self) -> None:
        body = OpenAIEmbeddingCodec().encode(("a", "b"), "m", None, {})
        assert body == {"model": "m", "input": ["a", "b"], "encoding_format": "base64"}

    def test_dimensions_are_sent_when_given_and_extra_is_merged_last(self) -> None:
        body = OpenAIEmbeddingCodec().encode(["a"], "m", 256, {"input_type": "query", "encoding_format": "float"})
        assert body == {"model": "m", "input": ["a"], "dimensions": 256, "encoding_format": "float", "input_type": "query"}

    @pytest.mark.parametrize("words", ["Unknown field: encoding_format", "base64 is not supported"])
    def test_a_server_that_refuses_base64_is_not_asked_for_it_again(self, words: str) -> None:
        codec = OpenAIEmbeddingCodec()
        sent = codec.encode(["a"], "m", None, {})
        assert codec.withdraw(BadRequestError(words), sent)
        plain = codec.encode(["a"], "m", None, {})
        assert "encoding_format" not in plain
        assert not codec.withdraw(BadRequestError(words), plain)

    def test_other_refusals_withdraw_nothing(self) -> None:
        codec = OpenAIEmbeddingCodec()
        sent = codec.encode(["a"], "m", None, {})
        assert not codec.withdraw(BadRequestError("no such model"), sent)
        assert not codec.withdraw(ServerError("base64"), sent)
        assert codec.encode(["a"], "m", None, {}) == sent

    def test_the_key_is_a_bearer_token(self) -> None:
        assert OpenAIEmbeddingCodec().authorization("k") == {"authorization": "Bearer k"}


class TestBatches:
    @given(st.lists(st.text(max_size=20), max_size=40), st.integers(1, 8), st.integers(1, 60))
    def test_they_hold_all_texts_in_order_and_are_as_large_as_they_may_be(self, texts: list[str], most: int, room: int) -> None:
        patched = pytest.MonkeyPatch()
        patched.setattr(wire, "BATCH_BYTES", room)
        with patched.context():
            cut = list(batches(texts, most))
        patched.undo()
        assert [text for batch in cut for text in batch] == texts
        sizes = [sum(len(text.encode()) for text in batch) for batch in cut]
        for at, batch in enumerate(cut):
            assert 1 <= len(batch) <= most
            assert sizes[at] <= room or len(batch) == 1
            if at + 1 < len(cut):
                assert len(batch) == most or sizes[at] + len(cut[at + 1][0].encode()) > room

    def test_bytes_are_counted_and_not_characters(self) -> None:
        half = "ü" * (BATCH_BYTES // 4)
        assert [len(batch) for batch in batches([half, half, "x"], 10)] == [2, 1]

    def test_half_a_surrogate_pair_has_a_size_too(self) -> None:
        assert list(batches(["\ud800"], 10)) == [["\ud800"]]

    def test_their_size_is_within_what_servers_take(self) -> None:
        assert (check_batch_size(1), check_batch_size(2048)) == (1, 2048)
        for wrong in (0, 2049):
            with pytest.raises(ValueError, match=f"batch_size is {wrong}; give 1 to 2048"):
                check_batch_size(wrong)


class TestAnswers:
    @given(st.lists(st.lists(floats, min_size=3, max_size=3), min_size=1, max_size=5), st.randoms(use_true_random=False))
    def test_digits_and_base64_say_the_same_in_whatever_order_they_come(self, vectors: list[list[float]], chance: Any) -> None:
        plain, dense = answer(*vectors), answer(*map(packed, vectors))
        chance.shuffle(plain["data"])
        chance.shuffle(dense["data"])
        wanted = tuple(array("f", vector) for vector in vectors)
        assert read(json.loads(json.dumps(plain)), len(vectors)).vectors == wanted
        assert read(dense, len(vectors)).vectors == wanted

    def test_bytes_are_little_endian_on_every_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.byteorder", "big")
        swapped = array("f", [1.0, 2.0])
        swapped.byteswap()  # so a machine that reads the other way has them in memory
        (vector,) = read(answer(b64encode(swapped.tobytes()).decode())).vectors
        assert vector == array("f", [1.0, 2.0])

    def test_without_any_index_the_order_is_that_of_the_texts(self) -> None:
        found = {"data": [{"embedding": [1]}, {"embedding": [2], "index": None}]}
        assert [list(vector) for vector in read(found, 2).vectors] == [[1], [2]]

    def test_the_model_is_as_the_server_says_else_as_asked(self) -> None:
        assert read(answer([1])).model == "m-1"
        assert read(answer([1], model="")).model == "m"
        assert read(answer([1], model=7)).model == "m"

    @pytest.mark.parametrize(
        ("usage", "wanted"),
        [
            ({"prompt_tokens": 5, "total_tokens": 5}, Usage(5, 0, 5)),
            ({"total_tokens": 5}, Usage(5, 0, 5)),
            ({"prompt_tokens": 5}, Usage(5, 0, 5)),
            ({"total_tokens": -1}, None),
            ({"total_tokens": True}, None),
            ({}, None),
            (None, None),
            ("5", None),
        ],
    )
    def test_usage(self, usage: Any, wanted: Usage | None) -> None:
        assert read(answer([1], usage=usage)).usage == wanted

    @pytest.mark.parametrize(
        ("found", "words"),
        [
            ({}, 'no list "data"'),
            ([], 'no list "data"'),
            ({"data": {}}, 'no list "data"'),
            (answer(), "1 texts with 0"),
            (answer([1], [2]), "1 texts with 2"),
            (answer([]), "no list of finite numbers"),
            (answer(None), "no list of finite numbers"),
            (answer({}), "no list of finite numbers"),
            (answer(["1"]), "no list of finite numbers"),
            (answer([True]), "no list of finite numbers"),
            (answer([math.nan]), "no list of finite numbers"),
            (answer([math.inf, -math.inf]), "no list of finite numbers"),
            (answer([1e300]), "no list of finite numbers"),
            (answer([10**400]), "no list of finite numbers"),
            (answer("AAA"), "no list of finite numbers"),
            (answer("AAAA"), "no list of finite numbers"),
            (answer("äöü="), "no list of finite numbers"),
            (answer(""), "no list of finite numbers"),
            (answer(packed([math.nan])), "no list of finite numbers"),
            ({"data": [7]}, "indexes"),
            ({"data": [{"embedding": [1], "index": 1}]}, "indexes"),
            ({"data": [{"embedding": [1], "index": "0"}]}, "indexes"),
            ({"data": [{"embedding": [1], "index": False}]}, "indexes"),
        ],
    )
    def test_what_is_no_answer(self, found: Any, words: str) -> None:
        with pytest.raises(MalformedResponseError, match=words):
            read(found)

    @pytest.mark.parametrize("indexes", [(0, 0), (0, None), (1, 2), (0, 2)])
    def test_which_vector_belongs_to_which_text_is_never_guessed(self, indexes: tuple[Any, Any]) -> None:
        with pytest.raises(MalformedResponseError, match="indexes"):
            read({"data": [{"embedding": [1], "index": index} for index in indexes]}, 2)

    def test_vectors_of_unequal_length_are_not_of_one_model(self) -> None:
        with pytest.raises(MalformedResponseError, match="of 1 and of 2 numbers"):
            read(answer([1], [1, 2]), 2)

    def test_a_server_that_ignores_dimensions_is_found_out(self) -> None:
        assert read(answer([1, 2]), dimensions=2).dimensions == 2
        with pytest.raises(MalformedResponseError, match="3 dimensions were asked for and 2 came"):
            read(answer([1, 2]), dimensions=3)

    @given(json_values, st.integers(1, 3))
    def test_any_json_is_an_answer_or_malformed(self, found: Any, count: int) -> None:
        for value in (found, {"data": found}, {"data": [found] * count}, answer(*[found] * count), answer([1.0], usage=found, model=found)):
            try:
                result = read(value, count)
            except MalformedResponseError:
                continue
            assert len(result.vectors) == count
            assert all(math.isfinite(number) for vector in result.vectors for number in vector)


@pytest.mark.skipif(not (SHARED / "local_server" / "emb").is_dir(), reason=ABSENT)
def test_what_a_real_server_answered() -> None:
    found = json.loads((SHARED / "local_server" / "emb" / "embeddings.json").read_text())
    result = read(found, 2)
    assert (result.dimensions, result.usage) == (576, Usage(2, 0, 2))
    assert all(math.isclose(math.hypot(*vector), 1, rel_tol=1e-5) for vector in result.vectors)
    assert read(answer(*[packed(item["embedding"]) for item in found["data"]]), 2).vectors == result.vectors
    assert len(b64decode(packed(found["data"][0]["embedding"]))) == 4 * 576
