"""Live objects by name: providers, tools and headers cannot be data. They are saved as names, and bound again when a world is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeAlias, cast

from ecs_agent.errors import MissingReferencesError
from ecs_agent.providers.protocol import ProviderLike

Providers: TypeAlias = Sequence[ProviderLike] | Mapping[str, ProviderLike]
Tools: TypeAlias = Sequence[Callable[..., Any]] | Mapping[str, Callable[..., Any]]

_SHOWN: Final = 5
"""Of so many entities a message says that they use what is missing."""


class References:
    """Which live object is meant by which name.

    A provider goes by the name it was given under, else by its own `name`. Where two have one, each goes by its class and model, as
    "OpenAIProvider:gpt-4o", and where these are the same too, by that and its place among them, "FakeProvider#2". A provider that is only met while a
    world is written gets its name then. A tool goes by the key under which its agent has it.

    What a saved world names and nobody gave is gathered while it is read, and `check` says all of it at once.

    Args:
        providers: the providers, or by name.
        tools: the tools, or by name.
        headers: values for the `extra_headers` of saved requests, which are never written.

    Attributes:
        withheld: names of headers that saved requests had and that were not given.

    Raises:
        ValueError: two tools have one name; give them by name.
    """

    def __init__(self, *, providers: Providers = (), tools: Tools = (), headers: Mapping[str, str] | None = None) -> None:
        self._providers: dict[str, ProviderLike] = {}
        self._names: dict[int, str] = {}
        self._met: list[ProviderLike] = []
        self._ambiguous: set[str] = set()
        self._tools: dict[str, Callable[..., Any]] = {}
        self._headers = dict(headers or {})
        self.withheld: list[str] = []
        self._entity: int | None = None
        self._missing: dict[tuple[str, str], list[int]] = {}
        self._stand_ins: dict[tuple[str, str], _Missing] = {}
        self._give_providers(providers)
        self._give_tools(tools)

    def _give_providers(self, providers: Providers) -> None:
        if isinstance(providers, Mapping):
            self._give_named(providers)
            return
        given = _distinct(providers)
        names = [_own_name(provider) for provider in given]
        self._ambiguous = {name for name in names if name is not None and names.count(name) > 1}
        for provider, name in zip(given, names, strict=True):
            exact = self._exact_name(provider)
            self._met.append(provider)
            self._names[id(provider)] = name if name is not None and name not in self._ambiguous else exact
            self._providers.setdefault(exact, provider)
        for provider in given:
            self._providers[self._names[id(provider)]] = provider

    def _give_named(self, providers: Mapping[str, ProviderLike]) -> None:
        for name, provider in providers.items():
            self._providers[name] = provider
            self._names.setdefault(id(provider), name)
            self._met.append(provider)

    def _give_tools(self, tools: Tools) -> None:
        pairs = tools.items() if isinstance(tools, Mapping) else [(_tool_name(tool), tool) for tool in _distinct(tools)]
        for name, tool in pairs:
            if name in self._tools:
                raise ValueError(f"two tools are named {name!r}; give them by name: tools={{'…': first, '…': second}}")
            self._tools[name] = tool

    # Writing

    def name_of(self, provider: ProviderLike) -> str:
        """The name of a provider, which it keeps."""
        name = self._names.get(id(provider))
        if name is None:
            own, exact = _own_name(provider), self._exact_name(provider)
            name = exact if own is None or own in self._ambiguous or own in self._providers else own
            self._names[id(provider)] = name
            self._providers[name] = provider
            self._met.append(provider)
        return name

    def _exact_name(self, provider: ProviderLike) -> str:
        """Its class and model, and its place among those met so far of which this is the same."""
        exact = _class_and_model(provider)
        place = 1 + sum(_class_and_model(each) == exact for each in self._met)
        return exact if place == 1 else f"{exact}#{place}"

    def met_tool(self, key: str, tool: Callable[..., Any]) -> str:
        """The name of a tool that an agent has under a key."""
        if not isinstance(tool, _Missing):
            self._tools.setdefault(key, tool)
        return key

    # Reading

    def used_by(self, entity: int | None) -> None:
        """Whose components are read now, for the list of what is missing."""
        self._entity = entity

    def provider(self, name: str) -> ProviderLike:
        """The provider of that name; a stand-in that raises when it is asked, if there is none, and then `check` raises."""
        found = self._providers.get(name)
        if found is None:
            missing = self._miss("provider", name)
            self._names[id(missing)] = name  # so it is saved as what it stands for
            return missing
        return found

    def tool(self, name: str) -> Callable[..., Any]:
        """The tool of that name; a stand-in likewise."""
        found = self._tools.get(name)
        if found is None:
            return self._miss("tool", name)
        return found

    def headers(self, names: list[str]) -> dict[str, str] | None:
        """Those of the headers that were given; None when that is none of them."""
        self.withheld += [name for name in names if name not in self._headers and name not in self.withheld]
        return {name: self._headers[name] for name in names if name in self._headers} or None

    def _miss(self, kind: str, name: str) -> _Missing:
        users = self._missing.setdefault((kind, name), [])
        if self._entity is not None and self._entity not in users:
            users.append(self._entity)
        return self._stand_ins.setdefault((kind, name), _Missing(kind, name))

    def check(self) -> None:
        """See that nothing was missing since this was asked last.

        Raises:
            MissingReferencesError: something was.
        """
        missing, self._missing = self._missing, {}
        if not missing:
            return
        providers, tools = ([name for kind, name in missing if kind == each] for each in ("provider", "tool"))
        lines = [f"{kind} {name!r}{_users(users)}{self._reason(kind, name)}" for (kind, name), users in missing.items()]
        give = " and ".join([f"{word}=[…]" for word, names in (("providers", providers), ("tools", tools)) if names])
        raise MissingReferencesError(
            f"the saved world uses what was not given: {'; '.join(lines)}. Give them with {give}, or by these names as a mapping",
            providers=providers,
            tools=tools,
        )

    def _reason(self, kind: str, name: str) -> str:
        return ", which is the name of several that were given" if kind == "provider" and name in self._ambiguous else ""


class _Missing:
    """Stands for what was not given until `check` says so, or, in a past that is looked at, until it is used."""

    def __init__(self, kind: str, name: str) -> None:
        self.name = self.__name__ = name
        self._what = f"the {kind} {name!r}"

    def complete(self, *_: object, **__: object) -> NoReturn:
        self._refuse()

    def __call__(self, *_: object, **__: object) -> NoReturn:
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise MissingReferencesError(f"{self._what} of a saved world was not given")


def _users(entities: list[int]) -> str:
    if not entities:
        return ""
    shown = ", ".join(map(str, entities[:_SHOWN])) + (", …" if len(entities) > _SHOWN else "")
    return f" (of entity {shown})"


def _distinct(objects: Iterable[Any]) -> list[Any]:
    found: dict[int, Any] = {}
    for each in objects:
        found.setdefault(id(each), each)
    return list(found.values())


def _own_name(provider: object) -> str | None:
    name = _attribute(provider, "name")
    return name if isinstance(name, str) and name else None


def _class_and_model(provider: object) -> str:
    model = _attribute(provider, "model")
    return f"{type(provider).__name__}:{model}" if isinstance(model, str) and model else type(provider).__name__


def _attribute(provider: object, name: str) -> object:
    try:
        return cast("object", getattr(provider, name, None))
    except Exception:  # noqa: BLE001 - a foreign property may raise anything
        return None


def _tool_name(tool: Callable[..., Any]) -> str:
    return str(getattr(tool, "__name__", type(tool).__name__))
