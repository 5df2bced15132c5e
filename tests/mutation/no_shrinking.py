"""A pytest plugin: the profile under which property tests meet a mutant. They are as repeatable as in CI, try half as much, and one
example that fails is enough."""

from __future__ import annotations

from hypothesis import Phase, settings

settings.register_profile("mutation", settings.get_profile("ci"), phases=[Phase.explicit, Phase.generate], max_examples=50)
