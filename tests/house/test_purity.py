"""The pure middle opens no file, reads no clock and throws no dice, by any name that needs no import.

Imports are the business of the contracts in ``.importlinter``; this looks for the rest.
"""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import TOP, python_files

IMPURE_CALLS = {"__import__", "breakpoint", "eval", "exec", "input", "open", "print"}
# of datetime, of numpy and its arrays, and numpy.random as a whole
IMPURE_ATTRIBUTES = {
    "fromfile", "genfromtxt", "load", "loadtxt", "memmap", "now", "open_memmap", "random", "save",
    "savetxt", "savez", "today", "tofile", "utcnow",
}  # fmt: skip


def pure_modules() -> list[Path]:
    """Return the files of the modules that the contract calls pure."""
    config = configparser.ConfigParser()
    config.read(TOP / ".importlinter", encoding="utf-8")
    names = config["importlinter:contract:pure-middle"]["source_modules"].split()
    stems = [name.replace(".", "/") for name in names]
    return [
        path
        for path in python_files("agent")
        if any(str(path) == f"{stem}.py" or str(path).startswith(f"{stem}/") for stem in stems)
    ]


def impurities(tree: ast.AST) -> Iterator[str]:
    """Yield each impure name with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                yield f"line {node.lineno}: {name}()"
            case ast.Attribute(attr=name) if name in IMPURE_ATTRIBUTES:
                yield f"line {node.lineno}: .{name}"


@pytest.mark.parametrize("path", pure_modules(), ids=str)
def test_the_middle_is_pure(path: Path) -> None:
    found = list(impurities(ast.parse((TOP / path).read_text(encoding="utf-8"))))
    assert not found, f"{path}: time and all else must arrive with the data: {found}"


def test_an_impurity_is_found() -> None:
    text = "x = np.random.default_rng()\nopen('f')\nt = datetime.now()\n"
    assert sorted(impurities(ast.parse(text))) == ["line 1: .random", "line 2: open()", "line 3: .now"]
