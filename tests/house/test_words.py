"""Nothing in the project ties it to one registry or to one person's machine."""

from __future__ import annotations

import re

import pytest

from tests.house.tree import TOP, project_files

# Written so that this file does not find itself.
UNWANTED = {
    "the host of a package registry: installers bring their own": (
        r"py[p]i\.org|python[h]osted|npm[j]s\.org|(deb|archive|security)[.]deb[i]an|raspb[i]an\.org"
    ),
    "a path of one machine": r"(?<![\w.~-])/(work|farm|root|home/\w+)/",
}


@pytest.mark.parametrize("why", UNWANTED)
def test_no_file_names(why: str) -> None:
    pattern = re.compile(UNWANTED[why], re.IGNORECASE)
    found = []
    for path in project_files():
        text = (TOP / path).read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            found += [f"{path}:{number}: {match[0]}" for match in pattern.finditer(line)]
    assert not found, f"{why}: {found[:10]}"


def test_the_licence_is_apache_2() -> None:
    text = (TOP / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "license_expression = Apache-2.0" in (TOP / "setup.cfg").read_text(encoding="utf-8")
