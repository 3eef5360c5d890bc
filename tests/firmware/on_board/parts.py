"""The parts of `machine` that are no chip's: identity, reset, watchdog. Put where the drivers look."""

import sys

import machine_bench as machine


class WDT:
    def __init__(self, timeout):
        WDT.timeout_ms = timeout
        WDT.fed = 0

    def feed(self):
        WDT.fed += 1


def unique_id():
    return b"\xe6\x61\x4c\x31\x1b\x7e\x8f\x29"


def reset():
    machine.resets += 1


def reset_cause():
    return machine.cause


machine.WDT = WDT
machine.unique_id = unique_id
machine.reset = reset
machine.reset_cause = reset_cause
machine.resets = 0
machine.cause = machine.PWRON_RESET = 1
machine.HARD_RESET = 2
machine.WDT_RESET = 3
machine.DEEPSLEEP_RESET = 4
machine.SOFT_RESET = 5
sys.modules["machine"] = machine
