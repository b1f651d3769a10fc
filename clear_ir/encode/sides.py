"""Put modules behind an encoder that differ by side: queries pass through some, passages through others."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router
    from torch import nn


def add_to_sides(
    model: SentenceTransformer, query_modules: Sequence[nn.Module], passage_modules: Sequence[nn.Module]
) -> SentenceTransformer:
    """Put modules behind an encoder.

    If both sides get the same modules, they simply follow the encoder's. Else a `Router` does, with the routes `query`
    and `document`. The transformer before it is shared: there is no second copy of it. If the encoder ends with such a
    router already, its routes get longer.

    Args:
        model: The encoder. It is changed; its prompts and settings stay.
        query_modules: What follows for queries. May be empty.
        passage_modules: What follows for passages. May be empty. A module that stands on both sides is saved once.

    Returns:
        The encoder.
    """
    from sentence_transformers.base.modules import Router

    name, last = list(model.named_children())[-1]
    if _same(query_modules, passage_modules):
        for module in query_modules:
            model.add_module(_free_name(model), module)
        return model
    if isinstance(last, Router) and _has_plain_sides(last):
        for side, modules in (("query", query_modules), ("document", passage_modules)):
            for module in modules:
                last.sub_modules[side].append(module)  # type: ignore[operator]
        return model
    routes: dict[str, list[Any]] = {"query": [*query_modules], "document": [*passage_modules]}
    if not query_modules or not passage_modules:
        # A router cannot have an empty route. So the encoder's last module, as a rule `Normalize`, stands in both:
        # vectors of a side that gets nothing stay the same, bit for bit.
        routes = {route: [last, *modules] for route, modules in routes.items()}
        delattr(model, name)
    model.add_module(_free_name(model), Router(routes, default_route="document"))
    return model


def ends_normalized(model: SentenceTransformer) -> bool:
    """Whether an encoder's own modules scale its vectors to length 1, on both sides."""
    from sentence_transformers.base.modules import Normalize, Router

    last = list(model.children())[-1]
    routes = last.sub_modules.values() if isinstance(last, Router) else [model]
    return all(isinstance(list(route.children())[-1], Normalize) for route in routes)


def _same(one: Sequence[nn.Module], other: Sequence[nn.Module]) -> bool:
    return [id(module) for module in one] == [id(module) for module in other]


def _has_plain_sides(router: Router) -> bool:
    """Whether a router has one route for each side and nothing else decides."""
    return set(router.sub_modules) == {"query", "document"} and not router.route_mappings


def _free_name(model: SentenceTransformer) -> str:
    """The name of one more module: its number, as sentence-transformers names them."""
    taken = {name for name, _ in model.named_children()}
    return next(name for name in map(str, itertools.count(len(taken))) if name not in taken)
