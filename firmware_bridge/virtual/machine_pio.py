"""What a driver finds as module `rp2`: its programs for the PIO, assembled and run on the bench.

The RP2040's datasheet, chapter 3. Of the instructions those that our programs use: jmp, wait, in, push,
set, nop, with side-set and delays; of the state machine one FIFO, autopush and its stalls.
"""

from machine_bench import clock, net

FIFO_WORDS = 4
INSTRUCTIONS = 32


class PIO:
    """Names that a program uses."""

    IN_LOW = 0
    IN_HIGH = 1
    OUT_LOW = 2
    OUT_HIGH = 3
    SHIFT_LEFT = 0
    SHIFT_RIGHT = 1
    JOIN_NONE = 0
    JOIN_TX = 1
    JOIN_RX = 2


class Instruction:
    """One instruction, to which side-set and delay are added as the assembler has them."""

    def __init__(self, name, arguments):
        self.name = name
        self.arguments = arguments
        self.side_level = None
        self.delay = 0

    def side(self, level):
        """Set the side pin."""
        self.side_level = level
        return self

    def __getitem__(self, delay):
        """Wait behind it."""
        if not 0 <= delay <= 15:
            raise ValueError("a delay of " + str(delay) + " with one side-set pin, expected 0 to 15")
        self.delay = delay
        return self


class Program:
    """An assembled program."""

    def __init__(self, options):
        self.options = options
        self.instructions = []
        self.labels = {}
        self.wrap_target = 0
        self.wrap = None


def asm_pio(**options):
    """Assemble the function below: it runs once, with the instructions as its globals."""

    def assemble(function):
        program = Program(options)

        def emit(name):
            def add(*arguments):
                instruction = Instruction(name, arguments)
                program.instructions.append(instruction)
                return instruction

            return add

        def label(name):
            program.labels[name] = len(program.instructions)

        def wrap_target():
            program.wrap_target = len(program.instructions)

        def wrap():
            program.wrap = len(program.instructions) - 1

        names = function.__globals__
        kept = dict(names)
        names.clear()
        for name in ("jmp", "wait", "in_", "push", "set", "nop"):
            names[name] = emit(name)
        for name in ("x", "y", "x_dec", "y_dec", "pins", "pin"):
            names[name] = name
        names["label"] = label
        names["wrap_target"] = wrap_target
        names["wrap"] = wrap
        try:
            function()
        finally:
            names.clear()
            names.update(kept)
        if len(program.instructions) > INSTRUCTIONS:
            raise ValueError(str(len(program.instructions)) + " instructions, expected at most 32")
        return program

    return assemble


class StateMachine:
    """Runs a program, a cycle 1/freq: always up to now, when somebody looks."""

    def __init__(self, number, program, freq=125_000_000, in_base=None, sideset_base=None):
        self._program = program
        self._cycle_us = 1_000_000 // freq
        if self._cycle_us * freq != 1_000_000:
            raise ValueError("the bench counts in whole µs a cycle")
        self._in_base = in_base.number
        self._side = net(sideset_base.number)
        self._side_level = None
        joined = program.options.get("fifo_join") == PIO.JOIN_RX
        self._fifo_words = 2 * FIFO_WORDS if joined else FIFO_WORDS
        self._fifo = []
        self._x = self._y = self._isr = self._count = self._at = 0
        self._time_us = 0
        self._running = False
        self._begun = False  # the instruction at hand stalls, its side-set is done

    def active(self, on):
        """Start or stop."""
        if self._running:
            self._run()
        self._running = bool(on)
        self._time_us = clock.now_us()

    def rx_fifo(self):
        """Return how many words wait."""
        self._run()
        return len(self._fifo)

    def get(self, buffer):
        """Take as many words as the buffer has places."""
        self._run()
        for i in range(len(buffer)):
            buffer[i] = self._fifo.pop(0)
        self._run()

    def _run(self):
        now_us = clock.now_us()
        if not self._running:
            return
        clock.set(self._time_us)
        while clock.now_us() < now_us:
            self._step(now_us)
        self._time_us = clock.now_us()
        clock.set(now_us)

    def _step(self, until_us):
        program = self._program
        instruction = program.instructions[self._at]
        level = instruction.side_level
        if level is not None and level != self._side_level:
            self._side_level = level
            self._side.put(level)
        if not self._execute(instruction):
            if instruction.name == "wait":
                clock.advance(100)  # pins change seldom; µs by µs would take for ever
            else:
                clock.set(until_us)  # the FIFO is full, and only the driver can mend that
            return
        clock.advance(self._cycle_us * (1 + instruction.delay))

    def _execute(self, instruction):
        name = instruction.name
        arguments = instruction.arguments
        following = self._program.wrap_target if self._at == self._program.wrap else self._at + 1
        if name == "wait":
            if net(self._in_base + arguments[2]).get() != arguments[0]:
                return False
        elif name == "in_":
            count = arguments[1]
            threshold = self._program.options.get("push_thresh", 32)
            if self._count + count >= threshold and len(self._fifo) == self._fifo_words:
                return False
            value = 0
            for i in range(count):
                value |= net(self._in_base + i).get() << i
            self._isr = (self._isr << count | value) & 0xFFFFFFFF
            self._count += count
            if self._program.options.get("autopush") and self._count >= threshold:
                self._push()
        elif name == "push":
            if len(self._fifo) == self._fifo_words:
                return False
            self._push()
        elif name == "set":
            setattr(self, "_" + arguments[0], arguments[1])
        elif name == "jmp":
            register = "_" + arguments[0][0]
            value = getattr(self, register)
            if value:
                following = self._program.labels[arguments[1]]
            setattr(self, register, (value - 1) & 0xFFFFFFFF)
        self._at = following
        return True

    def _push(self):
        self._fifo.append(self._isr)
        self._isr = self._count = 0
