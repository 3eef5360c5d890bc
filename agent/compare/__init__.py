"""Two runs of the same trip, side by side: what appeared, vanished, moved, changed.

Pure: lines of records go in, differences come out. ``engine`` reads both runs in step by their own time and
keeps no more of them than what may still find its partner; ``happening`` folds the phases of an event into
one; ``matching`` pairs those of one kind by time; ``features`` pairs windows; ``rules`` says what is let
pass; ``digest`` makes of features the few figures that golden replays keep.
"""

from __future__ import annotations

from agent.compare.difference import Change, Difference, What
from agent.compare.engine import Comparison, Run, compare
from agent.compare.rules import LOOSE, CompareSettings, Rules, Tolerance

__all__ = [
    "LOOSE",
    "Change",
    "CompareSettings",
    "Comparison",
    "Difference",
    "Rules",
    "Run",
    "Tolerance",
    "What",
    "compare",
]
