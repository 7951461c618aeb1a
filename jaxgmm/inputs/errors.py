"""The error for an argument that is refused: which one, what it wants and what it got."""

from __future__ import annotations

from typing import Any, Self

from jaxgmm.inputs.wording import Names, said


class ArgumentError(ValueError):
    """An argument that is refused before anything is computed.

    The message is "{argument} must {wants}, got {got}; {hint}". A comma in what is wanted makes it "; got".

    Attributes:
        argument: its name; of a part of one, as in `prior.mean` or `x[3]`, the name of that part.
        wants: what it must do or be, in words that go on after "must".
        got: what it got instead, in words; None where there is nothing to tell.
        hint: what may be done about it; empty where that is plain.

    Example:
        >>> try:
        ...     jaxgmm.fit(0, x, 3, tol=-1)
        ... except jaxgmm.ArgumentError as error:
        ...     print(error.argument, error.got)
        tol -1
    """

    def __init__(self, argument: str, wants: str, got: str | None = None, hint: str = "") -> None:
        self.argument, self.wants, self.got, self.hint = argument, wants, got, hint
        super().__init__(f"{argument} {self.complaint()}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.argument, self.wants, self.got, self.hint)

    def complaint(self, names: Names | None = None) -> str:
        """The message after the argument's name; `names` says how to speak of other arguments."""
        wants, got, hint = (str(part) if names is None else said(part, names) for part in self._parts())
        return f"must {wants}{got and f'{_pause(wants)} got {got}'}{hint and f'; {hint}'}"

    def said(self, names: Names) -> str:
        """The message with `names` for this and other arguments."""
        return f"{names(self.argument, None)} {self.complaint(names)}"

    def of(self, argument: str) -> Self:
        """The same complaint about what is called `argument`."""
        return type(self)(argument, self.wants, self.got, self.hint)

    def _parts(self) -> tuple[str, str, str]:
        return self.wants, "" if self.got is None else self.got, self.hint


class Cancelled(Exception):
    """A pass was told to end before it had read all rows."""


class ArgumentTypeError(ArgumentError, TypeError):
    """An argument of a type that is refused."""


def _pause(wants: str) -> str:
    """What stands before "got": a comma would be lost among others, but for those in brackets."""
    depth = 0
    for letter in wants:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth <= 0:
            return ";"
    return ","
