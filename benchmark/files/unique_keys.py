"""YAML in which no key is given twice."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def loader() -> Any:
    """Return a YAML loader that rejects duplicate keys, of which PyYAML silently uses the last.

    A scalar that is none of its kind, such as the date 2020-13-45, is a `yaml.MarkedYAMLError` too.
    """
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

        def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except ValueError as error:
                raise yaml.constructor.ConstructorError(problem=str(error), problem_mark=node.start_mark) from error

    return Loader
