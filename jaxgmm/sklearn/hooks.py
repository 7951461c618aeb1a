"""scikit-learn's private methods, for code that calls them. A subclass that overrides one is told: nothing calls it."""

from __future__ import annotations

from typing import Any

import numpy as np

# By its class, as programs put ours in the place of `sklearn.mixture.GaussianMixture`.
from sklearn.mixture import GaussianMixture as Theirs

from jaxgmm.sklearn.parameters import checked_starts, mixture_of

#: what scikit-learn's answers about rows are made of
DENSITY = ("_estimate_log_prob", "_estimate_log_weights", "_estimate_weighted_log_prob", "_estimate_log_prob_resp")
#: what its fit is made of, beside that
STEPS: tuple[str, ...] = ("_check_parameters", "_initialize_parameters", "_initialize", "_e_step", "_m_step")
STEPS += ("_compute_lower_bound", "_get_parameters", "_set_parameters")


class PrivateMethods:
    """Methods that read and set `weights_`, `means_`, `covariances_` and `precisions_cholesky_` as scikit-learn's do.

    They are there to be called. Neither `fit` nor `predict` and its kin call them, and a subclass that overrides one
    of them is told so.
    """

    weights_: Any
    means_: Any
    precisions_cholesky_: Any
    covariance_type: str
    n_components: int
    weights_init: Any
    means_init: Any
    precisions_init: Any
    reg_covar: Any
    prior: Any
    fixed: Any

    # ---- densities ------------------------------------------------------------------------------------------

    def _estimate_log_prob(self, X: Any, xp: Any = None) -> Any:
        """log p(x_n | k) in nats, (n, k)."""
        means = np.asarray(self.means_)
        # Weights of 1, whose logarithm is 0, leave densities as they are.
        weights = np.ones(len(means), means.dtype)
        return mixture_of(weights, means, self.precisions_cholesky_, self.covariance_type).joint_log_prob(X)

    def _estimate_log_weights(self, xp: Any = None) -> Any:
        """log π_k, (k,); −∞ without a warning where a component is empty."""
        with np.errstate(divide="ignore"):
            return np.log(self.weights_)

    def _estimate_weighted_log_prob(self, X: Any, xp: Any = None) -> Any:
        """log π_k p(x_n | k) in nats, (n, k)."""
        return self._estimate_log_prob(X) + self._estimate_log_weights()

    def _estimate_log_prob_resp(self, X: Any, xp: Any = None) -> Any:
        """log p(x_n), (n,), and the responsibilities' logarithms, (n, k)."""
        return Theirs._estimate_log_prob_resp(self, X)

    # ---- steps of EM ----------------------------------------------------------------------------------------

    def _check_parameters(self, X: Any, xp: Any = None) -> None:
        """Makes arrays of `weights_init`, `means_init` and `precisions_init`, or raises ValueError."""
        # scikit-learn's own fails where it is not told the array namespace.
        self.weights_init, self.means_init, self.precisions_init = checked_starts(
            self.weights_init,
            self.means_init,
            self.precisions_init,
            self.covariance_type,
            self.n_components,
            X.shape[1],
        )

    def _initialize_parameters(self, X: Any, random_state: Any, xp: Any = None) -> None:
        """Sets the parameters that scikit-learn starts from, drawing from the generator `random_state`."""
        if all(part is not None for part in (self.weights_init, self.means_init, self.precisions_init)):
            self._initialize(X, None)
        else:
            Theirs.__base__._initialize_parameters(self, X, random_state)

    def _initialize(self, X: Any, resp: Any, xp: Any = None) -> None:
        """Sets the parameters from responsibilities, (n, k), and from what of a start is given."""
        self._refuse_what_scikit_learn_lacks()
        Theirs._initialize(self, X, resp)

    def _e_step(self, X: Any, xp: Any = None) -> Any:
        """Mean of log p(x_n), and the responsibilities' logarithms, (n, k)."""
        return Theirs._e_step(self, X)

    def _m_step(self, X: Any, log_resp: Any, xp: Any = None) -> None:
        """Sets the parameters that are most likely with these responsibilities, given by their logarithms, (n, k)."""
        self._refuse_what_scikit_learn_lacks()
        Theirs._m_step(self, X, log_resp)

    def _compute_lower_bound(self, log_resp: Any, log_prob_norm: Any) -> Any:
        return Theirs._compute_lower_bound(self, log_resp, log_prob_norm)

    def _get_parameters(self) -> Any:
        return Theirs._get_parameters(self)

    def _set_parameters(self, params: Any, xp: Any = None) -> None:
        """Sets the four arrays that `_get_parameters` returns, and `precisions_`."""
        Theirs._set_parameters(self, params)

    def _refuse_what_scikit_learn_lacks(self) -> None:
        if isinstance(self.reg_covar, str) or self.prior is not None or self.fixed is not None:
            raise ValueError(
                "scikit-learn's steps need a number as reg_covar, and neither prior nor fixed, got "
                f"reg_covar={self.reg_covar!r}, prior={self.prior!r}, fixed={self.fixed!r}"
            )

    # ---- what a loop of one's own prints, as far as `verbose` asks for it ------------------------------------

    def _print_verbose_msg_init_beg(self, n_init: int) -> None:
        Theirs._print_verbose_msg_init_beg(self, n_init)

    def _print_verbose_msg_iter_end(self, n_iter: int, diff_ll: float) -> None:
        Theirs._print_verbose_msg_iter_end(self, n_iter, diff_ll)

    def _print_verbose_msg_init_end(self, lb: float, init_has_converged: bool) -> None:
        Theirs._print_verbose_msg_init_end(self, lb, init_has_converged)

    # ---- overrides ------------------------------------------------------------------------------------------

    def _refuse_overrides(self, names: tuple[str, ...]) -> None:
        """Refuses a subclass that overrides one of `names`: nothing here calls them, so its override would be ignored.

        Raises:
            TypeError: one of them is overridden.
        """
        mine = [name for name in names if getattr(getattr(self, name), "__func__", None) is not _OWN[name]]
        if mine:
            raise TypeError(
                f"{type(self).__name__} overrides {', '.join(mine)}, which jaxgmm's fit, predict and scores do not "
                "call: derive from sklearn.mixture.GaussianMixture, or use sample_weight, prior, fixed or means_init"
            )


_OWN = {name: vars(PrivateMethods)[name] for name in DENSITY + STEPS}
