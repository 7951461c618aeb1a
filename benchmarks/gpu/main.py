"""Whether jaxgmm is right on the device at hand, and how fast: one run, a few minutes, nothing to install.

Results are written after every case, as JSON and as a table. The exit code is 1 if something was wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

_BEGUN = time.monotonic()
#: of the time there is, when speed is measured, too
_SHARE_OF_CORRECTNESS = 0.6


def main() -> int:
    options = argparse.ArgumentParser(prog="scripts/gpu", description=__doc__)
    options.add_argument("--quick", action="store_true", help="small shapes: a check that it runs")
    options.add_argument("--only", choices=("correctness", "speed"), help="one of the two parts")
    options.add_argument("--seconds", type=float, default=480.0, help="no case begins later (default: %(default)g)")
    out = Path(os.environ.get("OUT") or "build/gpu")
    options.add_argument("--out", type=Path, default=out, help="folder for the results (default: $OUT, or build/gpu)")
    chosen = options.parse_args()

    from gpu import correctness, report, speed

    record = report.where(quick=chosen.quick, only=chosen.only, seconds=chosen.seconds)
    print(f"{record['device']} ({record['platform']}), jax {record['versions'].get('jax')}", flush=True)
    found = report.Report(chosen.out, record, _BEGUN, _BEGUN + chosen.seconds)
    if chosen.only != "speed":
        share = 1.0 if chosen.only else _SHARE_OF_CORRECTNESS
        found.deadline = _BEGUN + share * chosen.seconds
        correctness.run(found, chosen.quick)
    if chosen.only != "correctness":
        found.deadline = _BEGUN + chosen.seconds
        speed.run(found, chosen.quick)
    found.write(finished=True)
    print(f"written: {chosen.out / 'gpu'}.json and .md")
    if found.wrong:
        print(f"WRONG: {'; '.join(found.wrong)}", file=sys.stderr)
    return 1 if found.wrong else 0
