"""From "service/model" to the provider that asks it.

A key goes only where it is meant to. The key of a service comes from the argument, else from that service's own variables, never from `LLM_API_KEY`,
which does not say whose it is. A key of the environment is sent to the service's own URL, or to the one in a variable of that service; to a URL
that is given as an argument and leads elsewhere goes only a key that is given with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Final, TypeAlias, Unpack
from urllib.parse import urlsplit

from ecs_agent.errors import ConfigurationError
from ecs_agent.providers.anthropic import AnthropicProvider
from ecs_agent.providers.capabilities import Capabilities
from ecs_agent.providers.gemini import GeminiProvider
from ecs_agent.providers.http.client import HTTPOptions
from ecs_agent.providers.http.provider import HTTPProvider
from ecs_agent.providers.local.provider import LocalProvider
from ecs_agent.providers.openai import OpenAIProvider
from ecs_agent.providers.openai_responses_provider import OpenAIResponsesProvider
from ecs_agent.providers.presets import PRESETS, Family, Preset, split_model
from ecs_agent.providers.secret import Secret
from ecs_agent.providers.settings import Settings, is_loopback, resolve

ModelProvider: TypeAlias = HTTPProvider | LocalProvider
"""What a name resolves to: a provider with a name, a model, capabilities and an `aclose`."""


class ModelSettings(HTTPOptions, total=False):
    """How a provider over HTTP works; `name` and `capabilities` are the preset's by default."""

    name: str
    capabilities: Capabilities


def _openai_chat(found: Settings, options: ModelSettings) -> HTTPProvider:
    return OpenAIProvider(found.key, found.base_url, found.model, key_names=(), **options)


def _anthropic(found: Settings, options: ModelSettings) -> HTTPProvider:
    return AnthropicProvider(found.key, found.base_url, found.model, key_names=(), **options)


def _openai_responses(found: Settings, options: ModelSettings) -> HTTPProvider:
    return OpenAIResponsesProvider(found.key, found.base_url, found.model, key_names=(), **options)


def _gemini(found: Settings, options: ModelSettings) -> HTTPProvider:
    return GeminiProvider(found.key, found.base_url, found.model, key_names=(), **options)


_MAKERS: Final[Mapping[Family, Callable[[Settings, ModelSettings], HTTPProvider]]] = {
    "anthropic": _anthropic,
    "gemini": _gemini,
    "openai-chat": _openai_chat,
    "openai-responses": _openai_responses,
}
"""Who speaks the protocol of a family. A maker gets the key and the URL, and looks for none itself."""

_PORTS: Final = {"https": 443, "http": 80}


