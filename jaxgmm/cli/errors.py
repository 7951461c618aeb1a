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

# The library's names for what the command line calls otherwise. Those that may be other words too count only where
# a complaint begins, after a verb of advice, or before an equals sign.
_OPTIONS = {
    "n_components": "--components (-k)", "n_init": "--restarts", "covariance_type": "--covariance",
    "reg_covar": "--reg-covar", "max_iter": "--max-iter", "learning_rate": "--learning-rate",
    "max_seconds": "--max-seconds", "on_degenerate": "--on-degenerate", "covariance_types": "--types",
    "sample_weight": "--weights", "on_block": "Ctrl-C",
}  # fmt: skip
_WORDS = {"init": "--init", "tol": "--tol", "kernel": "--kernel", "dtype": "--dtype", "driver": "--driver",
          "prior": "--prior", "stopping": "--stopping", "key": "--seed", "criterion": "--criterion",
          "labels": "--labels", "search": "--search", "checkpoint": "--checkpoint", "x": "the data"}  # fmt: skip
_ANYWHERE = re.compile(rf"(?<![\w./-])({'|'.join(_OPTIONS)})(?![\w/-]|\.\w)(?:=(['\"]?)([\w-]+)\2)?")
_BARE = re.compile(rf"(^|\b(?:raise|lower|loosen|smaller|larger|that|than) )({'|'.join(_WORDS)})(?![\w/=-]|\.\w)")
_DATA = re.compile(r"\b(of|rescale) x(?![\w/=-]|\.\w)")
# What a checkpoint names one after the other, and what a user of the library may look at.
_DIFFERING = re.compile(r"(?<=with other )[\w, ]+(: give the same) arguments")
_SEE = re.compile(r"; see result\.\w+(\(\))?")
_ASSIGNED = re.compile(rf"(?<![\w./-])({'|'.join(_WORDS)})=(['\"]?)([\w-]+)\2")
_MEMORY = (
    "out of memory{}: lower --restarts or -k, use --dtype float32 or --covariance diag, or fit to fewer of the rows"
)


def in_options(message: object) -> str:
    """A complaint of the library in the words of the command line: `n_init` is --restarts there."""

    def option(found: re.Match[str]) -> str:
        name, _, value = found.groups()
        return _OPTIONS[name] if value is None else f"{_OPTIONS[name].split(' ')[0]} {value}"

    def differing(found: re.Match[str]) -> str:
        names = found[0].removesuffix(f"{found[1]} arguments").split(", ")
        return f"{', '.join({**_OPTIONS, **_WORDS}.get(name, name) for name in names)}{found[1]} options"

    text = _DIFFERING.sub(differing, _SEE.sub("", str(message)))
    text = _BARE.sub(lambda found: found[1] + _WORDS[found[2]], _DATA.sub(r"\1 the data", text))
    text = _ASSIGNED.sub(lambda found: f"{_WORDS[found[1]]} {found[3]}", text)
    return _ANYWHERE.sub(option, text)


def complain(message: object) -> None:
    """One line on stderr, whatever the message."""
    with contextlib.suppress(BrokenPipeError):
        print(f"jaxgmm: {' '.join(str(message).split())}", file=sys.stderr)


def diagnose(error: BaseException) -> tuple[object, int]:
    """What to say of a failure, and the exit code for it."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; nothing was written", INTERRUPTED
    if isinstance(error, jaxgmm.FitError | jaxgmm.ForkError):
        return in_options(error), FIT_FAILED
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        # The library's own says what to change; Python's, NumPy's and XLA's say how much was wanted, if anything.
        if (message := str(error)) and not _wanted(message) and "RESOURCE_EXHAUSTED" not in message:
            return in_options(message), FIT_FAILED
        return _MEMORY.format(_wanted(message)), FIT_FAILED
    if isinstance(error, ModuleNotFoundError) and (advice := missing_extra(error)):
        return advice, BAD_INPUT
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else error, BAD_INPUT
    if isinstance(error, DataError | jaxgmm.ModelFileError):
        return error, BAD_INPUT  # they name files, in which any word may occur
    if isinstance(error, ValueError | TypeError):
        return in_options(error), BAD_INPUT
    return f"unexpected {type(error).__name__}: {error}", UNEXPECTED


def _wanted(message: str) -> str:
    """How much memory was asked for, if the error says so."""
    found = re.search(r"allocat\w* (\d[\d.]*) ?([KMGTPE]i?B|bytes)", message)
    return f" ({found[1]} {found[2]} wanted)" if found else ""


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
            sys.stdout.flush()
        except BrokenPipeError:
            # What is still held back goes nowhere, or Python would complain of it at the very end.
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
