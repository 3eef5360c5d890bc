"""The wall clock: was it ever set, and does a time service keep it right? (adjtimex(2), ntp_adjtime(3))."""

from __future__ import annotations

import time
from collections.abc import Iterator

from agent.doctor.finding import Area, Finding, Patient, State
from agent.kernel_clock import kernel_state
from agent.timebase import TimeQuality, measure_mark, rfc3339

US_PER_S = 1_000_000
LARGE_ERROR_US = 1 * US_PER_S


def check(_patient: Patient) -> Iterator[Finding]:
    """Look at date, synchronisation and the quality that the agent will put into its records."""
    mark = measure_mark()
    now = rfc3339(time.time_ns())[:19] + "Z"
    kernel = kernel_state()
    figures = {
        "utc": now,
        "quality": mark.quality.value,
        "kernel_synchronised": None if kernel is None else kernel[0],
        "max_error_us": None if kernel is None else kernel[1],
    }
    if mark.quality is TimeQuality.UNSET:
        yield Finding(
            Area.WALL_CLOCK,
            State.WRONG,
            "date",
            f"{now}: the clock was never set; records say `tq` unset",
            "Give the box a network, and a time service: `sudo timedatectl set-ntp true`; without a network, "
            "`sudo date -s '2026-01-31 12:00'`, or a battery clock.",
            figures,
        )
        return
    if kernel is not None and kernel[0]:
        within = f", right within {kernel[1] / 1000:.0f} ms" if kernel[1] < LARGE_ERROR_US else ""
        found = f"{now}, kept by a time service{within}"
        yield Finding(Area.WALL_CLOCK, State.OK, "date", found, "", figures)
        return
    if mark.quality is TimeQuality.SYNCED:
        yield Finding(
            Area.WALL_CLOCK, State.OK, "date", f"{now}, set by systemd-timesyncd since the start", "", figures
        )
        return
    yield Finding(
        Area.WALL_CLOCK,
        State.WARNING,
        "date",
        f"{now}, kept by no time service; records say `tq` holdover",
        "Is that the right date? `timedatectl` tells more, `sudo timedatectl set-ntp true` starts one.",
        figures,
    )
