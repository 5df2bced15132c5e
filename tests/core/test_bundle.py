"""Bundles: templates whose entities share nothing that could change."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from ecs_agent.components import ConversationComponent, LLMComponent, ToolRegistryComponent
from ecs_agent.core import Bundle, ChildOf, Entity, EntityCreated, EntityDeleted, Relation, World
from ecs_agent.core.bundle import own_copies
from ecs_agent.errors import DuplicateComponentError, EntityNotFoundError, WorldClosedError
from ecs_agent.message import Message, ToolCall
from ecs_agent.providers import FakeProvider
from ecs_agent.types import EntityId


@dataclass
class Box:
    items: list[Any] = field(default_factory=list[Any])


@dataclass(slots=True)
class Style:
    name: str = "plain"


@dataclass(frozen=True)
class Frozen:
    value: Any


@dataclass(slots=True)
class Step:
    text: str
    done: bool = False


@dataclass(eq=False)
class Link:
    """Compared by identity: something that is, not something that says."""

    uses: int = 0


@dataclass
class Service:
    """A provider that happens to be a dataclass."""

    calls: int = 0

    async def complete(self) -> str:
        return ""


class Point(NamedTuple):
    x: Any
    y: Any


@dataclass(frozen=True, slots=True)
class Likes(Relation):
    pass


def own_copy(component: Any) -> Any:
    """A component of an entity that was made of a template; and of a second one, which is no worse."""
    template = Bundle(component)
    [first], [second], [alone] = template.components(), template.components(), own_copies([component], {})
    assert first is not second
    assert type(first) is type(second) is type(alone)
    return second


def test_an_entity_gets_all_components_of_a_bundle_and_those_beside_it() -> None:
    world = World()
    template = Bundle(Box(["a"]), Style())
    entity = world.spawn(template, Frozen(1))
    assert world.get_component(entity, Box) == Box(["a"])
    assert world.get_component(entity, Style) == Style()
    assert world.get_component(entity, Frozen) == Frozen(1)
    assert template.types == (Box, Style)
    assert repr(template) == "Bundle(Box(items=['a']), Style(name='plain'))"


def test_two_entities_of_a_bundle_share_nothing_that_could_change() -> None:
    world, original = World(), Box(["a"])
    template = Bundle(original, Frozen([1]))
    original.items.append("by whom the template was made")
    first, second = world.spawn(template), world.spawn(template)
    one, other = world.get_component(first, Box), world.get_component(second, Box)
    assert one is not None
    assert other is not None
    one.items.append("b")
    assert other.items == ["a"]
    assert world.get_component(world.spawn(template), Box) == Box(["a"])
    held = [world.get_component(entity, Frozen) for entity in (first, second)]
    assert held[0] is not None
    assert held[1] is not None
    assert held[0].value is not held[1].value


def test_a_component_given_by_itself_is_the_entity_s_own_as_it_is() -> None:
    world, box = World(), Box()
    assert world.get_component(world.spawn(box), Box) is box


MUTABLE: list[Callable[[], Any]] = [
    lambda: [1],
    lambda: {"a": 1},
    lambda: {1},
    lambda: bytearray(b"a"),
    lambda: deque([1], maxlen=3),
    lambda: defaultdict(list, a=[1]),
    lambda: OrderedDict(a=1),
    lambda: Counter("aab"),
    lambda: Step("a"),
]
WRAPPED: list[Callable[[Any], Any]] = [
    lambda value: value,
    lambda value: [value],
    lambda value: {"key": value},
    lambda value: (1, value),
    lambda value: Point(1, value),
    lambda value: deque([value]),
    Frozen,
    lambda value: Box([value]),
    lambda value: [{"deep": (Frozen([value]),)}],
]


def inside(value: Any) -> Any:
    """The innermost value of a wrapped one."""
    match value:
        case [{"deep": (Frozen([inner]),)}]:
            return inner
        case [inner] | {"key": inner} | (1, inner) | Frozen(inner) | Box([inner]) if not isinstance(inner, int):
            return inner
        case deque():
            return value[0] if not isinstance(value[0], int) else value
    return value


@pytest.mark.parametrize("make", MUTABLE)
@pytest.mark.parametrize("wrap", WRAPPED)
def test_what_could_change_is_copied_however_deep_and_is_equal_and_of_the_same_type(make: Any, wrap: Any) -> None:
    value = wrap(make())
    copied = own_copy(Box([value])).items[0]
    assert copied == value
    assert type(copied) is type(value)
    assert type(inside(copied)) is type(inside(value))
    assert inside(copied) is not inside(value)


def test_containers_keep_what_else_they_are() -> None:
    copied = own_copy(Box([deque([1], maxlen=2), defaultdict(list)])).items
    assert copied[0].maxlen == 2
    assert copied[1]["new"] == []


@pytest.mark.parametrize(
    "value", [1, "a", None, b"a", (1, (2, "a")), frozenset({1}), Frozen((1, 2)), Point(1, 2), Link(), Service(), print, Style, object()]
)
def test_what_cannot_change_or_acts_is_shared(value: object) -> None:
    assert own_copy(Box([value])).items[0] is value


def test_a_component_is_copied_even_if_it_could_be_shared() -> None:
    class Plain:
        __slots__ = ("later", "number")

        def __init__(self) -> None:
            self.number = [1]

    for component in (Style(), Frozen(1), Link(), Service(), Plain()):
        assert own_copy(component) is not component
    plain = Plain()
    copied = own_copy(plain)
    assert copied.number == [1]
    assert copied.number is not plain.number
    assert not hasattr(copied, "later")


def test_what_is_the_same_twice_or_holds_itself_stays_so() -> None:
    shared: list[Any] = [1]
    box = Box([shared, shared])
    box.items.append(box.items)
    copied = own_copy(box)
    assert copied.items[0] is copied.items[1]
    assert copied.items[0] is not shared
    assert copied.items[2] is copied.items


def test_agents_of_one_template_share_their_provider_and_tools_but_not_their_conversation() -> None:
    provider = FakeProvider(["hello"])
    history = [Message("user", "hi"), Message("assistant", "", tool_calls=(ToolCall("1", "look", {"at": ["x"]}),))]

    async def look() -> str:
        return ""

    template = Bundle(LLMComponent(provider, "a-model"), ConversationComponent(history), ToolRegistryComponent({}, {"look": look}))
    llm, conversation, tools = template.components()
    assert isinstance(llm, LLMComponent)
    assert llm.provider is provider
    assert isinstance(tools, ToolRegistryComponent)
    assert tools.handlers["look"] is look
    assert isinstance(conversation, ConversationComponent)
    assert conversation.messages == history
    assert conversation.messages is not history
    assert conversation.messages[0] is history[0]
    [copied], [original] = [message.tool_calls or [] for message in (conversation.messages[1], history[1])]
    assert copied.arguments == original.arguments
    assert copied.arguments is not original.arguments


class TestVariants:
    def test_with_adds_or_takes_the_place_of_one_of_its_type(self) -> None:
        template = Bundle(Box(["a"]), Style())
        other = template.with_(Style("bold"), Frozen(1))
        assert other.components() == [Box(["a"]), Style("bold"), Frozen(1)]
        assert template.components() == [Box(["a"]), Style()]

    def test_without_leaves_out(self) -> None:
        template = Bundle(Box(), Style(), Frozen(1))
        assert template.without(Style, Link).types == (Box, Frozen)
        assert template.types == (Box, Style, Frozen)

    def test_bundles_may_be_put_together(self) -> None:
        assert Bundle(Bundle(Box()), Style(), Bundle(Frozen(1), Link())).types == (Box, Style, Frozen, Link)
        assert Bundle(Box()).with_(Bundle(Box(["b"]), Style())).components() == [Box(["b"]), Style()]

    def test_it_has_nothing_to_change(self) -> None:
        with pytest.raises(AttributeError):
            Bundle().more = 1  # type: ignore[attr-defined]


class TestRefused:
    @pytest.mark.parametrize(
        "make",
        [
            lambda world: Bundle(Box(), Style(), Box()),
            lambda world: Bundle(Bundle(Box()), Box()),
            lambda world: Bundle().with_(Box(), Box()),
            lambda world: world.spawn(Box(), Box()),
            lambda world: world.spawn(Bundle(Box()), Box()),
            lambda world: world.spawn(Bundle(Box()), Bundle(Box())),
        ],
    )
    def test_two_components_of_a_type(self, make: Any) -> None:
        world = World()
        with pytest.raises(DuplicateComponentError, match="Box is given twice") as caught:
            make(world)
        assert isinstance(caught.value, ValueError)
        assert world.entities == []
        assert world.log.next_pos == 0

    def test_two_parents(self) -> None:
        world = World()
        root = world.spawn()
        with pytest.raises(DuplicateComponentError, match="ChildOf is given twice"):
            world.spawn(ChildOf(root), parent=root)

    def test_a_class(self) -> None:
        for make in (Bundle, World().spawn):
            with pytest.raises(TypeError, match=r"write Box\(…\)"):
                make(Box)

    def test_what_does_not_exist(self) -> None:
        world = World()
        with pytest.raises(EntityNotFoundError, match="no entity 9"):
            world.spawn(Box(), parent=EntityId(9))
        assert world.log.next_pos == 0

    async def test_a_closed_world(self) -> None:
        world = World()
        await world.aclose()
        with pytest.raises(WorldClosedError):
            world.spawn(Box())

    def test_an_entity_is_made_whole_or_not_at_all(self) -> None:
        world = World()
        with pytest.raises(EntityNotFoundError):
            world.spawn(Box(), Likes(EntityId(9)), Style())
        assert world.entities == []
        assert world.query(Box) == []
        told = [fact.payload for fact in world.log.read()]
        assert (told[0], told[-1]) == (EntityCreated(EntityId(1)), EntityDeleted(EntityId(1)))


def test_a_bundle_may_name_a_parent() -> None:
    world = World()
    root = world.spawn()
    child = world.spawn(Bundle(Box(), ChildOf(root)))
    assert world.children(root) == [child]
    assert world.state.row(child).place == f"{world.state.row(root).place}/0"


def test_a_system_spawns_children_from_bundles_too() -> None:
    world = World()
    me = Entity(world.state, world.state.create(None))
    template = Bundle(Box(["a"]), Style())
    first, second = me.spawn(template), me.spawn(template, Frozen(1))
    assert world.children(me.id) == [first, second]
    assert world.get_component(first, Box) is not world.get_component(second, Box)
    with pytest.raises(DuplicateComponentError):
        me.spawn(template, Style())
    with pytest.raises(DuplicateComponentError):
        me.spawn(ChildOf(first))
