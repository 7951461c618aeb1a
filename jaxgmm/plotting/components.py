"""The shapes of components in one or two features: Gaussians from their covariances, others from their densities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from matplotlib.patches import Ellipse

from jaxgmm.mixture import Mixture

# Rows drawn from each component that is not Gaussian, and points of a grid per axis.
_DRAWS = 20_000
_GRID = 160
# Shares that lie outside of what is drawn at the edges of a grid.
_EDGE = 5e-4
# A factor for the least of numbers that are divided by.
_TINY = 1e-300


@dataclass(frozen=True)
class Gaussians:
    """Gaussian components in some features: `weights` (k,), `means` (k, s), `covariances` (k, s, s)."""

    weights: Any
    means: Any
    covariances: Any

    @classmethod
    def of(cls, mixture: Mixture, shown: list[int]) -> Self:
        """Those of a single mixture, in the features `shown`."""
        means = np.asarray(mixture.means, np.float64)[:, shown]
        covariances = mixture.covariance_matrices()[:, shown][:, :, shown]
        return cls(np.asarray(mixture.weights, np.float64), means, covariances)

    @property
    def _sigma(self) -> Any:
        return np.sqrt(np.maximum(self.covariances[:, 0, 0], _TINY))

    def span(self) -> tuple[float, float]:
        """What of the line should be seen."""
        return np.min(self.means[:, 0] - 3 * self._sigma), np.max(self.means[:, 0] + 3 * self._sigma)

    def density(self, grid: Any) -> Any:
        """Densities at the points of `grid`, (m,), of the line: (k, m)."""
        z = (grid - self.means) / self._sigma[:, None]
        return np.exp(-0.5 * z**2) / (self._sigma[:, None] * math.sqrt(2 * math.pi))

    def interval(self, k: int, sigmas: int) -> Any:
        """Where on the line component `k` lies, to so many standard deviations: (2,)."""
        return self.means[k, 0] + sigmas * self._sigma[k] * np.array([-1, 1])

    def outline(self, ax: Any, k: int, sigmas: int, *, color: Any, width: float, style: Any) -> None:
        """Draws where in the plane component `k` lies, to so many standard deviations."""
        lengths, axes = np.linalg.eigh(self.covariances[k])
        angle = math.degrees(math.atan2(axes[1, 1], axes[0, 1]))
        height, length = 2 * sigmas * np.sqrt(np.maximum(lengths, 0))
        ax.add_patch(
            Ellipse(self.means[k], length, height, angle=angle, fill=False, edgecolor=color, linewidth=width,
                    linestyle=style, zorder=3)
        )  # fmt: skip


@dataclass(frozen=True)
class Densities:
    """Components of any densities in all of their one or two features.

    Attributes:
        weights, means: (k,) and (k, s).
        single: each component as a mixture of its own.
        drawn: rows from each, (k, n, s), the same every time.
    """

    weights: Any
    means: Any
    single: tuple[Mixture, ...]
    drawn: Any

    @classmethod
    def of(cls, mixture: Mixture, shown: list[int]) -> Self:
        """Those of a single mixture, whose features `shown` are, in some order."""
        single = tuple(mixture.take([k]) for k in range(mixture.n_components))
        drawn = np.stack([np.asarray(part.sample(0, _DRAWS)[0], np.float64)[:, shown] for part in single])
        return cls(
            np.asarray(mixture.weights, np.float64), np.asarray(mixture.means, np.float64)[:, shown], single, drawn
        )

    def span(self) -> tuple[float, float]:
        low, high = np.quantile(self.drawn[..., 0], (_EDGE, 1 - _EDGE), axis=1)
        support = self.single[0].components.traits.support
        return max(np.min(low - (high - low) / 20), support.low), min(np.max(high), support.high)

    def density(self, grid: Any) -> Any:
        return np.exp(np.stack([part.score_samples(grid[:, None]) for part in self.single]))

    def interval(self, k: int, sigmas: int) -> Any:
        outside = math.erfc(sigmas / math.sqrt(2)) / 2
        return np.quantile(self.drawn[k, :, 0], (outside, 1 - outside))

    def outline(self, ax: Any, k: int, sigmas: int, *, color: Any, width: float, style: Any) -> None:
        rows, support = self.drawn[k], self.single[k].components.traits.support
        low, high = np.quantile(rows, (_EDGE, 1 - _EDGE), axis=0)
        margin = (high - low) / 20
        lines = np.linspace(np.maximum(low - margin, support.low), np.minimum(high + margin, support.high), _GRID).T
        grid = np.stack(np.meshgrid(*lines), axis=-1).reshape(-1, 2)
        height = self.single[k].score_samples(grid).reshape(_GRID, _GRID)
        level = np.quantile(self.single[k].score_samples(rows), math.exp(-(sigmas**2) / 2))
        ax.contour(*lines, height, [level], colors=[color], linewidths=width, linestyles=[style], zorder=3)
