"""Ctrl-C during a fit: the first asks it to end with the best so far, the second ends the program."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from jaxgmm.fit.progress import OnBlock, both


class Interruption:
    """Whether Ctrl-C has been pressed."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, *_: Any) -> None:
        """The signal's handler."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("jaxgmm: ending with the best so far; Ctrl-C again to end at once", file=sys.stderr)

    def watching(self, on_block: OnBlock | None) -> OnBlock | None:
        """`on_block`, which then ends the fit once Ctrl-C has been pressed."""

        return both(on_block, lambda _: self.asked)


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    """Within it Ctrl-C asks the fit to end. Other threads than the main one hear no signals: there nothing changes."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = signal.signal(signal.SIGINT, interruption)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, before)
