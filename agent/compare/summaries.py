"""The summaries of two runs: what their records do not tell, such as samples, bytes and notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from agent.compare.difference import Change, Difference, What
from agent.compare.rules import Rules

OF = "summary"
NOTES = "notes"
BYTES = "published_bytes"


def summary_differences(
    a: Mapping[str, Any] | None, b: Mapping[str, Any] | None, rules: Rules
) -> Iterator[Difference]:
    """Return what differs between two summaries, where there are two."""
    if a is None or b is None:
        return
    one, other = dict(_flat("", a, rules)), dict(_flat("", b, rules))
    told = {BYTES, "software"} <= a.keys() & b.keys()
    if told and a["software"] != b["software"] and rules.ignores("sw"):
        one[BYTES], other[BYTES] = (_without_version(side) for side in (a, b))
    for key in {**one, **other}:
        x, y = one.get(key), other.get(key)
        if key == NOTES:
            yield from _notes(x or [], y or [])
        elif not rules.same(key, x, y):
            yield Difference(What.CHANGED, OF, key, changes=(Change(key, x, y),))


def _flat(prefix: str, table: Mapping[str, Any], rules: Rules) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        name = f"{prefix}{key}"
        if rules.ignores(name):
            continue
        if isinstance(value, Mapping):
            yield from _flat(f"{name}.", value, rules)
        else:
            yield name, value


def _without_version(summary: Mapping[str, Any]) -> Any:
    """Return the published bytes less those of the version's name, which stands in every record."""
    records = sum(summary.get("records", {}).values())
    return summary[BYTES] - records * len(str(summary["software"]).encode())


def _notes(a: list[str], b: list[str]) -> Iterator[Difference]:
    gone, come = Counter(a) - Counter(b), Counter(b) - Counter(a)
    for what, notes in ((What.VANISHED, gone), (What.APPEARED, come)):
        for note in notes.elements():
            yield Difference(what, OF, NOTES, words=note)
