"""`jaxgmm demo`."""

from __future__ import annotations

from pathlib import Path

from jaxgmm.cli import options
from jaxgmm.fit import progress


def demo_command(out: options.Folder = Path("jaxgmm-demo")) -> None:
    """Clusters the 273 280 pixel colours of a photograph: 128 starts by EM, the best few also by gradients.

    Takes about two minutes on two cores, and needs the extra plot.
    """
    from jaxgmm.demo import demo

    demo.run_demo(out, progress=progress.bar)
