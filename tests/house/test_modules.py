"""Every module says what it is for, and fits on a few screens."""

from __future__ import annotations

import ast

from tests.house.tree import TOP, python_files

LINES_AT_MOST = 450  # a file that grows past about 400 is usually two rooms


def test_every_module_says_what_it_is_for() -> None:
    texts = {path: (TOP / path).read_text(encoding="utf-8") for path in python_files()}
    silent = [str(path) for path, text in texts.items() if text and not ast.get_docstring(ast.parse(text))]
    assert not silent, f"modules without a docstring: {', '.join(silent)}"


def test_no_module_has_grown_into_two() -> None:
    lines = {path: len((TOP / path).read_text(encoding="utf-8").splitlines()) for path in python_files()}
    long = [f"{path} ({count})" for path, count in lines.items() if count > LINES_AT_MOST]
    assert not long, f"more than {LINES_AT_MOST} lines, perhaps two rooms each: {', '.join(long)}"
