"""What a paper came to: by type, by kind and by background, each share with its 95 % interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agent.detection.finding import EventType
from scripts.examination.intervals import interval, percentile
from scripts.examination.judge import Verdict

RECALL_AT_LEAST = 0.987
FALSE_AT_MOST = 0.012
TYPE_AT_LEAST = 0.95


@dataclass(frozen=True, slots=True)
class Share:
    """``hits`` of ``trials``: recognised ones, or false alarms."""

    name: str
    hits: int
    trials: int

    @property
    def value(self) -> float:
        """The share itself."""
        return self.hits / self.trials if self.trials else 0.0

    def words(self) -> str:
        """Return "30/30 100.0 % [88.4, 100.0]"."""
        low, high = interval(self.hits, self.trials)
        return f"{self.hits:>4}/{self.trials:<4} {self.value:6.1%}  [{low:6.1%}, {high:6.1%}]"

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        low, high = interval(self.hits, self.trials)
        return {"hits": self.hits, "trials": self.trials, "share": self.value, "low": low, "high": high}


@dataclass(frozen=True, slots=True)
class Result:
    """The whole paper, judged."""

    seed: int
    verdicts: Sequence[Verdict]

    @property
    def harmful(self) -> list[Verdict]:
        """Those in which the cargo was harmed."""
        return [v for v in self.verdicts if v.event is not None]

    @property
    def harmless(self) -> list[Verdict]:
        """Those in which it was not."""
        return [v for v in self.verdicts if v.event is None]

    @property
    def recall(self) -> Share:
        """Of all harmful scenes."""
        return Share("recognised", sum(v.passed for v in self.harmful), len(self.harmful))

    @property
    def false_alarms(self) -> Share:
        """Of all harmless scenes."""
        return Share("false alarms", sum(not v.passed for v in self.harmless), len(self.harmless))

    @property
    def general(self) -> Share:
        """Of all harmless scenes, those with an event of severity 2: no part of the verdict."""
        return Share("severity 2", sum(bool(v.general) for v in self.harmless), len(self.harmless))

    def recall_by(self, key: Callable[[Verdict], str]) -> list[Share]:
        """Return the recall of each group."""
        return _grouped(self.harmful, key, lambda v: v.passed)

    def false_alarms_by(self, key: Callable[[Verdict], str]) -> list[Share]:
        """Return the false alarms of each group."""
        return _grouped(self.harmless, key, lambda v: not v.passed)

    @property
    def types(self) -> list[Share]:
        """Recall of each event type, in the order in which they are named."""
        found = {s.name: s for s in self.recall_by(lambda v: v.event or "")}
        return [found[t.value] for t in EventType if t.value in found]

    @property
    def passed(self) -> bool:
        """Whether what was promised is reached: overall, and for each type."""
        good = all(s.value >= TYPE_AT_LEAST for s in self.types)
        recall = not self.harmful or self.recall.value >= RECALL_AT_LEAST
        return good and recall and self.false_alarms.value <= FALSE_AT_MOST

    def delays(self, event: str | None = None) -> list[float]:
        """Return the delays of those recognised, in seconds."""
        return [
            v.delay_s for v in self.harmful if v.delay_s is not None and (event is None or v.event == event)
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return it for ``--json``."""
        return {
            "seed": self.seed,
            "passed": self.passed,
            "recall": self.recall.as_dict(),
            "false_alarms": self.false_alarms.as_dict(),
            "severity_2_in_harmless": self.general.as_dict(),
            "recall_by_type": {
                s.name: {**s.as_dict(), "delay_s": _delay_figures(self.delays(s.name))} for s in self.types
            },
            "false_alarms_by_kind": {s.name: s.as_dict() for s in self.false_alarms_by(lambda v: v.kind)},
            "recall_by_background": {s.name: s.as_dict() for s in self.recall_by(lambda v: v.background)},
            "false_alarms_by_background": {
                s.name: s.as_dict() for s in self.false_alarms_by(lambda v: v.background)
            },
            "side_alarms": dict(_counted(v.side for v in self.harmful)),
            "general_in_harmless": dict(_counted(v.general for v in self.harmless)),
            "failed": [asdict(v) for v in self.verdicts if not v.passed],
        }

    def lines(self) -> list[str]:
        """Return it as people read it."""
        out = ["", f"{'harmful, by type':34} recognised           95 % interval    delay p50 / p99 / max, s"]
        for share in self.types:
            out.append(f"  {share.name:32} {share.words()}   {_delay_words(self.delays(share.name))}")
        out += ["", f"{'harmful, by background':34} recognised           95 % interval"]
        out += [f"  {s.name:32} {s.words()}" for s in self.recall_by(lambda v: v.background)]
        out += ["", f"{'harmless, by kind':34} false alarms         95 % interval"]
        out += [f"  {s.name:32} {s.words()}" for s in self.false_alarms_by(lambda v: v.kind)]
        out += ["", f"{'harmless, by background':34} false alarms         95 % interval"]
        out += [f"  {s.name:32} {s.words()}" for s in self.false_alarms_by(lambda v: v.background)]
        for title, counts in (
            ("side alarms in harmful scenes", _counted(v.side for v in self.harmful)),
            ("events of severity 2 in harmless scenes", _counted(v.general for v in self.harmless)),
        ):
            out += ["", f"{title}: " + (", ".join(f"{k} {n}" for k, n in counts) or "none")]
        failed = [v for v in self.verdicts if not v.passed]
        out += ["", f"failed: {len(failed)}"] if failed else []
        for v in failed:
            half = "harmful" if v.event else "harmless"
            out.append(f"  {half} {v.number} {v.event or '-'}/{v.kind} on {v.background}: {v.why}")
        out += [
            "",
            f"recognised    {self.recall.words()}   at least {RECALL_AT_LEAST:.1%}, each type "
            f"{TYPE_AT_LEAST:.0%}   delay {_delay_words(self.delays())}",
            f"false alarms  {self.false_alarms.words()}   at most {FALSE_AT_MOST:.1%}",
            f"severity 2    {self.general.words()}   of the harmless scenes; no part of the verdict",
            f"seed {self.seed}: {'passed' if self.passed else 'NOT PASSED'}",
        ]
        return out


def _grouped(
    verdicts: Iterable[Verdict], key: Callable[[Verdict], str], hit: Callable[[Verdict], bool]
) -> list[Share]:
    hits: Counter[str] = Counter()
    trials: Counter[str] = Counter()
    for verdict in verdicts:
        trials[key(verdict)] += 1
        hits[key(verdict)] += hit(verdict)
    return [Share(name, hits[name], trials[name]) for name in sorted(trials)]


def _counted(groups: Iterable[tuple[str, ...]]) -> list[tuple[str, int]]:
    return Counter(name for group in groups for name in group).most_common()


def _delay_figures(delays: Sequence[float]) -> dict[str, float] | None:
    if not delays:
        return None
    figures = {"p50": percentile(delays, 50), "p99": percentile(delays, 99), "max": max(delays)}
    return {name: round(value, 3) for name, value in figures.items()}


def _delay_words(delays: Sequence[float]) -> str:
    figures = _delay_figures(delays)
    return "-" if figures is None else " / ".join(f"{value:.2f}" for value in figures.values())
