"""A structured answer while it arrives: instances of a class, filled as far as the model has come, and in the end a valid one."""

import asyncio

from pydantic import BaseModel, Field

from ecs_agent import Message
from ecs_agent.providers import FakeProvider, stream_object


class City(BaseModel):
    """A city."""

    name: str
    inhabitants: int = Field(gt=0)
    sights: list[str]


async def main() -> None:
    wrong = '{"name": "Oslo", "inhabitants": -1, "sights": []}'
    right = '{"name": "Oslo", "inhabitants": 717710, "sights": ["the opera", "the fjord"]}'
    provider = FakeProvider([wrong, right], by=12, delay=0.01)
    async with stream_object(provider, [Message("user", "Tell me about Oslo.")], City, repairs=1) as stream:
        async for city in stream:  # a field that has not arrived is None
            print(f"attempt {stream.attempt}: {city.name!s:5} {city.inhabitants!s:7} {city.sights}")
    city = stream.result()
    print(f"{city.name} has {city.inhabitants:,} inhabitants and {len(city.sights)} sights. The model was told what was wrong and asked again.")


asyncio.run(main())
