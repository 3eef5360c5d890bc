"""Snippets: raw samples from around an event, as the sensor gave them, for who has to know what happened.

A pure stage beside the reduction. It keeps the last seconds of every stream (`memory`), cuts out what was
around an event (`stage`), codes it without loss and proves that by decoding it (`coding`), and writes it as
the documents of records (`form`), from which the very same samples come again.
"""

from __future__ import annotations

from agent.snippets.coding import Coded, Coder, Coding, coded, coded_later
from agent.snippets.settings import SnippetSettings
from agent.snippets.stage import MEMORY_NS, Part, Snippet, Snippets, parts_of

__all__ = [
    "MEMORY_NS",
    "Coded",
    "Coder",
    "Coding",
    "Part",
    "Snippet",
    "SnippetSettings",
    "Snippets",
    "coded",
    "coded_later",
    "parts_of",
]
