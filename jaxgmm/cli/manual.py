"""Help as a manual page has it: what a command does, examples, every option by what it is about."""

from __future__ import annotations

import inspect
import re
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperCommand

_WIDEST, _NARROWEST = 100, 40
_GROUPS = ("Arguments", "Rows", "Threshold", "Mixture", "Starts", "Iterations", "Computing", "Output", "Options")
_EXIT_CODES = """\
0    done
1    something nobody foresaw
2    bad input: an option, a file, or an extra that is not installed
3    the fit failed, or there was no room in memory
130  interrupted; a fit keeps the best so far
141  whoever read stdout had seen enough; files are written all the same"""


class Page(TyperCommand):
    """A command whose `--help` is a page of text, as wide as the terminal up to 100 columns.

    The first paragraph of its docstring says what it does; `epilog` has examples, a line each.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write(page(self, ctx))


def page(command: Any, ctx: Any) -> str:
    """The text of a command's page."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    params = [param for param in command.get_params(ctx) if not param.hidden]
    sections = [_heading("Usage") + "\n" + _indented(_usage(command, ctx, params))]
    sections += [_filled(paragraph) for paragraph in paragraphs]
    if command.epilog:
        lines = "\n".join(_example(line) for line in inspect.cleandoc(command.epilog).splitlines())
        sections.append(f"{_heading('Examples')}\n{lines}")
    groups: dict[str, list[Any]] = {name: [] for name in _GROUPS}
    for param in params:
        default = "Arguments" if _is_argument(param) else "Options"
        groups[getattr(param, "rich_help_panel", None) or default].append(param)
    if subcommands := getattr(command, "commands", {}):
        sections.append("\n".join([_heading("Commands"), *_listed(subcommands)]))
    sections += ["\n".join([_heading(name), *map(_entry, group)]) for name, group in groups.items() if group]
    sections.append(f"{_heading('Exit codes')}\n{textwrap.indent(_EXIT_CODES, '  ')}")
    return "\n\n".join(sections) + "\n"


def _usage(command: Any, ctx: Any, params: list[Any]) -> str:
    needed = [_signature(param) for param in params if param.required]
    rest = ["COMMAND [OPTIONS]"] if getattr(command, "commands", None) else ["[OPTIONS]"]
    return " ".join([ctx.command_path, *needed, *rest])


def _signature(param: Any) -> str:
    """As it stands on the command line: its shortest name and its value."""
    if _is_argument(param):
        return param.metavar
    name = min(param.opts, key=len)
    return name if param.is_flag else f"{name} {param.metavar}"


def _entry(param: Any) -> str:
    """An argument or option, and what it means."""
    names = param.metavar if _is_argument(param) else ", ".join(sorted(param.opts, key=len))
    value = "" if _is_argument(param) or param.is_flag or param.metavar is None else f" {param.metavar}"
    return f"  {typer.style(names, bold=True)}{value}\n{_filled((param.help or '') + _default(param), '      ')}"


def _default(param: Any) -> str:
    if param.required or getattr(param, "is_flag", False) or _is_argument(param):
        return ""
    value = param.show_default if isinstance(param.show_default, str) else param.default
    return (
        ""
        if value is None or value is False
        else f" Default: {value:g}."
        if isinstance(value, float)
        else f" Default: {value}."
    )


def _listed(commands: Any) -> Iterator[str]:
    width = max(map(len, commands))
    for name, command in commands.items():
        first = inspect.cleandoc(command.help or "").split("\n\n")[0]
        text = _filled(first, " " * (width + 4)).lstrip()
        yield f"  {typer.style(name, bold=True)}{' ' * (width + 2 - len(name))}{text}"


def _example(line: str) -> str:
    """An example as it is typed; if longer than the page it goes on after a backslash, before an option."""
    lines = [""]
    for word in re.split(r" (?=-)", line):
        if lines[-1] and len(lines[-1]) + len(word) > _width() - 8:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "  " + " \\\n      ".join(lines)


def _is_argument(param: Any) -> bool:
    return param.param_type_name == "argument"


def _heading(text: str) -> str:
    return typer.style(text, bold=True)


def _indented(text: str) -> str:
    return textwrap.fill(text, _width(), initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False)


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(
        " ".join(text.split()), _width(), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def _width() -> int:
    return max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns))
