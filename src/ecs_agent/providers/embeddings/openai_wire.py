"""The OpenAI protocol of embeddings: what is sent, and what is made of the answer; no I/O."""

from __future__ import annotations

import binascii
import math
import sys
from array import array
from base64 import b64decode
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ecs_agent.errors import BadRequestError, MalformedResponseError, ProviderError
from ecs_agent.providers.embeddings.protocol import EmbeddingResult, Vector
from ecs_agent.providers.openai_chat.fields import usage_of
from ecs_agent.streaming.json_edge import is_list, is_object
from ecs_agent.types import JsonObject, Usage

BATCH_BYTES: Final = 250_000
"""A token has at least one byte, so a batch of so many bytes cannot have more than the 300,000 tokens that OpenAI takes in one request."""

MOST_TEXTS: Final = 2048
"""So many texts OpenAI takes in one request."""

_NUMBERS: Final = frozenset({int, float})


class OpenAIEmbeddingCodec:
    """Asks for vectors in base64, which are a quarter as long as in digits and quickly read, until a server refuses to be asked."""

    def __init__(self) -> None:
        self._base64 = True

    def authorization(self, key: str) -> dict[str, str]:
        """The key as a bearer token."""
        return {"authorization": f"Bearer {key}"}

    def encode(self, texts: Sequence[str], model: str, dimensions: int | None, extra: JsonObject) -> JsonObject:
        """The request's JSON. What is not given is not sent; `extra` is merged last."""
        body: JsonObject = {"model": model, "input": list(texts)}
        if dimensions is not None:
            body["dimensions"] = dimensions
        if self._base64:
            body["encoding_format"] = "base64"
        return {**body, **extra}

    def withdraw(self, error: ProviderError, sent: JsonObject) -> bool:
        """Stop asking for base64, where that is what was refused."""
        words = str(error)
        if not isinstance(error, BadRequestError) or "encoding_format" not in sent or not ("encoding_format" in words or "base64" in words):
            return False
        self._base64 = False
        return True


def check_batch_size(size: int) -> int:
    """The same, where requests of so many texts can be sent.

    Raises:
        ValueError: it is out of range.
    """
    if not 1 <= size <= MOST_TEXTS:
        raise ValueError(f"batch_size is {size}; give 1 to {MOST_TEXTS}")
    return size


def batches(texts: Sequence[str], most: int) -> Iterator[list[str]]:
    """The texts, in order, in requests of at most so many and of at most `BATCH_BYTES`; a longer text goes alone."""
    batch: list[str] = []
    held = 0
    for text in texts:
        size = len(text.encode("utf-8", "surrogatepass"))
        if batch and (len(batch) == most or held + size > BATCH_BYTES):
            yield batch
            batch, held = [], 0
        batch.append(text)
        held += size
    if batch:
        yield batch


def read_answer(found: Any, *, count: int, model: str, dimensions: int | None) -> EmbeddingResult:
    """The vectors in an answer, in the order of the texts.

    Args:
        found: the answer's JSON.
        count: how many texts were sent.
        model: which was asked, when the answer does not say.
        dimensions: how many numbers were asked for.

    Raises:
        MalformedResponseError: it is not what was asked for.
    """
    data: Any = found.get("data") if is_object(found) else None
    if not is_object(found) or not is_list(data):
        raise MalformedResponseError('the answer holds no list "data" of embeddings; base_url is probably not that of an OpenAI-compatible server')
    if len(data) != count:
        raise MalformedResponseError(f"the server answered {count} texts with {len(data)} embeddings; they cannot be told apart")
    vectors = tuple([_vector(item) for item in _in_order(data)])
    check_lengths(vectors, dimensions)
    named = found.get("model")
    return EmbeddingResult(vectors, named if isinstance(named, str) and named else model, _usage_of(found.get("usage")))


def check_lengths(vectors: Sequence[Vector], dimensions: int | None) -> None:
    """Whether vectors can be compared with each other and are as long as was asked for.

    Raises:
        MalformedResponseError: they cannot, or are not.
    """
    lengths = {len(vector) for vector in vectors}
    if len(lengths) > 1:
        raise MalformedResponseError(
            f"the server answered with embeddings of {min(lengths)} and of {max(lengths)} numbers; they are not of one model"
        )
    if dimensions is not None and lengths and lengths != {dimensions}:
        raise MalformedResponseError(
            f"{dimensions} dimensions were asked for and {lengths.pop()} came; the model cannot shorten, leave dimensions out"
        )


def _in_order(data: list[Any]) -> list[JsonObject]:
    """The items by their `index`; as they came where none has any."""
    items: list[JsonObject] = [item for item in data if is_object(item)]
    indexes = [item.get("index") for item in items]
    if len(items) == len(data) and all(index is None for index in indexes):
        return items
    by_index = {index: item for index, item in zip(indexes, items, strict=True) if type(index) is int}
    if set(by_index) != set(range(len(data))):
        raise MalformedResponseError("the embeddings' indexes do not name each text once; which belongs to which is unknown")
    return [by_index[at] for at in range(len(data))]


def _vector(item: JsonObject) -> Vector:
    said = item.get("embedding")
    made = _from_base64(said) if isinstance(said, str) else _from_numbers(said) if is_list(said) else None
    if not made or not math.isfinite(sum(made)):  # 32-bit floats cannot overflow the sum, which is infinite or no number only if one of them is
        raise MalformedResponseError("an embedding is no list of finite numbers, in JSON or as 32-bit floats in base64")
    return made


def _from_base64(text: str) -> Vector | None:
    made = array("f")
    try:
        made.frombytes(b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return None
    if sys.byteorder == "big":
        made.byteswap()
    return made


def _from_numbers(numbers: list[Any]) -> Vector | None:
    if not _NUMBERS.issuperset(map(type, numbers)):
        return None
    try:
        return array("f", numbers)
    except OverflowError:
        return None


def _usage_of(found: Any) -> Usage | None:
    """Usage as the server counted it: some say only a total, and all of it is prompt."""
    counted = usage_of(found)
    total: Any = found.get("total_tokens") if is_object(found) else None
    if counted is None and type(total) is int and total >= 0:
        return Usage(total, 0, total)
    return counted
