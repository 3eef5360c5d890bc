"""Secrets, and how they are kept out of what others will read.

Two nets, one behind the other: what is known to be a secret here is looked for everywhere, in every spelling;
and what looks like one is taken for one.
"""

from __future__ import annotations

import base64
import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

TAKEN_OUT = "(taken out)"
SHORTEST = 4  # of what is looked for everywhere; what is shorter would blacken half of the text
SECRET_KEY = re.compile(r"pass|secret|token|credential|api_?key|private", re.IGNORECASE)
LOOKS_SECRET = (
    re.compile(
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL
    ),
    re.compile(r"(?<=://)[^\s\"'<>]+(?=@)"),  # who, and perhaps the password, of a URL
    re.compile(
        r"""(?ix) (?: pass(?:word|wd|phrase|code)? | pwd | secret | token | api[_-]?key | authorization )
        (?: \\?["'] )? \s* [=:] \s* (?: bearer\s+ | basic\s+ )?
        (?: \\?" [^"\n]* | ' [^'\n]* | [^\s"',}]+ )"""
    ),
)


def of_files(paths: Iterable[Path]) -> Iterator[str]:
    """Give what secret files hold, whole and line by line; a file that cannot be read cannot be told of."""
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        yield text.strip()
        yield from (line.strip() for line in text.splitlines() if not line.startswith("-----"))


def of_configuration(text: str) -> Iterator[str]:
    """Give what a configuration says under keys that sound like secrets, also where it should not."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        for line in text.splitlines():
            key, _, value = line.partition("=")
            if SECRET_KEY.search(key):
                yield value.strip().strip("\"'")
        return
    yield from _walk(table)


def _walk(part: Any, secret: bool = False) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            yield from _walk(value, secret or (bool(SECRET_KEY.search(key)) and not key.endswith("_file")))
    elif isinstance(part, list):
        for value in part:
            yield from _walk(value, secret)
    elif secret and isinstance(part, str):
        yield part


class Blackener:
    """Takes the known secrets, and all that looks like one, out of texts."""

    def __init__(self, secrets: Iterable[str]) -> None:
        spellings = {spelt for secret in secrets for spelt in _spellings(secret) if len(spelt) >= SHORTEST}
        longest_first = sorted(spellings, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        """Return the text without them."""
        for pattern in LOOKS_SECRET:
            text = pattern.sub(TAKEN_OUT, text)
        return text if self._known is None else self._known.sub(TAKEN_OUT, text)


def _spellings(secret: str) -> Iterator[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    yield quote(secret, safe="")
    yield base64.b64encode(secret.encode()).decode()
