"""A happening: what the records of one event come to; a gap, or a record of any other kind, is one, too.

The phases of an event stay apart in its fields, so that an alarm that comes later, or says less than it did,
is seen although the event ends alike: the last phase has the plain names, the others say which they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agent.compare.rules import Rules
from agent.timebase import wall_ns_of

HEAD = ("v", "box", "boot", "tq", "cal", "trust", "place")
"""What records share: compared, but told once for all. ``place``: the topic down to the box."""
OF_EVENTS = frozenset({"event", "alarm"})
Fields = dict[str, Any]


@dataclass(slots=True)
class Happening:
    """One event, gap, or other record. ``signature``: alike if and only if nothing compared differs."""

    of: str
    name: str
    start_ns: int
    end_ns: int | None
    severity: int
    alarm: bool
    fields: Fields
    heads: dict[str, Any]
    records: int = 1
    signature: bytes = b""
    open_until_ns: int | None = None
    """Where its run ended, if it was not over by then."""

    @property
    def until_ns(self) -> int:
        """Its end; its start where it has none."""
        end_ns = self.open_until_ns if self.end_ns is None else self.end_ns
        return self.start_ns if end_ns is None else max(self.start_ns, end_ns)

    @property
    def group(self) -> tuple[str, str]:
        """What may be matched with each other."""
        return self.of, self.name


@dataclass(slots=True)
class _Open:
    """An event whose end has not come."""

    phases: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


class Folder:
    """Takes the records of one run but features, and gives happenings as they are complete."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._told, self._start, self._end, self._sent, self._alarm = (
            not rules.ignores(key) for key in ("told", "start", "end", "sent", "alarm")
        )
        self._heads = tuple(key for key in HEAD if not rules.ignores(key))
        self._open: dict[tuple[str, str, str], _Open] = {}

    def take(self, kind: str, body: dict[str, Any]) -> Iterator[Happening]:
        """Take the next record."""
        if kind not in OF_EVENTS or not isinstance(body.get("id"), str):
            yield self._single(kind, body)
            return
        key = str(body.get("box")), str(body.get("boot")), body["id"]
        phase = body.get("phase")
        before = self._open.get(key)
        if before is not None and phase == "start":
            yield self._event(self._open.pop(key).phases)  # the number is used again: another event
        self._open.setdefault(key, _Open()).phases.append((kind, body))
        if phase == "end":
            yield self._event(self._open.pop(key).phases)

    def finish(self) -> Iterator[Happening]:
        """Return the events that were still open when the run ended."""
        for event in self._open.values():
            yield self._event(event.phases)
        self._open.clear()

    def oldest_open_ns(self) -> int | None:
        """Return where the first event begins that is not over."""
        starts = (_time_ns(event.phases[0][1], "start") for event in self._open.values())
        return min((s for s in starts if s is not None), default=None)

    def _event(self, phases: list[tuple[str, dict[str, Any]]]) -> Happening:
        last = phases[-1][1]
        fields: Fields = {}
        for place, (kind, body) in enumerate(phases):
            final = place == len(phases) - 1
            prefix = "" if final else "when first told: " if place == 0 else f"update {place}: "
            self._describe(fields, prefix, kind, body)
        alarms = [_time_ns(body, "t") for kind, body in phases if kind == "alarm"]
        if alarms and self._alarm:
            fields["alarm"] = alarms[0]
        if len(phases) > 1:
            fields["updates"] = len(phases) - 2
        severity = max((s for _, b in phases if isinstance(s := b.get("severity"), int)), default=0)
        return self._made(
            "event",
            str(last.get("type", "event")),
            (_time_ns(phases[0][1], "start") or _t_ns(phases[0][1]), _time_ns(last, "end")),
            severity,
            bool(alarms),
            fields,
            last,
            len(phases),
        )

    def _describe(self, fields: Fields, prefix: str, kind: str, body: Mapping[str, Any]) -> None:
        if self._told:
            fields[f"{prefix}told"] = _t_ns(body)
        if prefix and (start_ns := _time_ns(body, "start")) is not None and self._start:
            fields[f"{prefix}start"] = start_ns
        if prefix and (end_ns := _time_ns(body, "end")) is not None and self._end:
            fields[f"{prefix}end"] = end_ns
        if self._sent:
            fields[f"{prefix}sent"] = kind
        for key, value in body.items():
            if key not in _TAKEN:
                self._flatten(fields, prefix, "" if key == "values" else key, value)

    def _flatten(self, fields: Fields, prefix: str, key: str, value: Any) -> None:
        if self._rules.ignores(key):
            return
        if isinstance(value, Mapping):
            for name, part in value.items():
                self._flatten(fields, prefix, f"{key}.{name}" if key else str(name), part)
        else:
            fields[f"{prefix}{key}"] = value

    def _single(self, kind: str, body: dict[str, Any]) -> Happening:
        fields: Fields = {}
        self._describe(fields, "", kind, body)
        name = str(body.get("stream") or body.get("kind") or body.get("type") or kind)
        start_ns = _time_ns(body, "start")
        times = (_t_ns(body), None) if start_ns is None else (start_ns, _time_ns(body, "end"))
        severity = body.get("severity")
        severity = severity if isinstance(severity, int) else 0
        of = "event" if kind in OF_EVENTS else kind
        return self._made(of, name, times, severity, kind == "alarm", fields, body, 1)

    def _made(
        self,
        of: str,
        name: str,
        times: tuple[int, int | None],
        severity: int,
        alarm: bool,
        fields: Fields,
        head: Mapping[str, Any],
        records: int,
    ) -> Happening:
        heads = {key: head.get(key) for key in self._heads}
        made = Happening(of, name, *times, severity, alarm, fields, heads, records)
        told = [
            made.start_ns if self._start else None,
            made.end_ns if self._end else None,
            sorted(fields.items()),
        ]
        made.signature = msgspec.json.encode(told)
        return made


# "id" is the number of the event in its run, and shifts with those before it
_TAKEN = frozenset({*HEAD, "t", "seq", "sw", "type", "id", "phase", "start", "end"})


def _t_ns(body: Mapping[str, Any]) -> int:
    found = _time_ns(body, "t")
    return 0 if found is None else found


def _time_ns(body: Mapping[str, Any], key: str) -> int | None:
    text = body.get(key)
    return wall_ns_of(text) if isinstance(text, str) else None
