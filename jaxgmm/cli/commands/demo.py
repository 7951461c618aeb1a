"""`jaxgmm demo`."""

from __future__ import annotations

from pathlib import Path

from jaxgmm.cli import options
from jaxgmm.fit import progress


def demo_command(out: options.Folder = Path("jaxgmm-demo"), search: options.DemoSearch = "race") -> None:
    """Clusters the 273 280 pixel colours of a photograph: a race between 128 starts, and EM beside gradients.

    The first three starts are also run by plain EM and by Adam, and compared after equal passes over the rows.

    Takes less than a minute on two cores, with --search all about a minute more. Needs the extra plot.
    """
    from jaxgmm.demo import demo

    demo.run_demo(out, search=search, progress=progress.bar)
