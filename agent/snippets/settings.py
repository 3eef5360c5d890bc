"""Settings of snippets: the table ``[snippets]`` of the agent's configuration."""

from __future__ import annotations

from typing import Annotated

import msgspec

from agent.blocks import NS_PER_S
from agent.records import Severity

MOST_BEFORE_S = 20.0
MOST_AFTER_S = 60.0
Before = Annotated[float, msgspec.Meta(ge=0, le=MOST_BEFORE_S)]
After = Annotated[float, msgspec.Meta(ge=0, le=MOST_AFTER_S)]


class SnippetSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is taken before an event and after its start, by its severity; 0 and 0: nothing.

    ``ordered_max_s``: of one stream, in one order; ``ordered_kib_an_hour``: what orders may send, beside the
    upload budget.
    """

    minor_before_s: Before = 0.0
    minor_after_s: After = 0.0
    general_before_s: Before = 0.5
    general_after_s: After = 1.0
    major_before_s: Before = 2.0
    major_after_s: After = 3.0
    critical_before_s: Before = 5.0
    critical_after_s: After = 5.0
    ordered_max_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 60.0
    ordered_kib_an_hour: Annotated[float, msgspec.Meta(ge=0)] = 1024.0

    def span_ns(self, severity: Severity) -> tuple[int, int]:
        """Return how much is taken before and after, in ns."""
        before_s, after_s = {
            Severity.MINOR: (self.minor_before_s, self.minor_after_s),
            Severity.GENERAL: (self.general_before_s, self.general_after_s),
            Severity.MAJOR: (self.major_before_s, self.major_after_s),
            Severity.CRITICAL: (self.critical_before_s, self.critical_after_s),
        }[severity]
        return round(before_s * NS_PER_S), round(after_s * NS_PER_S)

    @property
    def takes_any(self) -> bool:
        """Whether anything is taken of its own accord."""
        return any(sum(self.span_ns(severity)) for severity in Severity)
