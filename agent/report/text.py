"""Text that comes from elsewhere, made harmless: for HTML, for a JSON document inside HTML, for the eye.

The name of a box, of a stream or of a file is whatever somebody wrote: it must neither become markup nor turn
the direction of the line around it (HTML Living Standard, 13.1.2; Unicode TR 36, 3.6).
"""

from __future__ import annotations

import html
import unicodedata
from typing import Any

import msgspec

_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})  # steer, turn or break a line, and draw nothing


def plain(text: object) -> str:
    """Return the text with what cannot be seen written out."""
    said = str(text)
    if said.isascii() and said.isprintable():
        return said
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _UNSHOWN else char
        for char in said
    )


def escaped(text: object) -> str:
    """Return the text for HTML, in content and in a quoted attribute."""
    return html.escape(plain(text), quote=True)


def embedded(document: Any) -> str:
    """Return JSON that may stand inside a ``script`` element: nothing in it ends one or begins a comment."""
    text = msgspec.json.encode(document).decode()
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text
