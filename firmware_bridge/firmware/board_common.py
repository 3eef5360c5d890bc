"""What the boards share: the module `board` for the program, made from the configuration.

``board_rp2.py`` and ``board_esp32.py`` add what differs; each lies on its board as ``board.py``.
"""

import binascii
import json
import os
import select
import sys
import time

import machine
import micropython
from outputs import Outputs
from settings import PATH, Section, SettingFault, read_settings
from wiring import Wiring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sensors.base import Sensor, Ticks, Told

BOOTS_PATH = "boots"
WATCHDOG_MS = 8000  # the RP2040's counter ends at 8388 ms
NO_INTERRUPT_CHARACTER = -1
KEY_BYTES_AT_LEAST = 16
CONFIGURATION = "config"
MOST_FAULTS = 64  # that nobody has asked for yet


class CommonBoard:
    """The hardware as the program sees it: docs/boards.md names the contract."""

    tick_bits = 30  # MicroPython's ticks wrap there on chips of 32 bits
    ring_bytes = 32_768
    input_lost = 0

    def __init__(self, name: str, wiring: Wiring, faults: "list[Told]", defaults: str) -> None:
        micropython.kbd_intr(NO_INTERRUPT_CHARACTER)
        self._watchdog = machine.WDT(timeout=WATCHDOG_MS)
        self.name = name + " (" + getattr(sys.implementation, "_machine", "?") + ")"
        self.unique_id = binascii.hexlify(machine.unique_id()).decode()
        self.boots, self.reset_cause = self._count_boot()
        self.skipped = 0
        self.sample_ticks: "Ticks" = 0
        self.mount_up: "list[float] | None" = None
        self.output_key = b""
        self._faults = faults
        self._in = sys.stdin.buffer
        self._one = bytearray(1)
        self._poll = select.poll()
        self._poll.register(sys.stdin, select.POLLIN)
        self._sensors: "list[Sensor]" = []
        self._of: "list[Sensor]" = []  # of each stream
        self._part: "list[int]" = []
        setting_faults: "list[SettingFault]" = []
        self._outputs = self._configure(wiring, defaults, setting_faults)
        for fault in setting_faults:
            where = PATH if fault.key == PATH else PATH + " " + fault.key
            # a name of its own each: the program keeps one fault a name, and the host shall see them all
            name = CONFIGURATION + (" " + str(len(self._faults) + 1) if self._faults else "")
            self._faults.append((name, where, fault.got, fault.expected))
        streams = []
        for sensor in self._sensors:
            sensor.switch_on()
            for part in range(len(sensor.streams)):
                streams.append(sensor.streams[part])
                self._of.append(sensor)
                self._part.append(part)
        self.streams_text = json.dumps(streams)
        self.outputs_text = json.dumps(self._outputs.about())

    # --- from the configuration ---

    def _configure(self, wiring: Wiring, defaults: str, faults: "list[SettingFault]") -> Outputs:
        """Take what can be taken; what cannot is left out, and the board answers all the same."""
        try:
            section = Section("", read_settings(PATH, defaults))
        except SettingFault as fault:
            faults.append(fault)
            return Outputs([], wiring, faults)
        entries: "list[list[Any]]" = [[], []]
        for i, key in enumerate(("outputs", "sensors")):
            try:
                entries[i] = section.items(key)
            except SettingFault as fault:
                faults.append(fault)
        outputs = Outputs(entries[0], wiring, faults)  # first: safe as soon as can be
        try:
            self._configure_itself(section, wiring, faults)
            section.finish()
        except SettingFault as fault:
            faults.append(fault)
        for i in range(len(entries[1])):
            try:
                self._sensors.append(wiring.sensor(Section(f"sensors[{i}]", entries[1][i])))
            except SettingFault as fault:
                faults.append(fault)
        return outputs

    def _configure_itself(self, section: Section, wiring: Wiring, faults: "list[SettingFault]") -> None:
        section.value("comment")
        buses = section.value("buses", {})
        key = section.value("output_key", "")
        up = section.value("mount_up")
        for name in Section("buses", buses)._values:
            try:
                wiring.add_bus(name, buses[name])
            except SettingFault as fault:
                faults.append(fault)
        if key:
            try:
                secret = binascii.unhexlify(key)
            except (ValueError, TypeError):
                secret = b""
            if len(secret) >= KEY_BYTES_AT_LEAST:
                self.output_key = secret
            else:
                section.hide("output_key")
                faults.append(section.fault("output_key", "32 hexadecimal digits or more, an even number"))
        if up is not None:
            if not isinstance(up, list) or len(up) != 3 or not all(type(v) in (int, float) for v in up):
                raise section.fault("mount_up", "three numbers")
            self.mount_up = up

    # --- who, and why now ---

    def cause(self) -> str:
        """Return why the chip was reset, in a word or two."""
        return "unknown"

    def _count_boot(self) -> "tuple[int, str]":
        """Count one more; a reset that we made ourselves was written down before."""
        boots = 0
        word = ""
        try:
            with open(BOOTS_PATH) as file:
                written = file.read().split()
            boots = int(written[0])
            word = written[1] if len(written) > 1 else ""
        except (OSError, ValueError, IndexError):
            pass  # the first boot, or power that went while it was written
        cause = self.cause()
        self._write_boots(boots + 1, "")
        return boots + 1, word or cause

    def _write_boots(self, boots: int, word: str) -> None:
        try:
            with open(BOOTS_PATH + ".new", "w") as file:
                file.write(str(boots) + " " + word)
            os.rename(BOOTS_PATH + ".new", BOOTS_PATH)
        except OSError as error:
            self._note_full(error)

    def _note_full(self, error: OSError) -> None:
        """A full flash must not keep the board from answering; the counter stands still."""

    def reset(self) -> None:
        """Begin anew, as after power-on."""
        self._write_boots(self.boots, "soft")
        machine.reset()

    def feed(self) -> None:
        """Tell the watchdog that all is well."""
        self._watchdog.feed()

    # --- time and chance ---

    def ticks_us(self) -> "Ticks":
        """Return the free-running microsecond counter; it wraps at 2 ** tick_bits."""
        return time.ticks_us()

    def random_u32(self) -> int:
        """Return 32 random bits."""
        return int.from_bytes(os.urandom(4), "little")

    # --- the cable ---

    def wait(self, timeout_ms: int) -> None:
        """Return when the host has sent something, at the latest after `timeout_ms`."""
        for _ in self._poll.ipoll(timeout_ms):
            pass

    def read_host(self, buffer: bytearray) -> int:
        """Read what the host sent, without waiting; return the number of bytes.

        One by one: MicroPython's standard input waits until all that was asked for is there.
        """
        count = 0
        most = len(buffer)
        while count < most and self.something_came():
            if not self._in.readinto(self._one):
                break
            buffer[count] = self._one[0]
            count += 1
        return count

    def something_came(self) -> bool:
        """Return whether the host has sent something that was not read yet."""
        for _ in self._poll.ipoll(0):
            return True
        return False

    def write_host(self, buffer: bytearray, begin: int, end: int) -> int:
        """Write without waiting; return the number of bytes that the cable took."""
        raise NotImplementedError

    # --- sensors ---

    def start(self) -> None:
        """Begin a session: what is sampled from now on counts."""
        for sensor in self._sensors:
            sensor.start()

    def stop(self) -> None:
        """End the session. The sensors stay on, so that the next one finds them warm."""

    def take(self, stream: int, body: bytearray, at: int, room: int) -> int:
        """Copy at most `room` samples into `body` from `at` on; return how many."""
        sensor = self._of[stream]
        count = sensor.take(self._part[stream], body, at, room)
        self.skipped = sensor.skipped
        self.sample_ticks = sensor.sample_ticks
        return count

    def next_fault(self) -> "Told | None":
        """Return what went wrong (or well again) and was not told yet."""
        if not self._faults:
            return None
        del self._faults[MOST_FAULTS:]
        return self._faults.pop(0)

    # --- outputs ---

    def set_output(self, number: int, value: int) -> bool:
        """Move an output to `value` of 65535; return whether there is one."""
        return self._outputs.set(number, value)

    def make_safe(self) -> None:
        """Bring each output into its safe state."""
        self._outputs.make_safe()