class ModelRegistry:
    """Services by name.

    Args:
        presets: those it begins with.

    Raises:
        ConfigurationError: two of them share a name.
    """

    def __init__(self, presets: Iterable[Preset] = PRESETS) -> None:
        self._presets: dict[str, Preset] = {}
        for preset in presets:
            self.register(preset)

    def register(self, preset: Preset, *, replace: bool = False) -> None:
        """Add a service of yours.

        Args:
            preset: the service.
            replace: it takes the place of those that have one of its names.

        Raises:
            ConfigurationError: one of its names is taken.
        """
        names = (preset.name, *preset.aliases)
        for name in names:
            taken = self._presets.get(name)
            if taken is None:
                continue
            if not replace:
                raise ConfigurationError(f"there is a service {name!r} already; choose another name, or give replace=True")
            self._presets = {each: other for each, other in self._presets.items() if other is not taken}
        self._presets |= dict.fromkeys(names, preset)

    @property
    def presets(self) -> list[Preset]:
        """All services, each once."""
        return list(dict.fromkeys(self._presets.values()))

    def find(self, service: str) -> Preset | None:
        """The service of that name or alias; None if there is none."""
        return self._presets.get(service)

    def service_of(self, model: str) -> Preset:
        """The service that a "service/model" names, or "local".

        Raises:
            ConfigurationError: it is not written so, or there is no such service.
        """
        service = model if model == "local" else split_model(model)[0]
        found = self.find(service)
        if found is None:
            near = get_close_matches(service.lower(), self._presets, n=1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigurationError(f"there is no service {service!r}; {meant}known are {', '.join([each.name for each in self.presets])}")
        return found

    def resolve(
        self, model: str, *, api_key: str | Secret | None = None, base_url: str | None = None, **options: Unpack[ModelSettings]
    ) -> ModelProvider:
        """The provider of a model; it connects to nothing yet. Any name of a model is taken, as services have new ones every week.

        Args:
            model: as "openrouter/qwen/qwen3-32b": the service, and behind the first slash the model. "local" is the embedded model, and
                "local/path.gguf" that in a file.
            api_key: else that in the variables of the service.
            base_url: else that in the variables of the service, else its own. A key of the environment does not go to another server.
            options: how it works; see `OpenAIProvider`.

        Raises:
            ConfigurationError: there is no such service, no key for it, or the URL cannot be used.
        """
        preset = self.service_of(model)
        name = model.partition("/")[2]
        if preset.family == "local":
            return _local(name, api_key, base_url, options)
        found = _settings(preset, name, api_key, base_url, allow_http=options.get("allow_http", False))
        chosen: ModelSettings = {"name": preset.name, "capabilities": preset.capabilities, **options}
        return _MAKERS[preset.family](found, chosen)


def resolve_model(model: str, *, api_key: str | Secret | None = None, base_url: str | None = None, **options: Unpack[ModelSettings]) -> ModelProvider:
    """The provider of a "service/model", of the services that come with this package; see `ModelRegistry.resolve`.

    Raises:
        ConfigurationError: there is no such service, no key for it, or the URL cannot be used.
    """
    return ModelRegistry().resolve(model, api_key=api_key, base_url=base_url, **options)


def _settings(preset: Preset, model: str, api_key: str | Secret | None, base_url: str | None, *, allow_http: bool) -> Settings:
    """Where a service is asked, and with which key."""
    given = (base_url or "").strip()
    elsewhere = bool(given and preset.base_url) and not _is_same_server(given, preset.base_url)
    if elsewhere and api_key is None and preset.needs_key and not is_loopback(given):
        own, other = urlsplit(preset.base_url).hostname, urlsplit(given).hostname
        raise ConfigurationError(f"a key in {preset.key_names[0]} is meant for {own} and is not sent to {other}; give api_key=… with that base_url")
    if base_url is None and not preset.base_url and not any(map(os.environ.get, preset.url_names)):
        raise ConfigurationError(f"each user of {preset.name} has a URL of their own; give yours as base_url=…")
    return resolve(
        api_key=api_key,
        base_url=base_url,
        model=model,
        key_names=() if elsewhere else preset.key_names,
        url_names=preset.url_names,
        default_url=preset.base_url,
        needs_key=preset.needs_key,
        allow_http=allow_http,
    )


def _is_same_server(url: str, own: str) -> bool:
    """Whether two URLs lead to one server, with the same protection; all on this machine count as one."""
    if is_loopback(url) and is_loopback(own):
        return True
    one, other = urlsplit(url), urlsplit(own)
    return (one.scheme, one.hostname, one.port or _PORTS.get(one.scheme)) == (other.scheme, other.hostname, other.port or _PORTS.get(other.scheme))


def _local(path: str, api_key: str | Secret | None, base_url: str | None, options: ModelSettings) -> LocalProvider:
    given = {"api_key": api_key, "base_url": base_url, **options}
    misplaced = [name for name, value in given.items() if value is not None and name != "capabilities"]
    if misplaced:
        raise ConfigurationError(f"{misplaced[0]} is for services over HTTP; 'local' is a model on this machine, in a process of its own")
    return LocalProvider(path or None, capabilities=options.get("capabilities"))
