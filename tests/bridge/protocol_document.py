"""What stands in docs/protocol.md, for the tests that hold the code against it."""

from __future__ import annotations

import re
from pathlib import Path

import firmware_bridge

DOCUMENT = (Path(firmware_bridge.__file__).parent.parent / "docs" / "protocol.md").read_text(encoding="utf-8")
_HEX = r"`([0-9a-f ]+)`"

VECTORS: list[tuple[str, str, str, str]] = re.findall(
    rf"^\| ([^|]+) \| {_HEX} \| `([0-9A-F]{{4}})` \| {_HEX} \|$", DOCUMENT, re.MULTILINE
)
"""What, body, CRC of the encoded body, frame."""
NO_FRAMES: list[tuple[str, str]] = re.findall(rf"^\| no frame: ([^|]+) \| {_HEX} \|$", DOCUMENT, re.MULTILINE)
"""Why, and the bytes with their delimiter."""


def section(heading: str) -> str:
    """Return what stands under a heading, to the next one."""
    begin = DOCUMENT.index(f"\n## {heading}\n")
    end = DOCUMENT.find("\n## ", begin + 1)
    return DOCUMENT[begin : end if end > 0 else None]


def table(heading: str, columns: int, nth: int = 0) -> list[tuple[str, ...]]:
    """Return the cells of the `nth` table of so many columns in a section, without its head."""
    tables: list[list[tuple[str, ...]]] = []
    inside = False
    for line in section(heading).splitlines():
        cells = tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
        if not line.startswith("|") or len(cells) != columns:
            inside = False
            continue
        if not inside:
            tables.append([])
            inside = True
        tables[-1].append(cells)
    return tables[nth][2:]
