"""Every link between the project's pages leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import TOP, project_files

PAGES = [path for path in project_files() if path.suffix == ".md"]
LINK = re.compile(
    r"\]\(\s*<?([^)\s>]+)>?[^)]*\)"  # [text](target "title"), and so an image
    r"|(?:src|href)=\"([^\"]+)\""  # a tag
    r"|^\[[^\]]+\]:\s*(\S+)",  # [name]: target
    re.MULTILINE,
)
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
CODE = re.compile(r"^( *)(```|~~~).*?^\1\2|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """Return the page without its code."""
    return CODE.sub("", (TOP / page).read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return what a link may say behind '#': headings as the usual viewers turn them into names."""
    text = re.sub(r"^( *)(```|~~~).*?^\1\2", "", (TOP / page).read_text(encoding="utf-8"), flags=re.M | re.S)
    names: set[str] = set()
    for match in HEADING.finditer(text):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", match[1]).lower()
        name = re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")
        count = 1
        while (unique := name if count == 1 else f"{name}-{count - 1}") in names:
            count += 1
        names.add(unique)
    return names | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))


def broken_links(page: Path) -> Iterator[str]:
    """Yield what is wrong with each link of the page that leads nowhere."""
    for match in LINK.finditer(prose(page)):
        link = next(group for group in match.groups() if group)
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (TOP / page.parent / name).resolve() if name else TOP / page
        if not target.exists():
            yield f"{link}: no such file"
        elif not target.is_relative_to(TOP):
            yield f"{link}: outside the project"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            yield f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    assert not (broken := list(broken_links(page))), f"{page}: {'; '.join(broken)}"
