"""Texts that mention arguments, so that a command line can say them again with the names of its options."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable
from typing import Any

#: how an argument is spoken of: its name and, where a value is assigned to it, that value as Python writes it
Names = Callable[[str, str | None], str]


class InPython(str):
    """Words that help only those who hold the library's objects; `Wording.said` leaves them out."""


class Wording(str):
    """A text that knows which of its words are names of arguments.

    As a string it names them as Python does. `said` names them in another way.

    Args:
        template: as for `str.format`. A field that has no value names an argument: `{tol}`. With a format it assigns
            a value to that argument: `{dtype:"float64"}`.
        values: of the other fields. A value may be a `Wording` itself.

    Example:
        >>> text = Wording("raise {max_iter}, use {dtype:'float64'}")
        >>> str(text)
        "raise max_iter, use dtype='float64'"
        >>> text.said(lambda name, value: f"--{name}" if value is None else f"--{name} {value}")
        "raise --max_iter, use --dtype 'float64'"
    """

    template: str
    values: dict[str, Any]

    def __new__(cls, template: str, **values: Any) -> Wording:
        self = super().__new__(cls, _Speaker(None).vformat(template, (), values))
        self.template, self.values = template, values
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (self.template, self.values)

    def said(self, names: Names) -> str:
        """The same text with `names` for arguments, and without what is `InPython`."""
        return _Speaker(names).vformat(self.template, (), self.values)

    @classmethod
    def joined(cls, separator: str, texts: Iterable[str]) -> Wording:
        """As `str.join`, of texts that may mention arguments."""
        values = {f"part_{i}": text for i, text in enumerate(texts)}
        return cls(separator.join(f"{{{name}}}" for name in values), **values)


def said(text: object, names: Names) -> str:
    """`text` with `names` for the arguments it mentions; a text that does not know of any stays as it is."""
    return text.said(names) if isinstance(text, Wording) else str(text)


def _made(template: str, values: dict[str, Any]) -> Wording:
    return Wording(template, **values)


class _Argument(str):
    """The name of an argument."""


class _Speaker(string.Formatter):
    """Fills a template. `names` says how arguments are spoken of; None: as in Python."""

    def __init__(self, names: Names | None) -> None:
        self.names = names

    def get_value(self, key: int | str, args: Any, kwargs: Any) -> Any:
        return kwargs[key] if key in kwargs else _Argument(key)

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, _Argument):
            if self.names is not None:
                return self.names(value, format_spec or None)
            return f"{value}={format_spec}" if format_spec else value
        if self.names is not None and isinstance(value, InPython):
            return ""
        if self.names is not None and isinstance(value, Wording):
            return value.said(self.names)
        return super().format_field(value, format_spec)
