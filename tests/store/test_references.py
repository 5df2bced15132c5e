"""Live objects by name: found again whatever their order, never taken for one another, and missed all at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from ecs_agent.components import LLMComponent, StreamPolicy, ToolRegistryComponent
from ecs_agent.errors import MissingReferencesError, StoreFormatError, UnsavableError
from ecs_agent.providers import FakeProvider
from ecs_agent.store.codecs import Codecs
from ecs_agent.store.json_text import dumps, loads
from ecs_agent.store.references import References
from ecs_agent.tools import tool
from ecs_agent.types import JsonObject, ToolSchema


class Named:
    """A provider of somebody's own."""

    def __init__(self, name: object = None, model: object = None) -> None:
        if name is not None:
            self.name = name
        if model is not None:
            self.model = model

    async def complete(self, messages: object, stream: bool = False) -> Any:
        raise NotImplementedError


class Rude(Named):
    @property
    def name(self) -> str:
        raise RuntimeError("no name for you")

    @name.setter
    def name(self, _: object) -> None: ...


@tool
async def look(place: str) -> str:
    """Look there."""
    return place


def test_a_provider_goes_by_its_name() -> None:
    provider = FakeProvider([], name="mine")
    references = References()
    assert references.name_of(provider) == references.name_of(provider) == "mine"
    assert references.provider("mine") is provider
    references.check()


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        (Named(), "Named"),
        (Named(model="m1"), "Named:m1"),
        (Named(name="", model="m1"), "Named:m1"),
        (Named(name=3, model=4), "Named"),
        (Rude(), "Rude"),
    ],
)
def test_without_a_name_it_goes_by_class_and_model(provider: Any, name: str) -> None:
    assert References().name_of(provider) == name
    assert References(providers=[provider]).provider(name) is provider


def test_met_ones_of_one_name_get_others() -> None:
    references = References()
    first, second, third, fourth = Named("n", "m1"), Named("n", "m2"), Named("n", "m1"), Named("n", "m1")
    assert [references.name_of(each) for each in (first, second, third, fourth, first)] == ["n", "Named:m2", "Named:m1#2", "Named:m1#3", "n"]
    assert references.provider("Named:m1#2") is third


def test_given_ones_of_one_name_are_told_apart_by_model_in_any_order() -> None:
    one, other = Named("n", "m1"), Named("n", "m2")
    for order in ([one, other], [other, one]):
        references = References(providers=order)
        assert [references.name_of(one), references.name_of(other)] == ["Named:m1", "Named:m2"]
        assert references.provider("Named:m2") is other


def test_the_very_same_are_told_apart_by_their_order() -> None:
    one, other = FakeProvider([]), FakeProvider([])
    references = References(providers=[one, other, one])
    assert [references.name_of(one), references.name_of(other)] == ["FakeProvider:fake", "FakeProvider:fake#2"]


def test_a_name_that_several_given_ones_have_is_not_guessed() -> None:
    """It may have been written by a program that had only one of them."""
    references = References(providers=[Named("n", "m1"), Named("n", "m2")])
    references.provider("n")
    with pytest.raises(MissingReferencesError, match="'n', which is the name of several that were given"):
        references.check()


def test_those_that_are_named_like_their_class_are_found_again() -> None:
    one, other = Named("Named"), Named("Named")
    references = References(providers=[one, other])
    assert [references.provider(references.name_of(each)) for each in (one, other)] == [one, other]
    references.check()


def test_a_given_one_is_also_found_by_class_and_model() -> None:
    provider = Named("n", "m1")
    assert References(providers=[provider]).provider("Named:m1") is provider


def test_what_is_met_never_takes_a_given_name() -> None:
    given, met = Named("n", "m1"), Named("n", "m1")
    references = References(providers=[given])
    assert references.name_of(met) == "Named:m1#2"
    assert references.provider("n") is given


def test_names_of_ones_own_count() -> None:
    provider = Named("n", "m1")
    references = References(providers={"fast": provider, "slow": provider}, tools={"see": look})
    assert references.name_of(provider) == "fast"
    assert references.provider("slow") is provider
    assert references.tool("see") is look


def test_all_that_is_missing_is_told_at_once_and_who_uses_it() -> None:
    references = References(tools=[look])
    codecs = Codecs(references=references)
    for entity in (3, 4):
        references.used_by(entity)
        codecs.decode_component("LLMComponent", 1, {"provider": "lost", "model": "", "system_prompt": ""})
    for entity in range(10, 17):
        references.used_by(entity)
        codecs.decode_component("ToolRegistryComponent", 1, {"tools": {}, "handlers": {"look": "look", "gone": "gone"}})
    with pytest.raises(MissingReferencesError) as caught:
        references.check()
    assert caught.value.providers == ("lost",)
    assert caught.value.tools == ("gone",)
    assert "provider 'lost' (of entity 3, 4)" in str(caught.value)
    assert "tool 'gone' (of entity 10, 11, 12, 13, 14, …)" in str(caught.value)
    assert "providers=[…] and tools=[…]" in str(caught.value)
    references.check()


