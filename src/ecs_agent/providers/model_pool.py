"""The providers that were asked for by name: one a service, so that all who ask it share its connections and its limits."""

from __future__ import annotations

from ecs_agent.providers.registry import ModelProvider, ModelRegistry


class ModelPool:
    """Resolves each service once. Give a World one with services of yours: `world.insert_resource(ModelPool(registry))`.

    Args:
        registry: the services; those that come with this package by default.
    """

    def __init__(self, registry: ModelRegistry | None = None) -> None:
        self._registry = registry if registry is not None else ModelRegistry()
        self._providers: dict[str, ModelProvider] = {}

    def get(self, name: str) -> tuple[ModelProvider, str]:
        """The provider of a "service/model", and the model that is to be asked of it.

        Raises:
            ConfigurationError: there is no such service, or no key for it.
        """
        preset = self._registry.service_of(name)
        key = name if preset.family == "local" else preset.name  # a process of our own has one model
        if key not in self._providers:
            self._providers[key] = self._registry.resolve(name)
        provider = self._providers[key]
        return provider, provider.model if preset.family == "local" else name.partition("/")[2]

    async def aclose(self) -> None:
        """Close all of them."""
        while self._providers:
            await self._providers.popitem()[1].aclose()
