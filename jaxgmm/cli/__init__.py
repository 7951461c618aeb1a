"""The `jaxgmm` command. It needs the extra `cli`, and says so where that is missing."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

# What stops a command before it begins to work: bad input, a bad option, a missing extra.
BAD_INPUT = 2
FIT_FAILED = 3
UNEXPECTED = 1
INTERRUPTED = 130
# As if SIGPIPE had ended it, which ends other tools.
PIPE_CLOSED = 141

_EXTRA = {
    "typer": ("the command line needs typer and rich", "cli"),
    "rich": ("the command line needs typer and rich", "cli"),
    "matplotlib": ("pictures need matplotlib", "plot"),
    "pyarrow": ("Parquet files need pyarrow", "parquet"),
    "PIL": ("the demo's picture needs pillow", "plot"),
}


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """One line on what to install, if the module that was not found belongs to an extra."""
    needs = _EXTRA.get((error.name or "").split(".")[0])
    return needs and f"{needs[0]}: pip install 'jaxgmm[{needs[1]}]'"


def main() -> NoReturn:
    """Runs the command line and exits: 0 done, 2 bad input, 3 the fit failed, 130 interrupted, 141 pipe closed."""
    # pyarrow's own allocator sets a GiB of addresses aside, which the rows may need where a process has only so many.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        from jaxgmm.cli.app import app

        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            _leave_at_once()
        raise
    except KeyboardInterrupt:
        print("jaxgmm: interrupted", file=sys.stderr)
        _leave_at_once()
    except ModuleNotFoundError as error:
        advice = missing_extra(error)
        if advice is None:
            raise
        print(f"jaxgmm: {advice}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    sys.exit(0)


def _leave_at_once() -> NoReturn:
    """Exits without taking Python down: what the device was computing still runs, and would trip over the ruins."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)