def test_a_stand_in_raises_when_it_is_used_all_the_same() -> None:
    references = References()
    provider: Any = references.provider("lost")
    with pytest.raises(MissingReferencesError, match="the provider 'lost'"):
        provider.complete([])
    with pytest.raises(MissingReferencesError, match="the tool 'gone'"):
        references.tool("gone")()


def test_two_tools_of_one_name_are_not_guessed() -> None:
    def look(_: str) -> str:
        return ""

    with pytest.raises(ValueError, match="two tools are named 'look'"):
        References(tools=[look, globals()["look"]])
    assert References(tools=[look, look]).tool("look") is look


def test_an_object_that_is_called_goes_by_its_class() -> None:
    class Finder:
        def __call__(self) -> None: ...

    finder = Finder()
    assert References(tools=[finder]).tool("Finder") is finder


def test_agents_find_their_providers_and_tools() -> None:
    first, second, third = FakeProvider([], name="a"), FakeProvider([], name="b"), FakeProvider([], name="c")
    codecs = Codecs(references=References(providers=[first, second, third], tools=[look]))
    for component in (
        LLMComponent(first, "m"),
        StreamPolicy(fallbacks=(second, third)),
        ToolRegistryComponent({"look": look.schema}, {"look": look}),
    ):
        tag, version, fields = codecs.encode_component(component)
        assert codecs.decode_component(tag, version, loads(dumps(fields))) == component
    assert codecs.encode_component(StreamPolicy(fallbacks=(second, third)))[2]["fallbacks"] == ["b", "c"]


def test_a_tool_tells_its_own_schema_of_today() -> None:
    codecs = Codecs(references=References(tools={"look": look, "see": look, "old": print}))
    stored = ToolSchema("x", "long ago", {})
    data = codecs.encode_component(
        ToolRegistryComponent({"look": stored, "see": stored, "old": stored}, {"look": look, "see": look, "old": print, "bare": look})
    )[2]
    codecs.references.met_tool("bare", look)
    back: Any = codecs.decode_component("ToolRegistryComponent", 1, data)
    assert back.tools["look"] == ToolSchema("x", look.description, look.schema.parameters)
    assert back.tools["old"] == stored
    assert list(back.tools) == ["look", "see", "old"]


def test_what_is_no_provider_and_no_function_is_kept_as_what_it_is() -> None:
    codecs = Codecs()
    odd: Any = LLMComponent("nobody")  # type: ignore[arg-type]
    tools: Any = ToolRegistryComponent({}, {"a": 3})  # type: ignore[dict-item]
    for component in (odd, tools):
        tag, version, fields = codecs.encode_component(component)
        assert codecs.decode_component(tag, version, loads(dumps(fields))) == component


@dataclass
class Hook:
    run: Callable[[], None] | None


@dataclass
class Bell:
    run: Callable[[], None]


def test_a_function_anywhere_else_goes_by_its_own_name() -> None:
    def ring() -> None: ...

    codecs = Codecs([Hook], references=References(tools={"bell": ring}))
    assert codecs.encode_component(Hook(ring))[2] == {"run": "ring"}
    assert codecs.decode_component("Hook", 1, {"run": "bell"}) == Hook(ring)
    assert codecs.decode_component("Hook", 1, codecs.encode_component(Hook(None))[2]) == Hook(None)
    assert codecs.decode_event("Bell", 1, codecs.encode_event(Bell(ring))[1]) == Bell(ring)
    silent: Any = Bell("silent")  # type: ignore[arg-type]
    assert codecs.decode_event("Bell", 1, codecs.encode_event(silent)[1]) == silent
    odd: Any = Hook(3)  # type: ignore[arg-type]
    assert codecs.decode_component("Hook", 1, codecs.encode_component(odd)[2]) == odd
    with pytest.raises(StoreFormatError, match="the saved Hook.run is a int, not the name of a function"):
        codecs.decode_component("Hook", 1, {"run": 3})


def test_two_functions_of_one_name_are_not_mixed_up() -> None:
    def ring() -> None: ...

    codecs = Codecs([Hook])
    codecs.encode_component(Hook(ring))
    with pytest.raises(UnsavableError, match="Hook.run is the function 'ring', and another one of this name is saved already"):
        codecs.encode_component(Hook(other_ring()))


def other_ring() -> Callable[[], None]:
    def ring() -> None: ...

    return ring


@pytest.mark.parametrize(
    ("tag", "data", "sentence"),
    [("LLMComponent", {"provider": 3}, "not the name of a provider"), ("ToolRegistryComponent", {"handlers": {"a": 3}}, "not the name of a tool")],
)
def test_what_is_no_name_is_refused(tag: str, data: JsonObject, sentence: str) -> None:
    with pytest.raises(StoreFormatError, match=sentence):
        Codecs().decode_component(tag, 1, data)


def test_a_handler_set_later_is_written_by_its_key_too() -> None:
    codecs = Codecs()
    assert codecs.items_data(ToolRegistryComponent, "handlers", {"see": look}) == {"see": "see"}
    assert codecs.references.tool("see") is look
