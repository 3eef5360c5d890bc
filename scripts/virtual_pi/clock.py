"""The guest's clock is in 1970, is set, and jumps back an hour: stamps and order at a subscriber.

python -m scripts.virtual_pi.clock     as root; prints one line a finding, ends with 1 where one is wrong

The kernel is the real one, and told as a time service tells it: settimeofday(2), then adjtimex(2). What is
promised stands in docs/guarantees.md; tests/clock has more cases, with a kernel of their own.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
import time
from itertools import pairwise

from agent.kernel_clock import Timex
from agent.outbox.inspect import outbox_stats
from agent.timebase import wall_ns_of
from scripts.virtual_pi.hang import until
from scripts.virtual_pi.operations import OUTBOX, Findings
from scripts.virtual_pi.service import UNIT, Service
from tests.live.watcher import Message, Watcher

PORT = 1883
ADJ_MAXERROR, ADJ_STATUS = 0x0004, 0x0010  # linux/timex.h
AN_HOUR_S = 3600.0
FEW, MANY = 8, 16
NEAR_S = 1.0
"""The emulated machine is slow; what is looked for is an hour, or half a century."""
NOTICED_S = 12.0
AGENT = """
[box]
id = "virtual-pi"
[source.serial]
port = "/dev/ttyS1"
[upload]
batch_s = 1
[health]
every_s = 5.0
"""


def set_date(wall_s: float, *, by_a_time_service: bool) -> None:
    """Set the kernel's date, and say that it is disciplined, as a time service does."""
    time.clock_settime(time.CLOCK_REALTIME, wall_s)
    if by_a_time_service:
        about = Timex(modes=ADJ_STATUS | ADJ_MAXERROR, maxerror=1000, status=0)
        if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(about)) < 0:
            raise OSError(ctypes.get_errno(), "adjtimex")


def systemctl(*words: str) -> None:
    """Tell systemd."""
    subprocess.run(["systemctl", *words], check=True)


def waits(least: int) -> None:
    """Wait until so many records wait."""
    until(f"{least} records", lambda: int(outbox_stats(OUTBOX)["waiting"]) >= least)


def drained() -> None:
    """Wait until hardly anything waits, and what is on its way has come."""
    until("an empty outbox", lambda: int(outbox_stats(OUTBOX)["waiting"]) < 2)
    threading.Event().wait(2.0)


def seconds(message: Message) -> float:
    """Return a record's `t`."""
    return wall_ns_of(message.body["t"]) / 1e9


def judged(found: Findings, watcher: Watcher, boot: str, since_s: float, what: str) -> None:
    """Look at all that has come of one boot: whole, once, and with times that rise from `since_s` on."""
    records = list(watcher.records(boot).values())
    numbers = [message.body["seq"] for message in records]
    found.say(numbers == list(range(len(numbers))), f"{what}: records 0 to {max(numbers)}, none missing")
    plain = [seconds(message) for message in records if message.kind == "features"]
    late = min(plain) - since_s
    found.say(-NEAR_S < late < 120, f"{what}: the first features are {late:.1f} s after the start")
    falls = sum(after < before for before, after in pairwise(plain))
    found.say(falls == 0, f"{what}: the times of {len(plain)} features records rise; falls: {falls}")
    qualities = sorted({message.body["tq"] for message in records})
    found.say(True, f"{what}: tq {', '.join(qualities)}; came again: {watcher.duplicates}")


def main() -> int:
    """Do it all."""
    found, service = Findings(), Service(AGENT)
    real_s = time.time() - time.monotonic()  # of the start of the kernel
    service.install()
    systemctl("start", "mosquitto.service")
    with Watcher(PORT) as watcher:  # whose session mosquitto keeps while it is stopped
        systemctl("stop", "mosquitto.service")
        scenario(found, watcher, real_s)
    service.stop()
    print(f"{found.wrong} findings are wrong", flush=True)
    return 1 if found.wrong else 0


def scenario(found: Findings, watcher: Watcher, real_s: float) -> None:
    """From 1970 to the second start. `real_s`: the date at which the kernel began."""
    pause = threading.Event()
    print("1970, no broker:", flush=True)
    # no kernel takes a date that is less than what it has been running for
    set_date(time.clock_gettime(time.CLOCK_BOOTTIME) + 1.0, by_a_time_service=False)
    began_s = real_s + time.monotonic()
    systemctl("start", UNIT)
    waits(FEW)
    found.say(time.gmtime().tm_year == 1970, f"{FEW} records wait, made in {time.gmtime().tm_year}")
    print("a time service sets the clock, then the broker comes:", flush=True)
    set_date(real_s + time.monotonic(), by_a_time_service=True)
    pause.wait(NOTICED_S)  # it is asked for now and then
    systemctl("start", "mosquitto.service")
    until("records of 1970", lambda: len(watcher.of("features")) >= FEW)
    drained()
    boot = str(watcher.of("features")[0].body["boot"])
    judged(found, watcher, boot, began_s, "set")
    print("no broker, and somebody sets the clock back an hour:", flush=True)
    systemctl("stop", "mosquitto.service")
    waiting = int(outbox_stats(OUTBOX)["waiting"])
    set_date(real_s + time.monotonic() - AN_HOUR_S, by_a_time_service=False)
    waits(waiting + FEW)
    set_date(real_s + time.monotonic(), by_a_time_service=True)
    pause.wait(NOTICED_S)
    systemctl("start", "mosquitto.service")
    before = len(watcher.of("features"))
    until("more features", lambda: len(watcher.of("features")) >= before + MANY)
    drained()
    judged(found, watcher, boot, began_s, "set back")
    print("the agent begins anew:", flush=True)
    again_s = real_s + time.monotonic()
    systemctl("restart", UNIT)
    until("another boot", lambda: any(m.body["boot"] != boot for m in watcher.of("features")))
    other = next(str(m.body["boot"]) for m in watcher.of("features") if m.body["boot"] != boot)
    judged(found, watcher, other, again_s, "anew")


if __name__ == "__main__":
    sys.exit(main())
