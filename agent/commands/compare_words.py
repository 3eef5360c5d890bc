"""What differs between two runs, in plain words: most important first, and where in the trip to look."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.commands.words import SEVERITY_WORD, UNIT_WORDS, shown
from agent.compare import Change, Comparison, Difference, What
from agent.timebase import rfc3339

MOST_TOLD = 60  # lines; --json has more
INDENT = "    "
BOLD, RED, YELLOW, DIM, PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m"
MEANT = {
    What.VANISHED: "only in A",
    What.APPEARED: "only in B",
    What.SPLIT: "one in A, more than one in B",
    What.MERGED: "more than one in A, one in B",
}
NOUNS = {  # what differs: one, and many
    "event": ("event", "events"),
    "gap": ("gap", "gaps"),
    "snippet": ("snippet", "snippets"),
    "head": ("key of all records", "keys of all records"),
    "summary": ("line of the summary", "lines of the summary"),
    "line": ("line", "lines"),
}
ONE_SIDED = frozenset(MEANT)
SAID_ALREADY = frozenset({"sent", "severity", "updates", "streams"})
TIME_NAMES = {"start": "start", "end": "end", "told": "told", "alarm": "alarm raised"}
WIDEST_LIST = 6
LONGEST_TEXT = 40  # of a value: raw samples of a snippet say nothing to the eye
MOST_FIELDS = 8


def report(
    result: Comparison, name: str, *, width: int | None = None, colour: bool = False, most: int = MOST_TOLD
) -> list[str]:
    """Return the lines that tell of one pair of runs. `width` None: as long as they are."""
    title = f"{name}: " if name else ""
    sides = [f"{label} {_amount(side)}" for label, side in zip("AB", result.sides, strict=True)]
    if result.equal:
        return _wrapped(f"{title}no difference ({_same(result)}; {sides[0]})", "", width)
    count = len(result.found)
    lines = _wrapped(
        f"{title}{count} difference{'' if count == 1 else 's'} ({_same(result)}; {'; '.join(sides)})",
        "",
        width,
    )
    lines += _wrapped(_counted(result), "  ", width)
    if apart := _apart(result):
        lines += _wrapped(apart, "  ", width)
    told = result.found.in_order()
    for difference in told[:most]:
        lines += _difference(difference, result.first_ns, width, colour)
    if rest := count - min(most, len(told)):
        kinds: dict[str, int] = {}
        for difference in told[most:]:
            key = f"{difference.what} {_subject(difference)}"
            kinds[key] = kinds.get(key, 0) + 1
        common = sorted(kinds.items(), key=lambda item: -item[1])[:WIDEST_LIST]
        words = ", ".join(f"{number} {key}" for key, number in common)
        lines += _wrapped(f"and {rest} more: {words or 'see --json'}", "  ", width)
    return lines


def _counted(result: Comparison) -> str:
    """Say how many of what became what."""
    counts = sorted(result.found.counts.items(), key=lambda item: -item[1])
    return ", ".join(
        f"{number:,} {NOUNS.get(of, (of, of))[number > 1]} {what}" for (of, what), number in counts
    )


def _same(result: Comparison) -> str:
    parts = [f"{result.alike:,} events and other records alike"]
    if result.within:
        parts.append(f"{result.within:,} within tolerance")
    parts.append(f"{result.windows:,} windows of features compared")
    return ", ".join(parts)


def _amount(side: Any) -> str:
    return f"{side.records.total():,} records, {side.bytes:,} bytes in JSON"


def _apart(result: Comparison) -> str:
    """Say that two runs have no minute in common, which nobody wants to read off a hundred differences."""
    a, b = result.sides
    if None in (a.first_ns, a.last_ns, b.first_ns, b.last_ns):
        return ""
    assert (
        a.first_ns is not None and a.last_ns is not None and b.first_ns is not None and b.last_ns is not None
    )
    if a.first_ns <= b.last_ns and b.first_ns <= a.last_ns:
        return ""
    return (
        f"The two have no moment in common: A is of {_utc(a.first_ns)} to {_utc(a.last_ns)}, "
        f"B of {_utc(b.first_ns)} to {_utc(b.last_ns)}. Are they the same trip?"
    )


def _difference(one: Difference, first_ns: int | None, width: int | None, colour: bool) -> Iterator[str]:
    head = f"{one.what.upper():10} {_subject(one)}"
    tone = (RED if one.alarm else YELLOW if one.of == "event" else "") if colour else ""
    where = _where(one, first_ns)
    meant = MEANT.get(one.what, "") if one.of not in ("summary", "features") else ""
    detail = "; ".join(part for part in (meant, _details(one)) if part)
    lines = _wrapped(shown(f"{head}  {where}" if where else head), "  ", width)
    if tone:
        lines = [f"{tone}{line}{PLAIN}" for line in lines]
    yield from lines
    if detail:
        yield from _wrapped(shown(detail), INDENT, width)


def _subject(one: Difference) -> str:
    name = one.name.replace("_", " ") if one.of == "event" else one.name
    severity = f" ({SEVERITY_WORD[one.severity]})" if one.severity in SEVERITY_WORD else ""
    if one.of == "event":
        return f"{'alarm' if one.alarm else 'event'} {name}{severity}"
    if one.of == "head":
        return f"`{name}` of {one.count:,} records"
    return f"{one.of} {name}{severity}"


def _where(one: Difference, first_ns: int | None) -> str:
    if one.at_ns is None:
        return ""
    into = "" if first_ns is None else f"{_span(one.at_ns - first_ns)} into the trip, "
    lasted = ""
    if one.end_ns is not None and one.of not in ("features", "head"):
        lasted = f", for {(one.end_ns - one.at_ns) / 1e9:.3g} s"
    worst = "worst " if one.of == "features" and one.changes else "first " if one.count > 1 else ""
    worst = "" if one.of == "event" else worst
    return f"{worst}{into}{_utc(one.at_ns)}{lasted}"


def _span(nanoseconds: int) -> str:
    whole = max(0, nanoseconds) // 1_000_000
    hours, rest = divmod(whole, 3_600_000)
    minutes, millis = divmod(rest, 60_000)
    return f"{hours}:{minutes:02}:{millis / 1000:06.3f}"


def _utc(wall_ns: int) -> str:
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=wall_ns // 1000)
    return when.strftime("%Y-%m-%d %H:%M:%S.") + f"{when.microsecond // 1000:03}Z"


def _details(one: Difference) -> str:
    changes = _worth_telling(one.changes)
    if one.what in ONE_SIDED:
        changes = [c for c in changes if not c.is_time and c.name not in SAID_ALREADY]
    if one.what in (What.VANISHED, What.MERGED):
        parts = [f"{_name(c)} {_figure(c, c.a)}" for c in changes[:MOST_FIELDS]]
    elif one.what in (What.APPEARED, What.SPLIT):
        parts = [f"{_name(c)} {_figure(c, c.b)}" for c in changes[:MOST_FIELDS]]
    elif one.name == "told" and one.of == "features":
        parts = [_late(changes)]
    else:
        parts = [_change(change) for change in changes]
    if one.of == "features" and one.what in (What.CHANGED, What.MOVED) and one.name != "window_s":
        parts.append(f"in {one.count:,} of {one.among:,} windows")
    return "; ".join([*parts, *([one.words] if one.words else [])])


def _late(changes: Sequence[Change]) -> str:
    later_s = changes[0].b if changes else 0.0
    return f"told up to {abs(later_s):.6g} s {'later' if later_s > 0 else 'earlier'} in B"


def _worth_telling(changes: Sequence[Change]) -> list[Change]:
    """Leave out when a record was told where the happening itself, or its alarm, moved."""
    if any(c.key in ("start", "end", "alarm") for c in changes) or any(not c.is_time for c in changes):
        return [c for c in changes if c.name != "told"] or list(changes)
    return list(changes)


def _name(change: Change) -> str:
    prefix, _, name = change.key.rpartition(": ")
    if name in TIME_NAMES:
        plain = TIME_NAMES[name]
    else:
        stem, _, unit = name.rpartition("_")
        plain = (stem if unit in UNIT_WORDS and stem else name).replace("_", " ")
    return f"{prefix}: {plain}" if prefix else plain


def _change(change: Change) -> str:
    name = _name(change)
    delta = change.delta
    if change.is_time and delta is not None:
        return f"{name} {abs(delta):.6g} s {'later' if delta > 0 else 'earlier'}"
    if isinstance(change.a, list) and isinstance(change.b, list) and len(change.a) == len(change.b):
        apart = [(abs(y - x), x, y) for x, y in zip(change.a, change.b, strict=True) if _both_numbers(x, y)]
        if apart:
            _, x, y = max(apart)
            return f"{name}: up to {_figure(change, x)} → {_figure(change, y)}"
    said = f"{name} {_figure(change, change.a)} → {_figure(change, change.b)}"
    if change.relative is not None:
        said += f" ({100 * change.relative:+.3g} %)"
    return said


def _both_numbers(x: Any, y: Any) -> bool:
    return all(isinstance(v, int | float) for v in (x, y))


def _figure(change: Change, value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if change.is_time and isinstance(value, int):
        return rfc3339(value)
    if change.name == "severity" and isinstance(value, int):
        return SEVERITY_WORD.get(value, str(value))
    unit = UNIT_WORDS.get(change.name.partition(".")[0].rpartition("_")[2], "")
    if isinstance(value, int):
        return f"{value:,}{unit}"
    if isinstance(value, float):
        return f"{value:.6g}{unit}"
    if isinstance(value, list):
        if len(value) > WIDEST_LIST:
            return f"[{len(value)} values]"
        return f"[{', '.join(_figure(change, part) for part in value)}]"
    text = str(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"


def _wrapped(text: str, indent: str, width: int | None) -> list[str]:
    if width is None:
        return [f"{indent}{text}"]
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False
    ) or [indent]
