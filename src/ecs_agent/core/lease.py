"""What a system holds on the entity of its call, as far as a schedule needs to know: whose it is, and that it can end."""

from __future__ import annotations

from ecs_agent.types import EntityId


class Lease:
    """The kind of parameter that is no component. The kernel hands out an `Entity`; a test may pass any other subclass."""

    __slots__ = ()

    @property
    def id(self) -> EntityId:
        """The entity's id; readable also after the lease has ended."""
        raise NotImplementedError

    def revoke(self) -> None:
        """End the lease; done by the run when the call is over."""
        raise NotImplementedError
