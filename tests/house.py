"""How the package is built: files and lines per folder, who imports whom, and how deep. `scripts/house` prints it."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class House:
    """The modules of one tree of sources.

    Attributes:
        lines: of every module, by its dotted name without the package's.
        imports: the modules that each one imports anywhere, inside functions and for type checkers too.
    """

    lines: dict[str, int]
    imports: dict[str, set[str]]

    @classmethod
    def at(cls, root: Path) -> House:
        """The package below `root`."""
        package = root / "jaxgmm"
        files = {_name(file.relative_to(package)): file for file in sorted(package.rglob("*.py"))}
        lines = {name: len(file.read_text().splitlines()) for name, file in files.items()}
        return cls(lines, {name: _imported(name, file, set(files)) for name, file in files.items()})

    def rooms(self) -> dict[str, list[str]]:
        """Modules by folder; those of the root by themselves."""
        found: dict[str, list[str]] = {}
        for name in self.lines:
            found.setdefault(room(name), []).append(name)
        return found

    def arrows(self) -> set[tuple[str, str]]:
        """From a folder to one that it imports from."""
        pairs = {(room(name), room(other)) for name, others in self.imports.items() for other in others}
        return {(a, b) for a, b in pairs if a != b and "." not in (a, b)}

    def circles(self) -> set[str]:
        """Modules that import themselves by way of others."""

        @cache
        def reached(name: str) -> frozenset[str]:
            seen, todo = set(), [name]
            while todo:
                new = self.imports[todo.pop()] - seen
                seen |= new
                todo += new
            return frozenset(seen)

        return {name for name in self.imports if name in reached(name)}

    def floors(self) -> tuple[int, int]:
        """The longest ways down: from folder to folder, and from module to module."""
        folders: dict[str, set[str]] = {}
        for a, b in self.arrows():
            folders.setdefault(a, set()).add(b)
        return _depth(folders), _depth(self.imports)


def _depth(below: dict[str, set[str]]) -> int:
    """The most nodes on a way down; those of a circle count as one."""
    depth: dict[str, int] = {}

    def of(name: str) -> int:
        if name not in depth:
            depth[name] = 0  # seen again before it is known: a circle
            depth[name] = 1 + max((of(other) for other in sorted(below.get(name, ()))), default=0)
        return depth[name]

    return max(of(name) for name in sorted(below))


def room(name: str) -> str:
    """The folder of a module, or '.' for those of the root."""
    return name.partition(".")[0] if "." in name else "."


def order_of_rooms() -> list[str]:
    """Folders from the lowest up, as docs/design.md has them."""
    table = (ROOT / "docs" / "design.md").read_text().partition("## Rooms")[2]
    return re.findall(r"^\| `(\w+)/` \|", table, re.M)


def _name(file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts)


def _imported(own: str, file: Path, modules: set[str]) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.partition(".")[0] == "jaxgmm":
                base = module.removeprefix("jaxgmm").removeprefix(".")
                wanted = [".".join(filter(None, (base, alias.name))) for alias in names] + [base]
            case ast.Import(names=names):
                wanted = [alias.name.removeprefix("jaxgmm.") for alias in names if alias.name.startswith("jaxgmm.")]
            case _:
                continue
        inner = {name for name in wanted if name in modules}
        packages = {f"{name}.__init__" for name in wanted if f"{name}.__init__" in modules}
        # From a package's own modules its __init__ is no more than a name.
        found |= inner | {name for name in packages if room(name) != room(own)}
    return found - {own}


def facts(root: Path) -> str:
    """The house in words."""
    house = House.at(root)
    rooms, order = house.rooms(), order_of_rooms()
    known = [name for name in order if name in rooms]
    rest = sorted(set(rooms) - set(known))
    longest = max(house.lines, key=lambda name: house.lines[name])
    upward = {(a, b) for a, b in house.arrows() if a in known and b in known and known.index(b) > known.index(a)}
    return "\n".join([
        f"{len(house.lines)} files, {sum(house.lines.values())} lines",
        *(f"  {name:10} {len(rooms[name]):3} files {sum(house.lines[m] for m in rooms[name]):6} lines" for name in known + rest),
        f"{house.floors()[0]} floors of folders and {house.floors()[1]} of modules; "
        f"{len(house.arrows())} arrows between folders, {len(upward)} upward",
        f"{len(house.circles())} modules in circles; the longest file is {longest} with {house.lines[longest]} lines",
    ])  # fmt: skip


if __name__ == "__main__":
    print(facts(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT))
