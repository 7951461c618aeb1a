"""Every failure of a command: one line on stderr, and an exit code."""

from __future__ import annotations

import errno
import sys
import warnings
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

import jaxgmm
from jaxgmm.cli import BAD_INPUT, FIT_FAILED, INTERRUPTED, UNEXPECTED, missing_extra


def complain(message: object) -> None:
    """One line on stderr, whatever the message."""
    print(f"jaxgmm: {' '.join(str(message).split())}", file=sys.stderr)


def diagnose(error: BaseException) -> tuple[object, int]:
    """What to say of a failure, and the exit code for it."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; nothing was written", INTERRUPTED
    if isinstance(error, jaxgmm.FitError):
        return error, FIT_FAILED
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return "not enough memory: use fewer restarts, or --dtype float32", FIT_FAILED
    if isinstance(error, ModuleNotFoundError) and (advice := missing_extra(error)):
        return advice, BAD_INPUT
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else error, BAD_INPUT
    if isinstance(error, ValueError | TypeError):
        return error, BAD_INPUT
    return f"unexpected {type(error).__name__}: {error}", UNEXPECTED


def _is_typers(error: BaseException) -> bool:
    """Whether typer itself deals with it: exits, and complaints about options.

    Those come from a click that may be typer's private copy, so they are known by what they can do.
    """
    return isinstance(error, typer.Exit | typer.Abort) or hasattr(error, "format_message")


class Commands(TyperGroup):
    """Commands whose every failure is one line and a code."""

    def main(self, args: Any = None, *rest: Any, standalone_mode: bool = True, **extra: Any) -> NoReturn:
        args = list(sys.argv[1:] if args is None else args) or ["--help"]
        extra["prog_name"] = "jaxgmm"
        try:
            code = super().main(args, standalone_mode=False, **extra)
        except typer.Abort:
            code = INTERRUPTED
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise
            complain(error.format_message())
            code = BAD_INPUT
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: complain(f"warning: {message}")
            try:
                return super().invoke(ctx)
            except (Exception, KeyboardInterrupt) as error:
                # The reader of stdout may have seen enough: typer leaves quietly then.
                if _is_typers(error) or (isinstance(error, OSError) and error.errno == errno.EPIPE):
                    raise
                message, code = diagnose(error)
                complain(message)
                raise typer.Exit(code) from None
