"""Secret: a key that cannot be printed, pickled or compared by accident; only the transport asks for its value."""

from __future__ import annotations

from typing import NoReturn

from ecs_agent.errors import ConfigurationError


class Secret:
    """Holds a key.

    Args:
        value: the key; white space around it is dropped, as files end with a newline.

    Raises:
        ConfigurationError: it is empty, or holds what cannot stand in a header.
        TypeError: it is no text.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        given: object = value
        if not isinstance(given, str):
            raise TypeError(f"the API key is a {type(given).__name__}; give a text")
        value = value.strip()
        if not value:
            raise ConfigurationError("the API key is empty")
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigurationError("the API key holds a character that no key has (a space, a line break, or a letter beyond ASCII); copy it again")
        self._value = value

    def reveal(self) -> str:
        """The key itself, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never serialized; store the name of the variable that holds the key instead")
