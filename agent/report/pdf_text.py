"""Fonts for a PDF: embedded, so that it looks the same everywhere; what they cannot write is written out.

reportlab brings Bitstream Vera, which has the letters of Western Europe. DejaVu, which Debian's
fonts-dejavu-core brings, has Cyrillic and Greek as well and is taken where it is there. Neither has Chinese:
such a letter becomes its number in Unicode.
"""

from __future__ import annotations

import os
from functools import cache
from html import escape
from pathlib import Path

import reportlab
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from agent.report.text import plain

REGULAR, BOLD = "Report", "Report-Bold"
_DEJAVU = Path("/usr/share/fonts/truetype/dejavu")
_VERA = Path(os.path.dirname(reportlab.__file__)) / "fonts"
_FONTS = (
    (_DEJAVU / "DejaVuSans.ttf", _DEJAVU / "DejaVuSans-Bold.ttf"),
    (_VERA / "Vera.ttf", _VERA / "VeraBd.ttf"),
)
# what Vera lacks and a report says, in letters that every font has
_PLAINER = {"≤": "<=", "≥": ">=", "−": "-", "→": "->", "Δ": "d", "\u202f": " "}


@cache
def _written() -> frozenset[int]:
    """Register the fonts, once; return the characters that they can write."""
    regular, bold = next(pair for pair in _FONTS if all(path.is_file() for path in pair))
    fonts = TTFont(REGULAR, str(regular)), TTFont(BOLD, str(bold))
    for font in fonts:
        pdfmetrics.registerFont(font)
    pdfmetrics.registerFontFamily(REGULAR, normal=REGULAR, bold=BOLD, italic=REGULAR, boldItalic=BOLD)
    return frozenset(fonts[0].face.charToGlyph) & frozenset(fonts[1].face.charToGlyph)


def writable(text: object) -> str:
    """Return the text with what the fonts cannot write written out."""
    known = _written()
    out = []
    for char in plain(text):
        if ord(char) in known:
            out.append(char)
        elif char in _PLAINER:
            out.append(_PLAINER[char])
        else:
            out.append(f"[U+{ord(char):04X}]")
    return "".join(out)


def markup(text: object) -> str:
    """Return the text for a paragraph, which reads a few tags."""
    return escape(writable(text), quote=False)
