"""HX711s read by a state machine of the RP2040's PIO: RP2040 datasheet chapter 3, HX711 as in `hx711`.

The state machine gives the clock by itself, so that no interrupt and no garbage collection can keep it
high for 60 µs. What it read waits in its FIFO: two samples of all cells.
"""

import time
from array import array

import machine
import rp2
from packing import cells_from_words
from sensors.hx711 import OFF_US, Cells

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rp2.asm_pio import (
        in_,
        jmp,
        label,
        nop,
        pin,
        pins,
        push,
        set,
        wait,
        wrap,
        wrap_target,
        x,
        x_dec,
        y,
        y_dec,
    )
    from sensors.base import Told

INSTRUCTION_HZ = 1_000_000  # a clock of 1 µs high, 2 µs low: page 5 wants 0.2 to 50 µs high
MOST_CELLS = 4  # eight pulses of all cells in one word
WORDS = 4  # three of data; one says whether all were high after the 25th pulse
FIFO_WORDS = 8


def cells_program(cells: int, extra_pulses: int) -> "Any":
    """Return the program for `cells` consecutive data pins."""

    # the clock is low wherever it may have to wait: for a cell, or for room in the FIFO
    @rp2.asm_pio(
        sideset_init=rp2.PIO.OUT_LOW,
        in_shiftdir=rp2.PIO.SHIFT_LEFT,
        autopush=True,
        push_thresh=8 * cells,
        fifo_join=rp2.PIO.JOIN_RX,
    )
    def program() -> None:
        wrap_target()
        for cell in range(cells):
            wait(0, pin, cell).side(0)
        set(x, 23).side(0)
        label("bit")
        nop().side(1)
        in_(pins, cells).side(0)
        jmp(x_dec, "bit").side(0)
        nop().side(1)
        in_(pins, cells).side(0)
        push().side(0)
        for _ in range(extra_pulses - 1):
            nop().side(1)
            nop().side(0)
        # 1 ms of rest: a cell that is always low must not flood the FIFO
        set(y, 31).side(0)
        label("rest")
        nop().side(0)[15]
        jmp(y_dec, "rest").side(0)[15]
        wrap()

    return program


class PioCells(Cells):
    """The clock made by a state machine."""

    def __init__(
        self,
        place: str,
        streams: "list[dict[str, Any]]",
        faults: "list[Told]",
        clock_pin: int,
        first_data_pin: int,
        cells: int,
        gain: int,
        number: int,
    ) -> None:
        """`number`: which of the board's state machines."""
        data = tuple(machine.Pin(first_data_pin + i, machine.Pin.IN) for i in range(cells))
        clock = machine.Pin(clock_pin, machine.Pin.OUT, value=0)
        super().__init__(place, streams, faults, clock, data, gain)
        self._number = number
        self._clock_pin = clock_pin
        self._cells = cells
        self._all_high = (1 << cells) - 1
        self._program = cells_program(cells, self.extra_pulses)
        self._machine: "Any" = None
        self._words = array("I", bytes(4 * WORDS))

    def set_up(self) -> None:
        """Switch the converters off and on, and start the state machine."""
        if self._machine is not None:
            self._machine.active(0)
        clock = machine.Pin(self._clock_pin, machine.Pin.OUT, value=1)
        time.sleep_us(OFF_US)
        clock(0)
        self._machine = rp2.StateMachine(
            self._number, self._program, freq=INSTRUCTION_HZ, in_base=self.data[0], sideset_base=clock
        )
        self._machine.active(1)

    def begin(self) -> None:
        """Let go of what was read before."""
        while self._machine.rx_fifo() >= WORDS:
            self._machine.get(self._words)
        super().begin()

    def gather(self, body: bytearray, at: int, room: int) -> int:
        """Take whole samples from the FIFO."""
        count = 0
        while count < room and self._machine.rx_fifo() >= WORDS:
            self._machine.get(self._words)
            if self._words[3] != self._all_high:
                self.stuck += 1
                continue
            self.stuck = 0
            cells_from_words(self._words, self._cells, body, at)
            at += 3 * self._cells
            count += 1
        return count
