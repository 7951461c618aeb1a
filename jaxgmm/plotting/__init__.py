"""Pictures of fits, with matplotlib (extra `plot`). Every function draws on `ax`, or on new axes, and returns them.

Colours are ordered by lightness, and whatever colour tells is told a second time by a label, a width or a dash, so
that the pictures survive a grey printer.
"""

try:
    from jaxgmm.plotting.density import plot_density
    from jaxgmm.plotting.mixture import component_colors, plot_mixture
    from jaxgmm.plotting.race import plot_race
    from jaxgmm.plotting.restarts import plot_convergence, plot_restarts
    from jaxgmm.plotting.selection import plot_selection
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] != "matplotlib":
        raise
    raise ModuleNotFoundError("jaxgmm.plotting needs matplotlib: pip install 'jaxgmm[plot]'", name=error.name) from None

__all__ = ["component_colors", "plot_convergence", "plot_density", "plot_mixture", "plot_race", "plot_restarts"]
__all__ += ["plot_selection"]
