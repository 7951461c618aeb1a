"""Every failure of a command: one line on stderr, and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import warnings
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

import jaxgmm
from jaxgmm.cli import BAD_INPUT, FIT_FAILED, INTERRUPTED, PIPE_CLOSED, UNEXPECTED, missing_extra
from jaxgmm.cli.data import DataError
from jaxgmm.cli.manual import page
from jaxgmm.inputs.errors import ArgumentError
from jaxgmm.inputs.wording import said

# What the command line calls the arguments of the library, and what a library calls arguments.
_OPTIONS = {
    "n_components": "--components (-k)", "n_init": "--restarts", "covariance_type": "--covariance",
    "reg_covar": "--reg-covar", "max_iter": "--max-iter", "learning_rate": "--learning-rate",
    "max_seconds": "--max-seconds", "on_degenerate": "--on-degenerate", "covariance_types": "--types",
    "sample_weight": "--weights", "on_block": "Ctrl-C", "init": "--init", "tol": "--tol", "kernel": "--kernel",
    "engine": "--engine", "cache": "--cache", "devices": "--devices", "distributed": "--distributed",
    "dtype": "--dtype", "driver": "--driver", "prior": "--prior", "stopping": "--stopping", "key": "--seed",
    "criterion": "--criterion", "labels": "--labels", "search": "--search", "checkpoint": "--checkpoint",
    "x": "the data", "arguments": "options",
}  # fmt: skip
_UNQUOTED = str.maketrans("", "", "'\"")
_MEMORY = (
    "out of memory{}: lower --restarts or -k, use --dtype float32 or --covariance diag, or fit to fewer of the rows"
)


def named(argument: str, value: str | None) -> str:
    """An argument of the library as the command line has it, with the value it is given, if any."""
    option = _OPTIONS.get(argument)
    if option is None:
        return argument if value is None else f"{argument}={value}"
    return option if value is None else f"{option.split(' ')[0]} {value.translate(_UNQUOTED)}"


def in_options(message: object) -> str:
    """An error, a warning or a text of the library in the words of the command line: `n_init` is --restarts there."""
    if isinstance(message, ArgumentError):
        return message.said(named)
    if isinstance(message, BaseException) and len(message.args) == 1:
        message = message.args[0]
    return said(message, named)


def complain(message: object) -> None:
    """One line on stderr, whatever the message."""
    with contextlib.suppress(BrokenPipeError):
        print(f"jaxgmm: {' '.join(str(message).split())}", file=sys.stderr)


def diagnose(error: BaseException) -> tuple[object, int]:
    """What to say of a failure, and the exit code for it."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; nothing was written", INTERRUPTED
    if isinstance(error, jaxgmm.FitError | jaxgmm.ForkError | jaxgmm.PeerError):
        return in_options(error), FIT_FAILED
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        # The library's own says what to change; Python's, NumPy's and XLA's say how much was wanted, if anything.
        if (message := str(error)) and not _wanted(message) and "RESOURCE_EXHAUSTED" not in message:
            return in_options(error), FIT_FAILED
        return _MEMORY.format(_wanted(message)), FIT_FAILED
    if isinstance(error, ModuleNotFoundError) and (advice := missing_extra(error)):
        return advice, BAD_INPUT
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else error, BAD_INPUT
    if isinstance(error, DataError | jaxgmm.ModelFileError):
        return error, BAD_INPUT
    if isinstance(error, ValueError | TypeError):
        return in_options(error), BAD_INPUT
    return f"unexpected {type(error).__name__}: {error}", UNEXPECTED


def _wanted(message: str) -> str:
    """How much memory was asked for, if the error says so."""
    found = re.search(r"allocat\w* (\d[\d.]*) ?([KMGTPE]i?B|bytes)", message)
    return f" ({found[1]} {found[2]} wanted)" if found else ""


def _is_typers(error: BaseException) -> bool:
    """Whether typer itself deals with it: exits, and complaints about options.

    Complaints come from a click that may be typer's private copy, so they are recognised by a method they have.
    """
    return isinstance(error, typer.Exit | typer.Abort) or hasattr(error, "format_message")


class Commands(TyperGroup):
    """Commands whose every failure is one line and a code."""

    def main(self, args: Any = None, *rest: Any, standalone_mode: bool = True, **extra: Any) -> NoReturn:
        args = list(sys.argv[1:] if args is None else args) or ["--help"]
        extra["prog_name"] = "jaxgmm"
        try:
            code = super().main(args, standalone_mode=False, **extra)
            sys.stdout.flush()
        except BrokenPipeError:
            # What stdout still holds goes to the null device, or Python would complain of it at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = PIPE_CLOSED
        except SystemExit:  # typer's only one: the reader of stdout has seen enough
            code = PIPE_CLOSED
        except typer.Abort:
            code = INTERRUPTED
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise
            complain(error.format_message())
            code = BAD_INPUT
        sys.exit(code if isinstance(code, int) else 0)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(page(self, ctx))

    def invoke(self, ctx: Any) -> Any:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: complain(f"warning: {in_options(message)}")
            try:
                return super().invoke(ctx)
            except (Exception, KeyboardInterrupt) as error:
                # The reader of stdout may have seen enough: typer leaves quietly then.
                if _is_typers(error) or (isinstance(error, OSError) and error.errno == errno.EPIPE):
                    raise
                message, code = diagnose(error)
                complain(message)
                raise typer.Exit(code) from None
