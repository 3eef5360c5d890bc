"""The text of a CSV file, in pieces of whole lines and never more of it than a table needs.

A line that no table has (1 GB of commas, a file without line ends) is not kept: `NO_ROW` stands in its place.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from agent.errors import LogFileError

PIECE_BYTES = 4 << 20
LONGEST_LINE = 1 << 20  # a row of 10,000 columns has a tenth of it; cells take fifty times their text
NO_ROW = "\0"
"""In the place of a line that no table has: one cell, and no number."""
_CONTROLS = bytes({*range(32)} - set(b"\t\n\r\f"))


class CsvText:
    """Reads one file; `pieces` once. ``digest``: SHA-256 of what was read so far."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.digest = hashlib.sha256()

    @property
    def _doing(self) -> str:
        return f"reading the log {self._path}"

    def pieces(self) -> Iterator[tuple[str, int, bool]]:
        """Yield the text in whole lines, its bytes, and whether it is the end. Raises LogFileError."""
        rest = b""
        first, in_long = True, False
        with self._path.open("rb") as file:
            while True:
                data = file.read(PIECE_BYTES)
                size = len(data)
                self.digest.update(data)
                if first:
                    self._refuse_binary(data)
                    data = data.removeprefix(b"\xef\xbb\xbf")
                    first = False
                if not size:
                    yield _decoded(rest), 0, True
                    return
                if in_long:
                    found = re.search(rb"[\r\n]", data)
                    data, in_long = (data[found.start() :], False) if found else (b"", True)
                # a last "\r" may be half of "\r\n"
                cut = data.rfind(b"\n") + 1 or data.rfind(b"\r", 0, -1) + 1
                yield _decoded(rest + data[:cut] if cut else b""), size, False
                rest = data[cut:] if cut else rest + data
                if len(rest) > LONGEST_LINE and not in_long:
                    rest, in_long = NO_ROW.encode(), True

    def check_first(self, line: str) -> None:
        """Refuse a first line, which says what the columns are, that no table has. Raises LogFileError."""
        if is_too_long(line) or line.startswith(NO_ROW):
            raise LogFileError(
                self._doing,
                got=f"a first line of over {LONGEST_LINE:,} characters",
                expected="a row of some columns, and then another line",
                remedy="Check which file this is, and that its lines end.",
            )

    def _refuse_binary(self, head: bytes) -> None:
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise LogFileError(
                self._doing,
                got="UTF-16 text",
                expected="UTF-8 or plain ASCII",
                remedy="Save it as UTF-8, or run `iconv -f UTF-16 -t UTF-8`.",
            )
        if len(head.translate(None, _CONTROLS)) < 0.98 * len(head):
            raise LogFileError(
                self._doing,
                got=f"binary data that begins with {head[:8].hex(' ')}",
                expected="text in rows and columns",
                remedy="Check which file this is; an MCAP log must end in .mcap.",
            )


def is_too_long(line: str) -> bool:
    """Whether a line is longer than one of any table: it is not worth its cells."""
    return len(line) > LONGEST_LINE


def _decoded(data: bytes) -> str:
    text = data.decode("utf-8", errors="replace")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text
