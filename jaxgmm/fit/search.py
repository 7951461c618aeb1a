"""Which search is made from the starts: all of them run to their ends, or a race between them."""

from __future__ import annotations

from typing import Any

from jaxgmm.inputs import arguments
from jaxgmm.inputs.errors import ArgumentError, ArgumentTypeError
from jaxgmm.race.race import Race
from jaxgmm.run.record import Ended
from jaxgmm.run.search import All, Search, Task

#: searches that go by a name; a race is what users get who name none, where it saves time
SEARCHES: dict[str, Search] = {"race": Race(), "all": All()}


def checked_search(search: Any) -> Search | None:
    """The search that a user named or made; None to let the task decide.

    Raises:
        ValueError, TypeError: there is none of that name, or it is no search.
    """
    if search is None or isinstance(search, Search):
        return search
    if not isinstance(search, str) and not (isinstance(search, type) and issubclass(search, Search)):
        raise ArgumentTypeError("search", "be a name or a search such as Race()", arguments.shown(search))
    if isinstance(search, type):
        wants = "be a name or a search such as Race()"
        raise ArgumentTypeError("search", wants, f"the class {search.__name__}")
    return SEARCHES[arguments.choice("search", search, SEARCHES)]


def chosen_search(search: Search | None, task: Task) -> Search:
    """`search`; but all starts where a race could gain nothing, or where none was asked for and it saves no time."""
    if search is not None and not isinstance(search, Race):
        return search
    race = SEARCHES["race"] if search is None else search
    assert isinstance(race, Race)
    return race if race.possible(task) and (search is not None or race.saves_time(task)) else All()


def searched(search: Search, task: Task) -> Ended:
    """How the restarts of `task` ended by `search`, which users may have written.

    Raises:
        TypeError, ValueError: what it returned is no record of all restarts.
    """
    ended, n = search.run(task), len(task.starts.weights)
    if not isinstance(ended, Ended):
        raise ArgumentTypeError("search", "return an Ended(restarts, history)", type(ended).__name__)
    if len(ended.restarts) != n or len(ended.history) != n:
        got = f"{len(ended.restarts)} restarts and {len(ended.history)} histories"
        raise ArgumentError("search", f"return a restart for each of the {n} starts", got)
    return ended
