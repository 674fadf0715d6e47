"""YAML in which no key is given twice."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def loader() -> Any:
    """Return a YAML loader that rejects duplicate keys, of which PyYAML silently uses the last."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
            seen = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue  # which the loader rejects
                if key.value in seen:
                    problem = f"{key.value} is given twice"
                    raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    return Loader
