"""The services that are known by name: where they are, which variable holds their key, what their protocol takes.

This is data, from documentation as far as it was found. What a service can do is said with caution, for all of its models: structured output where
all have it, images where some take them; `capabilities=…` says it of one model. None is said to go on behind an assistant's last message (prefill):
services that do want to be told so in a field of their own, or it depends on the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from ecs_agent.errors import ConfigurationError
from ecs_agent.providers.capabilities import ASSUMED, Capabilities
from ecs_agent.providers.settings import is_loopback

Family: TypeAlias = Literal["anthropic", "gemini", "openai-chat", "openai-responses", "local"]
"""Which protocol a service speaks; "local" is a model in a process of our own."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_TEXT_ONLY: Final = Capabilities(structured_output=False, images=False)
_WITH_IMAGES: Final = Capabilities(structured_output=False)
_OPEN_SCHEMAS: Final = Capabilities(strict_schemas=False)
_WITH_SCHEMA: Final = Capabilities(images=False)


@dataclass(frozen=True, slots=True)
class Preset:
    """A service.

    Attributes:
        name: what stands before the slash in "service/model", and the `name` of its providers.
        family: the protocol it speaks.
        base_url: where it is; "" if each of its users has a URL of their own.
        key_names: the environment variables that may hold its key, and no other service's; the first that is set.
        url_names: those that may hold another URL of it, one that its key is meant for.
        needs_key: it answers nobody without a key.
        capabilities: what it can do.
        aliases: other names for it.

    Raises:
        ConfigurationError: a name could not stand before a slash, the URL is none, or is not encrypted although it leads to another machine, or it
            is not said which variable holds the key.
    """

    name: str
    family: Family = "openai-chat"
    base_url: str = ""
    key_names: tuple[str, ...] = ()
    url_names: tuple[str, ...] = ()
    needs_key: bool = True
    capabilities: Capabilities = ASSUMED
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (self.name, *self.aliases):
            if not _NAME.fullmatch(name):
                raise ConfigurationError(f"{name!r} cannot name a service; use lower-case letters, digits, dots, dashes and underscores")
        if self.base_url and not is_loopback(self.base_url) and not self.base_url.startswith("https://"):
            raise ConfigurationError(f"the URL of {self.name} is not encrypted; only a service on this machine may have one with http://")
        if self.needs_key and not self.key_names:
            raise ConfigurationError(f"{self.name} needs a key; say in key_names which variable holds it, or needs_key=False")


_BEGINNINGS: Final = {"claude-": "anthropic", "gpt-": "openai", "gemini-": "gemini"}
"""Beginnings of names that belong to one vendor, for what an error advises; nothing is asked by them."""


def split_model(model: str) -> tuple[str, str]:
    """The name of the service and that of the model, which may hold slashes too.

    Raises:
        ConfigurationError: it is not written as "service/model".
        TypeError: it is no text.
    """
    given: object = model
    if not isinstance(given, str):
        raise TypeError(f"the model is a {type(given).__name__}; give a text, 'service/model', as in 'openai/gpt-5' or 'ollama/qwen3'")
    service, slash, name = model.partition("/")
    if not slash or not service or not name:
        raise ConfigurationError(_meant(model, name))
    return service, name


def _meant(model: str, name: str) -> str:
    """What to write in place of a name that is no "service/model"."""
    services = {each for preset in PRESETS for each in (preset.name, *preset.aliases)}
    alone = model.strip().rstrip("/")
    if alone in services and not name:
        return f"{model!r} names a service and none of its models; write it as 'service/model': {alone + '/…'!r}"
    service, colon, rest = alone.partition(":")
    if colon and rest and service in services:
        example = repr(f"{service}/{rest}")
    elif found := next((service for start, service in _BEGINNINGS.items() if alone.startswith(start) and "/" not in alone), None):
        example = repr(f"{found}/{alone}")
    else:
        example = "'openai/gpt-5' or 'ollama/qwen3'"
    return f"{model!r} does not say whose model it is; write it as 'service/model', as in {example}"


