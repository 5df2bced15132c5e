"""Values by their hints: what each looks like in data, that all come back, and that no data makes anything else than an error."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import math
import pathlib
import uuid
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, Optional, TypedDict, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.streaming.drawn_values import deltas, hostile, json_values, messages, parts

from ecs_agent.core.inbox import Letter
from ecs_agent.store.any_value import AnyValues
from ecs_agent.store.codecs import Codecs
from ecs_agent.store.json_text import dumps, loads
from ecs_agent.store.value_codec import ValueCodec, held
from ecs_agent.store.values import ValueCodecs
from ecs_agent.types import EntityId, Message, Part, StreamDelta, TextPart, ToolCall, ToolSchema, Usage


class Color(enum.Enum):
    RED = 1
    BLUE = "blue"


class Might(enum.Flag):
    READ = 1
    WRITE = 2


class Mood(enum.StrEnum):
    GOOD = "good"


@dataclass
class Point:
    x: int
    y: float = 0.5


@dataclass(frozen=True, slots=True)
class Tree:
    name: str
    kids: tuple[Tree, ...] = ()
    by_name: dict[str, Tree] = field(default_factory=dict[str, "Tree"])


class Pair(NamedTuple):
    a: int
    b: str = "b"


class Spot(msgspec.Struct):
    at: int
    tags: list[str] = msgspec.field(default_factory=list[str])


class Options(TypedDict, total=False):
    size: int
    color: NotRequired[Color]


Meters = NewType("Meters", float)
T = TypeVar("T")


def refused(value: object) -> Any:
    raise TypeError(f"is a {type(value).__name__}")


VALUES = ValueCodecs(AnyValues(refused, lambda tag, version, data: (tag, version, data)).plain)


def codec(hint: Any) -> ValueCodec:
    return VALUES.codec(hint)


def there_and_back(hint: Any, value: object) -> Any:
    return codec(hint).read(loads(dumps(codec(hint).write(value))))


NOON = dt.datetime(2026, 1, 2, 12, 0, 0, 5, tzinfo=dt.UTC)

FORMS: list[tuple[Any, object, object]] = [
    (None, None, None), (bool, True, True), (int, 3, 3), (str, "$a", "$a"), (float, 1.5, 1.5), (float, 2, 2), (EntityId, EntityId(4), 4), (Meters, 1.0, 1.0),
    (int, 2**70, {"$int": "0x400000000000000000"}), (float, math.inf, {"$float": "inf"}), (float, 2**70, {"$int": "0x400000000000000000"}),
    (Literal["a", 3], 3, 3), (Literal["a", 3] | None, None, None), (Color, Color.BLUE, "BLUE"), (Might, Might.READ, "READ"),
    (Might, Might.READ | Might.WRITE, 3), (Mood, Mood.GOOD, "GOOD"),
    (bytes, b"hi", "aGk="), (bytearray, bytearray(b"hi"), "aGk="), (dt.datetime, NOON, "2026-01-02T12:00:00.000005+00:00"),
    (dt.date, dt.date(2026, 1, 2), "2026-01-02"), (dt.time, dt.time(1, 2), "01:02:00"), (dt.timedelta, dt.timedelta(days=-1, microseconds=3), "-86399999997us"),
    (Decimal, Decimal("1.10"), "1.10"), (uuid.UUID, uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"), (pathlib.Path, pathlib.Path("a/b"), "a/b"),
    (pathlib.PurePosixPath, pathlib.PurePosixPath("a"), "a"),
    (list[int], [1, 2], [1, 2]), (list, [1, (2,)], [1, {"$tuple": [2]}]), (list[Point], [Point(1)], [{"x": 1, "y": 0.5}]),
    (Sequence[int], [1], [1]), (Sequence[int], (1,), {"$tuple": [1]}), (Iterable[int], (), {"$tuple": []}),
    (tuple[int, ...], (1, 2), [1, 2]), (tuple[int, str], (1, "a"), [1, "a"]), (tuple[()], (), []), (tuple, (1, "a"), [1, "a"]),
    (set[int], {3, 1}, [1, 3]), (frozenset[str], frozenset({"b", "a"}), ["a", "b"]), (AbstractSet[int], {1}, [1]), (set, {1}, [1]),
    (deque[int], deque([1, 2]), [1, 2]), (deque[int], deque([1], maxlen=3), {"$deque": [3, 1]}), (deque, deque(), []),
    (dict[str, int], {"a": 1, "$b": 2}, {"a": 1, "$$b": 2}), (dict[int, Point], {3: Point(1)}, {"$dict": [[3, {"x": 1, "y": 0.5}]]}),
    (dict[EntityId, int], {}, {}), (Mapping[str, Point], {"a": Point(1)}, {"a": {"x": 1, "y": 0.5}}), (dict, {"a": (1,)}, {"a": {"$tuple": [1]}}),
    (dict[Color, int], {Color.RED: 1}, {"$dict": [["RED", 1]]}),
    (defaultdict[str, list[int]], defaultdict(list, a=[1]), {"a": [1]}), (OrderedDict[str, int], OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (Options, {"size": 1, "color": Color.RED}, {"size": 1, "color": "RED"}), (Options, {"size": 1, "$more": (1,)}, {"size": 1, "$$more": {"$tuple": [1]}}),
    (Point, Point(1), {"x": 1, "y": 0.5}), (Pair, Pair(1), {"a": 1, "b": "b"}), (Spot, Spot(1), {"at": 1, "tags": []}),
    (Tree, Tree("a", (Tree("b"),)), {"name": "a", "kids": [{"name": "b", "kids": [], "by_name": {}}], "by_name": {}}),
    (int | None, None, None), (int | None, 3, 3), (Optional[Point], None, None), (Optional[Point], Point(1), {"x": 1, "y": 0.5}), (Color | None, Color.RED, "RED"),  # noqa: UP045
    (int | str, "a", "a"), (int | str, 2**70, {"$int": "0x400000000000000000"}), (float | str | None, -math.inf, {"$float": "-inf"}), (bool | int, True, True),
    (Point | Spot, Spot(1), {"$of": ["Spot", {"at": 1, "tags": []}]}), (Point | str, Point(1), {"$of": ["Point", {"x": 1, "y": 0.5}]}), (Point | str, "a", "a"),
    (Color | str, Color.RED, {"$of": ["Color", "RED"]}), (bytes | str, b"hi", {"$of": ["bytes", "aGk="]}),
    (str | Sequence[str] | None, ["a"], ["a"]), (str | Sequence[str] | None, ("a",), {"$tuple": ["a"]}), (str | Sequence[str] | None, "a", "a"),
    (list[int] | dict[str, int], {"a": 1}, {"a": 1}), (list[Point] | list[Spot], [Point(1), Spot(2)], [{"$of": ["Point", {"x": 1, "y": 0.5}]}, {"$of": ["Spot", {"at": 2, "tags": []}]}]),
    (dict[str, Point] | dict[int, int], {3: 4}, {"$dict": [[3, 4]]}), (tuple[int, ...] | set[int], {1}, {"$of": ["set", [1]]}),
    (tuple[int, ...] | tuple[str, str, str], ("a", "b", "c"), {"$of": ["tuple", [{"$any": "a"}, {"$any": "b"}, {"$any": "c"}]]}),
    (tuple[int] | tuple[int, int], (1, 2), {"$of": ["tuple#2", [1, 2]]}),
    (Options | list[int] | None, {"size": 3}, {"size": 3}),
    (int | Any, (1,), {"$tuple": [1]}), (list[int] | Any, [(1,)], [{"$tuple": [1]}]), (Annotated[int, "how many"], 3, 3), (T, (1,), {"$tuple": [1]}), (object, [b"a"], [{"$bytes": "YQ=="}]), (Any, {"$a": 1}, {"$$a": 1}),
    (Message, Message("user", "hi"), {"role": "user", "content": "hi"}), (list[Message], [Message("user", "hi")], [{"role": "user", "content": "hi"}]),
    (Part, TextPart("a"), {"tag": "text", "text": "a"}), (TextPart, TextPart("a"), {"tag": "text", "text": "a"}), (list[Part], [TextPart("a")], [{"tag": "text", "text": "a"}]),
    (ToolCall, ToolCall("a", "b"), {"id": "a", "name": "b"}), (Usage | None, Usage(1, 2, 3), {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
    (ToolSchema, ToolSchema("a", "b", {}), {"name": "a", "description": "b", "parameters": {}}), (StreamDelta, StreamDelta("a"), {"content": "a"}),
    (list[StreamDelta], [StreamDelta("a"), StreamDelta("b")], [{"content": "a"}, {"content": "b"}]),
    (Letter, Letter(None, 1, "hi"), {"sender": None, "seq": 1, "content": "hi"}),
]  # fmt: skip


@pytest.mark.parametrize(("hint", "value", "data"), FORMS, ids=[f"{number}-{form[0]}" for number, form in enumerate(FORMS)])
def test_the_data_of_a_value(hint: Any, value: object, data: object) -> None:
    assert codec(hint).write(value) == data
    back = there_and_back(hint, value)
    assert back == value
    assert type(back) is type(value)
    assert codec(hint).accepts(value)


class Base:
    pass


MISFITS: list[tuple[Any, object]] = [
    (int, True), (int, "a"), (int, 1.5), (bool, 1), (str, 3), (float, True), (float, "a"), (None, 3), (Literal["a"], "b"), (Literal[1], True),
    (Color, 3), (bytes, "a"), (dt.date, NOON), (pathlib.Path, "a"), (list[int], (1,)), (tuple[int, ...], [1]), (tuple[int, str], (1,)), (set[int], [1]),
    (deque[int], [1]), (dict[str, int], [1]), (Options, {1: 2}), (Options, [1]), (Point, {"x": 1}), (Point, 3), (Point | Spot, 3), (int | None, "a"), (str | list[int], {"a": 1}),
    (Message, "a"), (list[Message], (1,)), (list[Message], [3]), (list[StreamDelta], (1,)), (list[StreamDelta], [3]), (Part, 3), (list[Point], [3, None]),
    (dict[str, Point], {"a": 3}), (Sequence[int], {1}), (Tree, None),
]  # fmt: skip


@pytest.mark.parametrize(("hint", "value"), MISFITS)
def test_what_is_not_what_its_hint_says_is_kept_as_what_it_is(hint: Any, value: object) -> None:
    back = there_and_back(hint, value)
    assert back == value
    assert type(back) is type(value)


def test_a_list_stays_a_list_and_a_dictionary_one_whatever_the_hint_says() -> None:
    assert held(codec(tuple[int, ...]).write([1])) == [1]
    assert held(codec(int).write({"a": 1})) == {"a": 1}
    assert held([1]) == [1]
    assert held({"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("hint", "value", "place"),
    [
        (list[int], [1, Base()], "[1]"), (dict[str, list[Any]], {"a": [1, {"b": Base()}]}, "['a'][1]['b']"), (Point, Point(1, Base()), ".y"),  # type: ignore[arg-type]
        (list[Point], [Point(1), Point(Base())], "[1].x"), (tuple[int, int], (1, Base()), "[1]"), (dict[int, Any], {3: Base()}, "[3]"),  # type: ignore[arg-type]
        (list[Message], [Message("user", "a"), Message("user", "b", name=3)], "[1]"), (Any, [{"a": (1, Base())}], "[0]['a'][1]"),  # type: ignore[arg-type]
        (set[Any], {Base()}, "[0]"), (Any, {1, Base()}, ""), (int | None, Base(), ""), (Any, {Base(): 1}, ""),
    ],
)  # fmt: skip
def test_an_error_says_where_in_a_value_no_data_is(hint: Any, value: object, place: str) -> None:
    with pytest.raises(TypeError) as caught:
        codec(hint).write(value)
    assert getattr(caught.value, "place", "") == place


@pytest.mark.parametrize(
    ("hint", "data", "place", "reason"),
    [
        (int, "a", "", "is a str, not int"), (int, True, "", "is a bool"), (bool, 1, "", "is a int"), (int, 1.5, "", "is a float"), (int, {"$float": "inf"}, "", "is a dict"),
        (None, 0, "", "not nothing"), (str, None, "", "is nothing, not str"), (float, "1", "", "is a str"), (Literal["a"], "b", "", "not one of 'a'"),
        (Color, "GREEN", "", "'GREEN' is no Color; there are RED, BLUE"), (Color, 1, "", "not the name of a Color"), (Might, 9, "", "9"), (Might, 1.5, "", "is a float"),
        (bytes, "*", "", "base 64"), (bytes, 3, "", "is a int"), (dt.datetime, "noon", "", "isoformat"), (dt.date, 3, "", "is a int"), (dt.timedelta, "3h", "", "microseconds"),
        (dt.timedelta, "9" * 40 + "us", "", "microseconds"), (Decimal, "x", "", "no decimal"), (uuid.UUID, "x", "", "is no UUID"),
        (list[int], [1, "a"], "[1]", "is a str"), (list[int], {"$tuple": [1]}, "", "is a dict"), (Sequence[int], {"$tuple": 1}, "", "is a dict"), (Sequence[int], 3, "", "is a int"),
        (tuple[int, str], [1], "", "has 1 elements, not 2"), (tuple[int, str], [1, 2], "[1]", "is a int"), (tuple[int, ...], 3, "", "is a int"),
        (set[list[int]], [[1]], "", "cannot stand in a set"), (set[int], None, "", "is nothing"), (deque[int], {"$deque": []}, "", "is a dict"),
        (deque[int], {"$deque": ["x", 1]}, "", "is a dict"), (deque[int], {"$deque": [-1]}, "", "is a dict"), (deque[int], {"$deque": [2**63]}, "", "is a dict"), (deque[int], 3, "", "is a int"),
        (dict[str, int], [], "", "is a list"), (dict[str, int], {"a": "b"}, "['a']", "is a str"), (dict[str, int], {"$a": 1}, "", "single"), (dict[int, int], {"$dict": 3}, "", "no list"),
        (dict[int, int], {"$dict": [3]}, "", "no pair"), (dict[int, int], {"$dict": [["a", 1]]}, "", "is a str"), (dict[Any, int], {"$dict": [[[1], 1]]}, "", "cannot be a key"),
        (Options, {"size": "a"}, "['size']", "is a str"), (Options, 3, "", "is a int"), (Options, {"$a": 1}, "", "single"),
        (Point, [], "", "is a list, not the fields of a Point"), (Point, {"x": 1, "z": 1}, "", "field 'z', which Point does not have"), (Point, {}, "", "no field 'x'"),
        (Point, {"x": "a"}, ".x", "is a str"), (list[Point], [{"x": 1}, {"x": None}], "[1].x", "is nothing"), (Pair, {"b": "b"}, "", "no field 'a'"),
        (Spot, {"at": 1, "tags": [3]}, ".tags[0]", "is a int"), (Tree, {"name": "a", "kids": [{"name": 3}]}, ".kids[0].name", "is a int"),
        (Point | Spot, {"x": 1}, "", "is a dict"), (Point | Spot, {"$of": ["Tree", {}]}, "", "is a Tree, not Point or Spot"), (Point | Spot, {"$of": 3}, "", "no name"),
        (Point | Spot, {"$of": ["Point", {"x": "a"}]}, ".x", "is a str"), (Point | Spot, {"$of": [["Point"], {}]}, "", "no name"), (Point | Spot, {"$of": ["Point"]}, "", "no name"),
        (int | str, 1.5, "", "is a float, not int or str"), (int | str, {"$float": "inf"}, "", "is a dict"), (int | str, [1], "", "is a list"), (int | None, "a", "", "is a str"),
        (Color | None, "GREEN", "", "no Color"), (str | list[int], {"a": 1}, "", "is a dict"), (str | dict[str, int], [1], "", "is a list"), (str | list[int], ["a"], "[0]", "is a str"),
        (str | list[int], {"$tuple": [1]}, "", "is a dict"), (Message, 3, "", "is a int"), (Message, {"role": "boss"}, "", "boss"), (list[Message], {}, "", "is a dict"),
        (list[Message], [{"role": "user"}, {"role": 3}], "[1]", "role"), (list[StreamDelta], [{"content": 3}], "[0]", "content"), (list[StreamDelta], 3, "", "is a int"),
        (TextPart, {"tag": "refusal", "text": "a"}, "", "is a RefusalPart, not a TextPart"), (Part, 3, "", "is a int"), (Any, {"$x": 1}, "", "no kind"),
        (int, {"$any": 3, "b": 1}, "", "is a dict"),
    ],
)  # fmt: skip
def test_damaged_data_is_refused_with_its_place(hint: Any, data: Any, place: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        codec(hint).read(data)
    assert reason in str(caught.value)
    assert getattr(caught.value, "place", "") == place


HINTS = [form[0] for form in FORMS]


@given(st.sampled_from(HINTS), hostile)
def test_whatever_data_there_is_only_a_value_error_comes(hint: Any, data: Any) -> None:
    try:
        codec(hint).read(data)
    except ValueError:
        pass


@given(json_values())
def test_anything_may_stand_where_a_hint_says_nothing(value: Any) -> None:
    assert there_and_back(Any, value) == value
    assert there_and_back(dict[str, Any] | None, value) == value
    assert there_and_back(list[int], value) == value


@given(st.lists(messages, max_size=3), st.lists(deltas, max_size=3), st.lists(parts, max_size=3))
def test_conversations_and_streams_come_back(said: list[Message], heard: list[StreamDelta], held: list[Part]) -> None:
    assert there_and_back(list[Message], said) == said
    assert there_and_back(list[StreamDelta], heard) == heard
    assert there_and_back(list[Part], held) == held


def test_nan_comes_back_where_a_float_is_hinted() -> None:
    assert math.isnan(there_and_back(float, math.nan))


def test_a_defaultdict_goes_on_making_values() -> None:
    back = there_and_back(defaultdict[str, list[int]], {"a": [1]})
    back["b"].append(2)
    assert back == {"a": [1], "b": [2]}
    assert there_and_back(defaultdict[str, int | str], defaultdict(int)).default_factory is None
    assert there_and_back(collections.OrderedDict[str, int], {"a": 1}) == OrderedDict(a=1)


def test_a_hint_that_cannot_be_hashed_has_a_codec() -> None:
    assert there_and_back(Literal[[1]], [1]) == [1]


@pytest.mark.parametrize("hint", ["unresolved", Callable[..., int], type[int], Base])
def test_any_other_hint_has_one_too(hint: Any) -> None:
    assert there_and_back(hint, "x") == "x"


def test_a_class_may_hold_its_own_kind_as_deep_as_it_likes() -> None:
    tree = Tree("leaf")
    for depth in range(60):
        tree = Tree(str(depth), (tree,), {"$k": Tree("other")})
    assert there_and_back(Tree, tree) == tree


def test_unresolvable_hints_are_no_hints() -> None:
    @dataclass
    class Local:
        known: Color
        unknown: Nowhere  # type: ignore[name-defined]  # noqa: F821

    local = Local(Color.RED, (1,))
    assert there_and_back(Local, local) == local
    assert codec(Local).write(local) == {"known": "RED", "unknown": {"$tuple": [1]}}


def test_a_struct_that_refuses_its_fields_is_damaged_data() -> None:
    class Even(msgspec.Struct):
        number: int

        def __post_init__(self) -> None:
            if self.number % 2:
                raise KeyError("odd")

    assert there_and_back(Even, Even(2)) == Even(2)
    with pytest.raises(ValueError, match="is no Even"):
        codec(Even).read({"number": 3})


def test_codecs_know_the_values_of_the_package_where_anything_may_stand() -> None:
    codecs = Codecs()
    _, data = codecs.encode_event({"said": Message("user", "hi"), "when": NOON})
    assert data == {"said": {"$value": ["Message", 1, {"role": "user", "content": "hi"}]}, "when": {"$datetime": "2026-01-02T12:00:00.000005+00:00"}}
    assert codecs.decode_event("dict", 1, loads(dumps(data))) == {"said": Message("user", "hi"), "when": NOON}
