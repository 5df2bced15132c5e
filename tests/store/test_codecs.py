"""Components and events as data: exact for what ships, refused loudly where something cannot be, unknown ones kept."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Literal, NewType, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.streaming.drawn_values import calls, deltas, hostile, json_values, logprobs, messages, objects, texts, usages

import ecs_agent
from ecs_agent.components import (
    CollaborationComponent,
    ConversationComponent,
    KVStoreComponent,
    LimitsComponent,
    PlanComponent,
    RequestOptionsComponent,
    StreamStateComponent,
    ToolRegistryComponent,
    TurnComponent,
)
from ecs_agent.components.collaboration import Cause, PeerMessage
from ecs_agent.core import ChildOf, Relation
from ecs_agent.core.change import Edited, Grown, Merged, Replaced, edited, put
from ecs_agent.core.component import ABSENT, field_names, snapshot
from ecs_agent.core.events import EntityCreated
from ecs_agent.core.inbox import InboxComponent, Letter, LetterDelivered
from ecs_agent.errors import StoreFormatError, UnsavableError
from ecs_agent.providers import FakeProvider
from ecs_agent.providers.protocol import ModelOptions, ProviderLike
from ecs_agent.providers.secret import Secret
from ecs_agent.store.codecs import Codecs, Registration
from ecs_agent.store.json_text import dumps, loads
from ecs_agent.store.references import References
from ecs_agent.store.shipped import COMPONENTS, EVENTS
from ecs_agent.store.unknown import UnknownComponent, UnknownEvent
from ecs_agent.store.value_codec import held
from ecs_agent.tools import tool
from ecs_agent.tools.tool import Tool
from ecs_agent.types import (
    CompletionResult,
    EntityId,
    JsonObject,
    Message,
    StreamDelta,
    StreamDeltaEvent,
    StreamEndEvent,
    Timing,
    TokenLogprob,
    ToolCall,
    ToolCallFragment,
    ToolSchema,
    Usage,
)


def there_and_back(codecs: Codecs, component: object, reader: Codecs | None = None) -> Any:
    tag, version, data = codecs.encode_component(component)
    return (reader or codecs).decode_component(tag, version, loads(dumps(data)))


# Everything that ships


@tool
async def look(place: str) -> str:
    """Look there."""
    return place


PROVIDERS = [FakeProvider([], name=name) for name in ("a", "b", "c")]
ids = st.integers(1, 99)
letters = st.builds(Letter, st.none() | ids, ids, json_values() | messages | st.builds(PeerMessage, messages, st.builds(Cause, ids, ids)))
options = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 1),
        "stop": texts | st.lists(texts) | st.lists(texts).map(tuple),
        "response_format": st.none() | objects,
        "metadata": st.dictionaries(texts, texts, max_size=2),
        "logit_bias": st.none() | st.dictionaries(texts, st.floats(-9, 9), max_size=2),
    },
)
DRAWN: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(allow_nan=False),
    str: texts,
    bytes: st.binary(max_size=8),
    type(None): st.none(),
    object: json_values() | messages,
    Any: json_values(),
    Message: messages,
    StreamDelta: deltas,
    Usage: usages,
    ToolCall: calls,
    TokenLogprob: logprobs,
    Letter: letters,
    ModelOptions: options,
    ProviderLike: st.sampled_from(PROVIDERS),
    ToolSchema: st.builds(ToolSchema, texts, texts, objects),
}


def drawn(kind: Any) -> st.SearchStrategy[Any]:
    """Instances of a shipped type, with every field drawn by its hint, made without its checks."""
    hints = get_type_hints(kind)
    names = kind.__struct_fields__ if issubclass(kind, msgspec.Struct) else field_names(kind)
    derived = [field.name for field in fields(kind) if field.metadata.get("derived")] if is_dataclass(kind) else []
    return st.fixed_dictionaries({name: st.none() if name in derived else drawn_for(hints[name]) for name in names}).map(
        lambda values: _made(kind, values)
    )


def drawn_for(hint: Any) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in DRAWN:
        return DRAWN[hint]
    if isinstance(hint, NewType):
        return drawn_for(hint.__supertype__)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, UnionType):
        return st.one_of([drawn_for(each) for each in arguments])
    if origin is list or (origin is tuple and arguments[-1] is ...):
        return st.lists(drawn_for(arguments[0]), max_size=3).map(origin)
    if origin is tuple:
        return st.tuples(*[drawn_for(each) for each in arguments])
    if origin is dict and get_origin(arguments[1]) is Callable:
        return st.dictionaries(st.sampled_from(["look", "$look"]), st.just(look))
    if origin is dict:
        return st.dictionaries(drawn_for(arguments[0]), drawn_for(arguments[1]), max_size=2)
    return drawn(hint)


def _made(kind: type, values: JsonObject) -> Any:
    if issubclass(kind, msgspec.Struct):
        return kind(**values)
    made: Any = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


@pytest.mark.parametrize("kind", COMPONENTS, ids=lambda kind: str(kind.__name__))
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_shipped_component_comes_back_equal_also_in_another_process(kind: type, data: st.DataObject) -> None:
    component = data.draw(drawn(kind))
    writer, reader = (Codecs(references=References(providers=PROVIDERS, tools={"look": look, "$look": look})) for _ in range(2))
    back = there_and_back(writer, component, reader)
    if isinstance(component, ToolRegistryComponent):  # whose tools tell their own schemas
        component.tools |= {name: replace(look.schema, name=schema.name) for name, schema in component.tools.items() if name in component.handlers}
    assert type(back) is kind
    assert back == component


@pytest.mark.parametrize(
    "kind",
    [kind for kind in EVENTS if kind.__name__ not in ("ComponentAdded", "ComponentChanged", "ComponentRemoved")],
    ids=lambda kind: str(kind.__name__),
)
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_shipped_event_comes_back_equal(kind: type, data: st.DataObject) -> None:
    event = data.draw(drawn(kind))
    tag, written = Codecs().encode_event(event)
    assert tag == kind.__name__
    assert Codecs().decode_event(tag, 1, loads(dumps(written))) == event


def modules() -> Iterator[Any]:
    for module in pkgutil.walk_packages(ecs_agent.__path__, "ecs_agent."):
        if not module.name.endswith("__main__") and ".cli" not in module.name and "local_child" not in module.name:
            yield importlib.import_module(module.name)


def shipped_types() -> dict[str, type]:
    return {
        name: value
        for module in modules()
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and not name.startswith("_")
    }


def test_no_component_of_the_package_is_forgotten() -> None:
    components = {name: kind for name, kind in shipped_types().items() if name.endswith("Component") and is_dataclass(kind)}
    assert {name for name in components if components[name] not in COMPONENTS} == {"UnknownComponent"}
    assert ChildOf in COMPONENTS


def test_no_event_of_the_package_is_forgotten() -> None:
    """Events are what is emitted, published or reported somewhere, and structs whose first field says whose they are."""
    types = shipped_types()
    named: set[str] = set()
    for path in Path(str(ecs_agent.__file__)).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in TELLING:
                named |= {arg.func.id for arg in node.args if isinstance(arg, ast.Call) and isinstance(arg.func, ast.Name)}
    told = {name for name in named if name in types and (issubclass(types[name], msgspec.Struct) or is_dataclass(types[name]))}
    told |= {name for name, kind in types.items() if issubclass(kind, msgspec.Struct) and kind.__struct_fields__[:1] == ("entity_id",)}
    told |= {name for name in types if name.endswith("Event") and types[name].__module__ == "ecs_agent.types"}
    known = {kind.__name__ for kind in (*EVENTS, *COMPONENTS)}
    assert told - known - NO_FACTS == set()


TELLING = {"emit", "emit_each", "publish", "report", "record", "edit", "note_edit", "_publish"}
NO_FACTS = {"EntityStats", "Put"}
"""Counts and changes."""


# Types of one's own


class Color(Enum):
    RED = 1


@dataclass
class Inner:
    when: tuple[int, ...] = ()


@dataclass(slots=True)
class Own:
    name: str
    inner: Inner | None = None
    tags: set[str] = field(default_factory=set)
    color: Color = Color.RED
    anything: Any = None
    derived: list[int] = field(init=False, default_factory=list)
    KIND: ClassVar[str] = "own"

    def __post_init__(self) -> None:
        self.derived = [len(self.name)]


@dataclass(frozen=True, slots=True)
class Likes(Relation):
    how_much: int = 1


class Marker:
    """A component without fields."""


class Plain:
    """A component that is no dataclass."""

    size: int = 3
    colour: str


def test_a_component_of_ones_own_comes_back_as_it_was_and_not_as_it_would_be_made() -> None:
    component = Own("Ann", Inner((1, 2)), {"b", "a"}, anything={"$x": (1,)})
    component.derived.append(7)
    back = there_and_back(Codecs([Own]), component, Codecs([Own]))
    assert back == component
    assert back.derived == [3, 7]


@pytest.mark.parametrize("component", [Likes(EntityId(3), 4), ChildOf(EntityId(2))])
def test_relations_come_back(component: Relation) -> None:
    assert there_and_back(Codecs([Likes]), component) == component


def test_classes_without_fields_and_classes_that_are_no_dataclass_come_back() -> None:
    plain = Plain()
    plain.size, plain.colour = 4, "red"
    back = there_and_back(Codecs([Plain]), plain)
    assert (type(back), back.size, back.colour) == (Plain, 4, "red")
    assert type(there_and_back(Codecs(), Marker())) is Marker


def test_structs_are_components_too() -> None:
    class Counter(msgspec.Struct):
        count: int = 0

    assert there_and_back(Codecs([Counter]), Counter(3)) == Counter(3)


def test_what_is_no_dataclass_and_holds_something_is_refused() -> None:
    class Hidden:
        def __init__(self) -> None:
            self.secret = 3

    @dataclass
    class Lists(list[int]):
        name: str = ""

    with pytest.raises(UnsavableError, match="Hidden cannot be saved: Hidden is no dataclass"):
        Codecs().encode_component(Hidden())
    with pytest.raises(UnsavableError, match="inherits from a built-in type"):
        Codecs().encode_component(Lists())


def test_a_type_that_nobody_registered_is_written_and_kept_as_data_elsewhere() -> None:
    there, here = Codecs(), Codecs()
    tag, version, data = there.encode_component(Own("Ann", anything=(1,)))
    unknown: Any = here.decode_component(tag, version, data)
    assert isinstance(unknown, UnknownComponent)
    assert (unknown.tag, unknown.version) == ("Own", 1)
    assert here.encode_component(unknown) == (tag, version, data)
    assert here.tag_of(type(unknown)) == ("Own", 1)
    assert here.fields_data(type(unknown), ("fields",), snapshot(unknown)) == data
    assert here.unknown == ["Own"]
    assert there.decode_component(tag, version, data) == Own("Ann", anything=(1,))


def test_unknown_ones_of_different_tags_are_of_different_types_and_of_one_tag_of_one() -> None:
    codecs = Codecs()
    one, same, newer, other = (codecs.decode_component(tag, version, {}) for tag, version in (("A", 1), ("A", 1), ("A", 2), ("B", 1)))
    assert type(one) is type(same)
    assert len({type(one), type(newer), type(other)}) == 3
    assert codecs.unknown == ["A", "B"]


def test_the_fields_of_an_unknown_one_are_not_to_be_changed() -> None:
    codecs = Codecs()
    unknown = codecs.decode_component("A", 1, {"x": 1})
    with pytest.raises(UnsavableError, match="a component A is of a type that is not registered"):
        codecs.items_data(type(unknown), "fields", {"x": 2})


@pytest.mark.parametrize(("tag", "version", "data"), [("A", "1", {}), ("A", 1, []), (["A"], 1, {}), ("A", True, {})])
def test_damaged_unknown_ones_are_refused(tag: Any, version: Any, data: Any) -> None:
    with pytest.raises((StoreFormatError, TypeError)):
        Codecs().decode_component(tag, version, data)


def test_two_classes_of_one_name_are_not_mixed_up() -> None:
    @dataclass
    class NameComponent:
        other: int = 1

    with pytest.raises(UnsavableError, match="have one name; register one of them under another tag"):
        Codecs().encode_component(NameComponent())
    with pytest.raises(ValueError, match="there is a type with the tag 'NameComponent' already"):
        Codecs([NameComponent])
    codecs = Codecs([Registration(NameComponent, tag="Mine")])
    assert codecs.encode_component(NameComponent())[0] == "Mine"
    assert there_and_back(codecs, NameComponent(3)) == NameComponent(3)


def test_a_type_registered_again_has_its_new_tag_alone() -> None:
    codecs = Codecs([Own])
    codecs.register(Own, tag="Owned", version=2)
    assert codecs.tag_of(Own) == ("Owned", 2)
    assert isinstance(codecs.decode_component("Own", 1, {}), UnknownComponent)


def test_what_is_transient_says_so() -> None:
    codecs = Codecs([Registration(Own, transient=True)])
    assert codecs.is_transient(Own)
    assert not codecs.is_transient(Inner)
    assert not codecs.is_transient(ConversationComponent)
    with pytest.raises(UnsavableError, match="is a Own"):
        codecs.encode_event([Own("x")])


# Versions


def test_an_older_version_is_upgraded() -> None:
    seen: list[int] = []

    def upgrade(version: int, data: JsonObject) -> JsonObject:
        seen.append(version)
        data["name"] = data.pop("title")
        return data

    codecs = Codecs([Registration(Own, version=3, upgrade=upgrade)])
    stored = {"title": "Ann"}
    assert codecs.decode_component("Own", 1, stored) == _made(Own, {**{each.name: _default(each) for each in fields(Own)}, "name": "Ann"})
    assert stored == {"title": "Ann"}
    assert codecs.encode_component(Own("x"))[1] == 3
    codecs.decode_component("Own", 3, {"name": "now"})
    assert seen == [1]


def _default(each: Any) -> Any:
    return each.default_factory() if callable(each.default_factory) else None if each.name in ("inner", "anything") else each.default


def test_missing_fields_have_their_defaults_each_its_own() -> None:
    codecs = Codecs()
    one: Any = codecs.decode_component("ConversationComponent", 1, {})
    other: Any = codecs.decode_component("ConversationComponent", 1, {})
    assert one == ConversationComponent()
    one.messages.append(Message("user", "hi"))
    assert other == ConversationComponent()


def test_the_version_of_a_class_counts() -> None:
    @dataclass
    class Newer:
        version: ClassVar[int] = 4

    @dataclass
    class Versioned:
        version: int = 5

    assert Codecs().tag_of(Newer) == ("Newer", 4)
    assert Codecs([Newer]).tag_of(Newer) == ("Newer", 4)
    assert Codecs().tag_of(Versioned) == ("Versioned", 1)


@pytest.mark.parametrize(
    ("version", "data", "sentence"),
    [
        (4, {"name": "a"}, "Own was saved in version 4, this program knows version 3; update it"),
        (0, {"name": "a"}, "version 0, which is none"), ("3", {"name": "a"}, "version '3'"), (True, {"name": "a"}, "version True"),
        (1, {"name": "a"}, "the upgrade of Own from version 1 failed: KeyError"), (2, [], "Own is damaged: its fields are no object"),
        (3, {}, "the saved Own is damaged: has no field 'name', which has no default"), (3, {"name": "a", "hat": 1}, "has a field 'hat'"),
        (3, {"name": 3}, "the saved Own.name is a int, not str"), (3, {"name": "a", "inner": {"when": ["x"]}}, r"the saved Own.inner.when\[0\] is a str"),
        (3, [], "the saved Own is damaged: is a list"), (3, None, "is nothing"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_a_sentence(version: Any, data: Any, sentence: str) -> None:
    codecs = Codecs([Registration(Own, version=3, upgrade=lambda _, data: {"name": data["title"]})])
    with pytest.raises(StoreFormatError, match=sentence):
        codecs.decode_component("Own", version, data)


def test_a_version_less_than_one_is_refused() -> None:
    with pytest.raises(ValueError, match="versions begin with 1"):
        Codecs([Registration(Own, version=0)])


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


HOLDERS: list[tuple[str, Callable[[Any], JsonObject]]] = [
    ("KVStoreComponent", lambda data: {"store": data}), ("ConversationComponent", lambda data: {"messages": data}),
    ("ConversationComponent", lambda data: {"messages": [data], "max_messages": data}), ("InboxComponent", lambda data: {"letters": [data]}),
    ("CollaborationComponent", lambda data: {"peers": data, "inbox": [data], "cause": data, "causes": data}), ("RequestOptionsComponent", lambda data: {"options": data}),
    ("RequestOptionsComponent", lambda data: {"options": {"extra_headers": data}}), ("StreamStateComponent", lambda data: {"attempt": 1, "deltas": [data]}),
    ("TurnComponent", lambda data: {"usage": data}), ("LLMComponent", lambda data: {"provider": data}), ("StreamPolicy", lambda data: {"fallbacks": [data]}),
    ("ToolRegistryComponent", lambda data: {"tools": {"a": data}, "handlers": {"a": data}}), ("ChildOf", lambda data: {"target": data}), ("Own", lambda data: data),
]  # fmt: skip


@pytest.mark.parametrize(("tag", "holder"), HOLDERS)
@settings(max_examples=40)
@given(data=hostile)
def test_whatever_data_there_is_only_a_format_error_comes(tag: str, holder: Callable[[Any], JsonObject], data: Any) -> None:
    try:
        Codecs([Own]).decode_component(tag, 1, holder(data))
    except StoreFormatError:
        pass


@pytest.mark.parametrize(("tag", "holder"), HOLDERS)
def test_data_that_is_nested_too_deep_is_refused(tag: str, holder: Callable[[Any], JsonObject]) -> None:
    with pytest.raises(StoreFormatError):
        Codecs([Own]).decode_component(tag, 1, holder({"a": nested(5000)}))


def test_structs_nested_too_deep_are_refused_on_both_ways() -> None:
    @dataclass
    class Chain:
        next: Any = None

    codecs = Codecs([Chain])
    chain = Chain()
    data: JsonObject = {"next": None}
    for _ in range(5000):
        chain, data = Chain(chain), {"next": {"$value": ["Chain", 1, data]}}
    with pytest.raises(UnsavableError, match="nested"):
        codecs.encode_component(chain)
    with pytest.raises(StoreFormatError, match="nested"):
        codecs.decode_component("Chain", 1, data)


# What cannot be saved


class Socket:
    pass


@pytest.mark.parametrize(
    ("component", "sentence"),
    [
        (
            KVStoreComponent({"a": [1, {"b": Socket()}]}),
            r"KVStoreComponent.store\['a'\]\[1\]\['b'\] is a Socket, which is no data; keep what it is made from, or a name to find it by",
        ),
        (KVStoreComponent({"a": Inner()}), r"KVStoreComponent.store\['a'\] is a Inner, which is not registered; .*components=\[Inner\]"),
        (KVStoreComponent({"a": Secret("sk-canary-1")}), r"KVStoreComponent.store\['a'\] is a Secret, which is no data"),
        (ConversationComponent([Message("user", "a"), Message("user", "b", name=3)]), r"ConversationComponent.messages\[1\] Message.name is a int"),  # type: ignore[arg-type]
        (InboxComponent([Letter(None, 1, Socket())]), r"InboxComponent.letters\[0\].content is a Socket"),
        (Own("a", Inner((1, Socket()))), r"Own.inner.when\[1\] is a Socket"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_data_is_refused_with_its_place_and_a_way_out(component: object, sentence: str) -> None:
    with pytest.raises(UnsavableError, match=sentence) as caught:
        Codecs().encode_component(component)
    assert "canary" not in str(caught.value)


def test_a_component_that_holds_itself_is_refused() -> None:
    store: dict[str, Any] = {}
    store["me"] = store
    with pytest.raises(UnsavableError, match="holds itself"):
        Codecs().encode_component(KVStoreComponent(store))


def test_registered_values_may_stand_anywhere() -> None:
    codecs = Codecs([Inner, Color])
    component = KVStoreComponent({"a": [Inner((1,)), Color.RED], "said": PeerMessage(Message("user", "hi"), Cause(EntityId(1), 2))})
    assert there_and_back(codecs, component, Codecs([Inner, Color])) == component
    with pytest.raises(StoreFormatError, match="the type 'Inner', which nobody registered"):
        there_and_back(codecs, component, Codecs())


def test_values_have_versions_too() -> None:
    data = {"store": {"a": {"$value": ["Inner", 1, {"then": [1]}]}}}
    codecs = Codecs([Registration(Inner, version=2, upgrade=lambda _, old: {"when": old["then"]})])
    assert codecs.decode_component("KVStoreComponent", 1, data) == KVStoreComponent({"a": Inner((1,))})


@pytest.mark.parametrize("value", [["Inner"], 3, ["Inner", 1], [3, 1, {}], ["Inner", 9, {}], ["Inner", 1, {"hat": 1}]])
def test_damaged_values_are_refused(value: Any) -> None:
    with pytest.raises(StoreFormatError):
        Codecs([Inner]).decode_component("KVStoreComponent", 1, {"store": {"a": {"$value": value}}})


# Secrets


def test_headers_are_written_by_their_names_alone() -> None:
    codecs = Codecs()
    component = RequestOptionsComponent({"temperature": 0.5, "extra_headers": {"X-Key": "sk-canary", "X-Org": "acme"}})
    written = [
        codecs.encode_component(component)[2],
        codecs.field_data(RequestOptionsComponent, "options", component.options),
        codecs.items_data(RequestOptionsComponent, "options", {"extra_headers": {"X-Key": "sk-canary"}}),
        codecs.fields_data(RequestOptionsComponent, ("options",), snapshot(component)),
    ]
    assert b"canary" not in dumps(written)
    assert written[0] == {"options": {"temperature": 0.5, "extra_headers": {"$withheld": ["X-Key", "X-Org"]}}}


def test_headers_that_are_given_again_are_put_back_and_the_others_told() -> None:
    component = RequestOptionsComponent({"extra_headers": {"X-Key": "sk-canary", "X-Org": "acme"}})
    reader = Codecs(references=References(headers={"X-Key": "new"}))
    assert there_and_back(Codecs(), component, reader) == RequestOptionsComponent({"extra_headers": {"X-Key": "new"}})
    assert reader.references.withheld == ["X-Org"]
    bare = Codecs()
    assert there_and_back(Codecs(), component, bare) == RequestOptionsComponent({})
    assert there_and_back(Codecs(), RequestOptionsComponent({"extra_headers": None}), bare) == RequestOptionsComponent({"extra_headers": None})
    assert bare.references.withheld == ["X-Key", "X-Org"]


def test_headers_that_are_no_mapping_are_refused_and_not_shown() -> None:
    with pytest.raises(UnsavableError, match="is a str, not a mapping of headers") as caught:
        Codecs().encode_component(RequestOptionsComponent({"extra_headers": "sk-canary"}))  # type: ignore[typeddict-item]
    assert "canary" not in str(caught.value)


def test_a_provider_is_a_name_whatever_it_holds() -> None:
    class Keeper:
        name = "keeper"
        key = Secret("sk-canary")

        async def complete(self, messages: object, stream: bool = False) -> Any: ...

    data = Codecs().encode_component(ecs_agent.components.LLMComponent(Keeper()))[2]
    assert data == {"provider": "keeper", "model": "", "system_prompt": ""}


# Changes


def applied(before: JsonObject, change: Edited, codecs: Codecs) -> JsonObject:
    """The data of a component after a change, as a store makes it."""
    data: JsonObject = loads(dumps(before))
    for edit in change.edits:
        match edit:
            case Grown(name, kept, tail):
                elements = held(data[name])
                elements[kept:] = codecs.tail_data(change.component, name, tail)
            case Merged(name, items, gone):
                inside = held(data[name])
                for key in gone:
                    del inside[codecs.key_data(key)]
                inside.update(codecs.items_data(change.component, name, items))
            case Replaced(name, value):
                data[name] = codecs.field_data(change.component, name, value)
    return data


@dataclass
class Free:
    """One whose hints nobody kept to."""

    said: list[Message] = field(default_factory=list)
    heard: list[StreamDelta] = field(default_factory=list)
    maybe: list[int] | str | None = None
    by_name: dict[str, Inner] | None = None
    anything: Any = None
    sloppy: tuple[int, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


frees = st.builds(
    Free,
    st.lists(messages, max_size=3),
    st.lists(deltas, max_size=3),
    st.none() | texts | st.lists(st.integers() | texts, max_size=3),
    st.none() | st.dictionaries(texts | st.just("$a"), st.builds(Inner, st.lists(st.integers()).map(tuple)), max_size=2),
    json_values(),
    st.lists(st.integers(), max_size=3) | st.lists(st.integers(), max_size=3).map(tuple) | st.dictionaries(texts, st.integers(), max_size=2),
    st.dictionaries(texts | st.just("$any"), json_values(), max_size=3),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(frees, frees, st.booleans())
def test_data_with_a_changes_data_applied_is_the_data_of_the_changed_component(before: Free, after: Free, grow: bool) -> None:
    if grow:
        after.said, after.heard = before.said + after.said, before.heard + after.heard
        after.options = before.options | after.options
        sloppy: list[Any] = [before.sloppy, after.sloppy]
        if list(map(type, sloppy)) == [list, list]:
            after.sloppy = sloppy[0] + sloppy[1]
    codecs = Codecs([Free, Inner])
    change = edited(Free, snapshot(before), snapshot(after))
    assert codecs.decode_component("Free", 1, applied(codecs.encode_component(before)[2], change, codecs)) == after


def test_what_is_put_is_what_is_encoded() -> None:
    codecs = Codecs([Own])
    component = Own("Ann", Inner((1,)), {"a"})
    change = put(Own, snapshot(component))
    assert codecs.fields_data(Own, change.names, change.values) == codecs.encode_component(component)[2]


def test_a_field_that_was_deleted_stays_so() -> None:
    codecs = Codecs([Own])
    component = Own("Ann")
    del component.inner
    data = codecs.encode_component(component)[2]
    assert data["inner"] == {"$absent": True} == codecs.field_data(Own, "inner", ABSENT)
    assert codecs.fields_data(Own, ("inner",), (ABSENT,)) == {"inner": {"$absent": True}}
    assert not hasattr(codecs.decode_component("Own", 1, data), "inner")


def test_a_field_that_no_hint_knows_is_refused() -> None:
    with pytest.raises(UnsavableError, match="has no field 'hat'"):
        Codecs([Own]).field_data(Own, "hat", 3)


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda codecs: codecs.tail_data(KVStoreComponent, "store", [1, Socket()]), r"KVStoreComponent.store\[1\] is a Socket"),
        (lambda codecs: codecs.items_data(KVStoreComponent, "store", {"a": Socket()}), r"KVStoreComponent.store\['a'\] is a Socket"),
        (lambda codecs: codecs.field_data(KVStoreComponent, "store", {"a": Socket()}), r"KVStoreComponent.store\['a'\] is a Socket"),
        (lambda codecs: codecs.fields_data(KVStoreComponent, ("store",), (Socket(),)), r"KVStoreComponent.store is a Socket"),
    ],
)
def test_changes_that_hold_no_data_are_refused_with_their_place(write: Callable[[Codecs], Any], sentence: str) -> None:
    with pytest.raises(UnsavableError, match=sentence):
        write(Codecs())


# Events


@pytest.mark.parametrize(
    "event",
    [
        EntityCreated(EntityId(3)), StreamDeltaEvent(EntityId(1), StreamDelta("a")), LetterDelivered(EntityId(1), Letter(EntityId(2), 3, (1, 2))),
        StreamEndEvent(EntityId(1), CompletionResult(Message("assistant", "x"), Usage(1, 2, 3), timing=Timing(0.5))), "a word", 3, None, [1, (2,)], {"a": {1}}, b"x", Inner((1,)),
    ],
)  # fmt: skip
def test_events_of_all_kinds_come_back(event: object) -> None:
    codecs = Codecs()
    tag, data = codecs.encode_event(event)
    assert codecs.decode_event(tag, 1, loads(dumps(data))) == event


def test_what_is_derived_is_not_written_whatever_it_is() -> None:
    codecs = Codecs()
    result = CompletionResult(Message("assistant", "{}"), parsed=Socket())
    tag, data = codecs.encode_event(StreamEndEvent(EntityId(1), result))
    assert "parsed" not in json.dumps(data)
    assert codecs.decode_event(tag, 1, loads(dumps(data))) == StreamEndEvent(EntityId(1), replace(result, parsed=None))


def test_an_event_that_nobody_registered_is_kept_as_data() -> None:
    tag, data = Codecs().encode_event(Inner((1,)))
    unknown = Codecs().decode_event(tag, 1, data)
    assert unknown == UnknownEvent("Inner", 1, {"when": [1]})
    assert Codecs().encode_event(unknown) == (tag, data)


@pytest.mark.parametrize(
    ("tag", "version", "data"), [("EntityCreated", 2, {"entity_id": 1}), ("EntityCreated", 1, {}), ("EntityCreated", 1, None), ("dict", 1, {"$x": 1})]
)
def test_damaged_events_are_refused(tag: str, version: int, data: Any) -> None:
    with pytest.raises(StoreFormatError):
        Codecs().decode_event(tag, version, data)


def test_an_event_that_is_no_data_is_refused() -> None:
    with pytest.raises(UnsavableError, match="RuntimeError"):
        Codecs().encode_event(RuntimeError("x"))
    with pytest.raises(UnsavableError, match=r"list\[0\] is a Socket"):
        Codecs().encode_event([Socket()])


def test_shipped_components_look_simple_in_data() -> None:
    codecs = Codecs()
    assert codecs.encode_component(ConversationComponent([Message("user", "hi")], 10)) == (
        "ConversationComponent",
        1,
        {"messages": [{"role": "user", "content": "hi"}], "max_messages": 10},
    )
    assert codecs.encode_component(PlanComponent(["a"]))[2]["steps"] == ["a"]
    assert codecs.encode_component(LimitsComponent())[2]["turns"] == 50
    assert codecs.encode_component(ChildOf(EntityId(3)))[2] == {"target": 3}
    assert codecs.encode_component(CollaborationComponent(causes={EntityId(1): 2}))[2]["causes"] == {"$dict": [[1, 2]]}
    assert codecs.encode_component(TurnComponent(usage=Usage(1, 2, 3)))[2]["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    fragment = ToolCallFragment(0, "a", "b")
    assert codecs.encode_component(StreamStateComponent(1, [StreamDelta(tool_fragments=(fragment,))]))[2]["deltas"] == [
        {"tool_fragments": [{"index": 0, "id": "a", "name": "b"}]}
    ]
    assert isinstance(look, Tool)