PRESETS: Final[tuple[Preset, ...]] = (
    Preset(
        "openai",
        base_url="https://api.openai.com/v1",
        key_names=("OPENAI_API_KEY",),
        url_names=("OPENAI_BASE_URL",),
    ),
    Preset(
        "openai-responses",
        "openai-responses",
        base_url="https://api.openai.com/v1",
        key_names=("OPENAI_API_KEY",),
        url_names=("OPENAI_BASE_URL",),
    ),
    Preset(
        "azure",  # the v1 API, which takes keys as OpenAI does: https://RESOURCE.openai.azure.com/openai/v1
        key_names=("AZURE_OPENAI_API_KEY",),
    ),
    Preset(
        "anthropic",
        "anthropic",
        base_url="https://api.anthropic.com",
        key_names=("ANTHROPIC_API_KEY",),
        url_names=("ANTHROPIC_BASE_URL",),
        aliases=("claude",),
    ),
    Preset("cerebras", base_url="https://api.cerebras.ai/v1", key_names=("CEREBRAS_API_KEY",), capabilities=_WITH_SCHEMA),
    Preset(
        "dashscope",  # the international one; a key of another region needs its URL
        base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        key_names=("DASHSCOPE_API_KEY",),
        capabilities=_WITH_IMAGES,
        aliases=("qwen",),
    ),
    Preset("deepseek", base_url="https://api.deepseek.com", key_names=("DEEPSEEK_API_KEY",), capabilities=_TEXT_ONLY),
    Preset("fireworks", base_url="https://api.fireworks.ai/inference/v1", key_names=("FIREWORKS_API_KEY",)),
    Preset(
        "gemini",
        "gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta",
        key_names=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        url_names=("GEMINI_BASE_URL",),
        capabilities=_OPEN_SCHEMAS,
        aliases=("google",),
    ),
    Preset("groq", base_url="https://api.groq.com/openai/v1", key_names=("GROQ_API_KEY",), capabilities=_WITH_IMAGES),
    Preset("huggingface", base_url="https://router.huggingface.co/v1", key_names=("HF_TOKEN",), capabilities=_WITH_IMAGES),
    Preset("mistral", base_url="https://api.mistral.ai/v1", key_names=("MISTRAL_API_KEY",)),
    Preset(
        "moonshot",
        base_url="https://api.moonshot.ai/v1",
        key_names=("MOONSHOT_API_KEY",),
        capabilities=_WITH_IMAGES,
        aliases=("moonshotai",),
    ),
    Preset("nvidia", base_url="https://integrate.api.nvidia.com/v1", key_names=("NVIDIA_API_KEY",), capabilities=_TEXT_ONLY),
    Preset("ollama-cloud", base_url="https://ollama.com/v1", key_names=("OLLAMA_API_KEY",), capabilities=_WITH_IMAGES),
    Preset("openrouter", base_url="https://openrouter.ai/api/v1", key_names=("OPENROUTER_API_KEY",), capabilities=_WITH_IMAGES),
    Preset("sambanova", base_url="https://api.sambanova.ai/v1", key_names=("SAMBANOVA_API_KEY",), capabilities=_WITH_IMAGES),
    Preset(
        "together",
        base_url="https://api.together.ai/v1",
        key_names=("TOGETHER_API_KEY",),
        capabilities=_WITH_IMAGES,
        aliases=("togetherai",),
    ),
    Preset("xai", base_url="https://api.x.ai/v1", key_names=("XAI_API_KEY",), aliases=("x-ai",)),
    Preset("zai", base_url="https://api.z.ai/api/paas/v4", key_names=("ZAI_API_KEY",), capabilities=_WITH_IMAGES, aliases=("z-ai",)),
    Preset("llamacpp", base_url="http://localhost:8080/v1", needs_key=False, capabilities=_OPEN_SCHEMAS, aliases=("llama.cpp", "llama-cpp")),
    Preset("lmstudio", base_url="http://localhost:1234/v1", needs_key=False, capabilities=_OPEN_SCHEMAS, aliases=("lm-studio",)),
    Preset("ollama", base_url="http://localhost:11434/v1", needs_key=False, capabilities=_OPEN_SCHEMAS),
    Preset("vllm", base_url="http://localhost:8000/v1", key_names=("VLLM_API_KEY",), needs_key=False, capabilities=_OPEN_SCHEMAS),
    Preset("local", "local", needs_key=False, capabilities=Capabilities(images=False, strict_schemas=False)),
)
"""All of them. "local" is the embedded model, or any GGUF file behind its slash."""


def capability_table(presets: Iterable[Preset] = PRESETS) -> str:
    """The services and what they can do, as a table in Markdown."""
    head = ("service", "URL", "key", "tools", "structured output", "images", "prefill", "usage")
    rows = [head, ("---",) * len(head), *[_row(preset) for preset in presets]]
    return "\n".join(["| " + " | ".join(row) + " |" for row in rows])


def _row(preset: Preset) -> tuple[str, ...]:
    can = preset.capabilities
    flags = (can.tools, can.structured_output, can.images, can.prefill, can.reports_usage)
    url = f"`{preset.base_url}`" if preset.base_url else "this process" if preset.family == "local" else "your own"
    key = ", ".join([f"`{name}`" for name in preset.key_names]) + ("" if preset.needs_key else ", if set" if preset.key_names else "none")
    return (", ".join([f"`{name}`" for name in (preset.name, *preset.aliases)]), url, key, *["yes" if flag else "no" for flag in flags])
