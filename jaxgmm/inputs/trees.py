"""Trees of arrays, as `jax.tree` has them; and without JAX while nothing has loaded it.

Both know the same trees: tuples, lists, dicts, None, and the dataclasses that are registered here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from jaxgmm.inputs import lazily
from jaxgmm.inputs.lazily import jax

_Class = TypeVar("_Class", bound=type)

# Of every registered class: the fields that hold arrays, and the others.
_FIELDS: dict[type, tuple[tuple[str, ...], tuple[str, ...]]] = {}


def register_dataclass(cls: _Class) -> _Class:
    """`jax.tree_util.register_dataclass(cls)`, as soon as JAX is loaded."""
    static = tuple(field.name for field in fields(cls) if field.metadata.get("static"))
    _FIELDS[cls] = tuple(field.name for field in fields(cls) if field.name not in static), static
    lazily.when_loaded(lambda: jax.tree_util.register_dataclass(cls))
    return cls


def register_by_names(cls: type, names: tuple[str, ...]) -> None:
    """Registers a class whose arrays are the attributes `names`, and no other class's trees are equal to its own.

    `jax.tree_util.register_dataclass` would not do: JAX 0.10 holds the trees of two dataclasses for equal where their
    fields have the same names, and may run the program of one on the other.
    """
    _FIELDS[cls] = names, ()

    def values(node: Any) -> tuple[Any, ...]:
        return tuple(getattr(node, name) for name in names)

    def register() -> None:
        keys = tuple(jax.tree_util.GetAttrKey(name) for name in names)
        jax.tree_util.register_pytree_with_keys(
            cls,
            lambda node: (tuple(zip(keys, values(node), strict=True)), None),
            lambda _, leaves: cls(*leaves),
            lambda node: (values(node), None),
        )

    lazily.when_loaded(register)


def map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`jax.tree.map(function, tree, *rest)`."""
    if lazily.is_loaded():
        return jax.tree.map(function, tree, *rest)
    return _mapped_together(function, (tree, *rest)) if rest else _mapped(function, tree)


def leaves(tree: Any) -> list[Any]:
    """`jax.tree.leaves(tree)`."""
    if lazily.is_loaded():
        return jax.tree.leaves(tree)
    parts = _parts(tree)
    return [tree] if parts is None else [leaf for part in parts for leaf in leaves(part)]


def is_leaf(tree: Any) -> bool:
    """Whether `tree` is no tree but an object that nobody has registered."""
    return jax.tree_util.all_leaves([tree]) if lazily.is_loaded() else _parts(tree) is None


def _mapped(function: Callable[..., Any], node: Any) -> Any:
    if type(node) is np.ndarray:  # the most, and soonest told
        return function(node)
    parts = _parts(node)
    return function(node) if parts is None else _built(node, [_mapped(function, part) for part in parts])


def _mapped_together(function: Callable[..., Any], nodes: tuple[Any, ...]) -> Any:
    first = nodes[0]
    if type(first) is np.ndarray:
        return function(*nodes)
    parts = _parts(first)
    if parts is None:
        return function(*nodes)
    every = [parts]
    for other in nodes[1:]:
        of_other = _parts(other)
        if type(other) is not type(first) or of_other is None or len(of_other) != len(parts):
            raise ValueError(f"trees differ: {type(first).__name__} and {type(other).__name__}")
        every.append(of_other)
    return _built(first, [_mapped_together(function, each) for each in zip(*every, strict=True)])


def _parts(node: Any) -> Sequence[Any] | None:
    """What `node` consists of; None for a leaf."""
    known = _FIELDS.get(type(node))
    if known is not None:
        return [getattr(node, name) for name in known[0]]
    if node is None:
        return ()
    if isinstance(node, tuple | list):
        return node
    return [node[key] for key in sorted(node)] if isinstance(node, dict) else None


def _built(like: Any, parts: list[Any]) -> Any:
    known = _FIELDS.get(type(like))
    if known is not None:
        dynamic, static = known
        return type(like)(**dict(zip(dynamic, parts, strict=True)), **{name: getattr(like, name) for name in static})
    if like is None:
        return None
    if isinstance(like, dict):
        return dict(zip(sorted(like), parts, strict=True))
    return type(like)(*parts) if hasattr(like, "_fields") else type(like)(parts)
