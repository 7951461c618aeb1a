"""Docstrings in Google's style as reStructuredText: names that stand together stay together."""

from __future__ import annotations

from typing import Any

_TITLES = {"Args": "Parameters", "Attributes": "Attributes", "Returns": "Returns", "Raises": "Raises"}
_TITLES |= {"Example": "Example"}
_LISTS = ("Args", "Attributes", "Raises")


def to_rst(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Sphinx's `autodoc-process-docstring`: rewrites `lines` in place."""
    out: list[str] = []
    section = ""
    for line in lines:
        head, indented = line.removesuffix(":"), line.startswith("    ")
        if line.endswith(":") and head in _TITLES:
            section = head
            out += [f".. rubric:: {_TITLES[head]}", "", *(["::", ""] if head == "Example" else [])]
        elif line.strip() and not indented:
            section = ""
            out.append(line)
        elif section in _LISTS and line[4:5].strip():
            names, _, text = line.strip().partition(": ")
            out += ["", f"``{names}``", f"    {text}"]
        else:
            out.append(line[4:] if section and section != "Example" else line)
    lines[:] = out
