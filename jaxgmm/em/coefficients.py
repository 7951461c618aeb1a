"""Coefficients of shared features, for rows in whatever coordinates they come: about the components' own means first.

They are carried between coordinates in float64 where there is any: that is work for components and cells, never for
rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from jaxgmm.families import linalg as tri
from jaxgmm.families.namespace import namespace, set_at
from jaxgmm.families.shared_features import cancelling, shared_features
from jaxgmm.inputs import precision, trees
from jaxgmm.inputs.typing import Array, Float
from jaxgmm.mixture import Mixture
from jaxgmm.rows.frames import Frame


class Coefficients(NamedTuple):
    """θ and ψ of the components' features, about their own means where rows are mapped.

    Attributes:
        bare: the components, with means 0 where rows are mapped, in the widest dtype.
        means: where they are; None where rows are never mapped.
    """

    bare: Any
    theta: Float[Array, "*r k f"]
    psi: Float[Array, "*r g"]
    means: Float[Array, "*r k d"] | None


def coefficients(mixture: Mixture) -> Coefficients:
    wide, xp = precision.widest(mixture.weights.dtype), namespace(mixture.weights)
    if mixture.weights.dtype != wide:
        mixture = trees.map(lambda leaf: leaf.astype(wide), mixture)
    components: Any = mixture.components
    weights = mixture.weights
    mapped = components.traits.maps != "none"
    bare = replace(components, means=xp.zeros_like(components.means)) if mapped else components
    theta = shared_features(bare).natural()
    theta = set_at(theta, (..., 0), theta[..., 0] + xp.log(weights))
    return Coefficients(bare, theta, bare.common_natural(), components.means if mapped else None)


def _place(held: Coefficients, frame: Frame) -> tuple[Array, Array]:
    """Of a frame, for every component where its mean is seen from there, and R."""
    assert held.means is not None
    dtype = held.theta.dtype
    if frame.whitener is not None:
        return -held.means, tri.inverse(frame.whitener.astype(dtype))
    if frame.root is None or frame.centre is None:
        return -held.means, np.ones(held.means.shape[-1:], dtype)
    return frame.centre.astype(dtype) - held.means, frame.root.astype(dtype)


class Within(NamedTuple):
    """Coefficients for rows in a frame.

    Attributes:
        theta, psi: of the features of rows as the frame has them.
        kappa: κ of each component there.
        place: what `_place` says of the frame; None where rows are never mapped.
    """

    theta: Float[Array, "*r k f"]
    psi: Float[Array, "*r g"]
    kappa: Float[Array, "*r k"]
    place: tuple[Array, Array] | None


def seen_in(held: Coefficients, frame: Frame) -> Within:
    place = None if held.means is None else _place(held, frame)
    theta, psi = (held.theta, held.psi) if place is None else held.bare.seen_from(held.theta, held.psi, *place)
    return Within(theta, psi, cancelling(held.bare, theta, psi, frame.probe), place)
