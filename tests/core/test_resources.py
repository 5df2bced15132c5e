"""Resources: the live objects of a world, one of a type, ended with it."""

from __future__ import annotations

import pytest

from ecs_agent.core import World


class Pool:
    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


class Special(Pool):
    pass


class Plain:
    pass


async def test_what_was_inserted_is_found_under_its_exact_type() -> None:
    async with World() as world:
        pool, special = Pool(), Special()
        assert world.get_resource(Pool) is None
        world.insert_resource(pool)
        world.insert_resource(special)
        assert world.get_resource(Pool) is pool
        assert world.get_resource(Special) is special
        assert world.get_resource(Plain) is None


async def test_one_that_is_made_at_first_use_is_found_like_one_that_was_inserted() -> None:
    async with World() as world:
        plain = world.resource(Plain, Plain)
        assert world.get_resource(Plain) is plain
        inserted = Pool()
        world.insert_resource(inserted)
        assert world.resource(Pool, Pool) is inserted


async def test_a_second_one_of_a_type_is_refused_and_the_first_stays() -> None:
    async with World() as world:
        plain = world.resource(Plain, Plain)
        with pytest.raises(ValueError, match="has a Plain already"):
            world.insert_resource(Plain())
        assert world.get_resource(Plain) is plain


async def test_what_can_be_closed_is_closed_once_with_the_world_the_last_one_first() -> None:
    order: list[str] = []

    class First:
        async def aclose(self) -> None:
            order.append("first")

    class Second:
        async def aclose(self) -> None:
            order.append("second")

    world = World()
    world.insert_resource(First())
    world.resource(Second, Second)
    world.insert_resource(Plain())
    await world.aclose()
    await world.aclose()
    assert order == ["second", "first"]


async def test_two_worlds_share_nothing() -> None:
    async with World() as one, World() as other:
        one.insert_resource(Plain())
        assert other.get_resource(Plain) is None
