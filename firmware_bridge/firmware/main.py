"""The launcher of a cargo box: chooses the program among those in the flash, starts it, and takes the blame.

    a/ b/       a program each
    slot        the one to start: ``a`` or ``b``
    trial       one to start once, watched; it stays only if it is kept
    prompt      end at MicroPython's prompt, once
    why         what ended the program that failed last
    config.json what the box is made of; ``config.trial``: the one that comes with the trial;
                ``config.a``, ``config.b``: the one that belongs to that slot while the other is tried

The power may go between any two steps here. A file system of a board (littlefs) renames and removes in one
step, and the one step that decides is the renaming of ``slot.new`` to ``slot``. Whatever is in doubt, the
old program runs. Nothing here starts a watchdog on the way to the prompt: on an RP2040 it cannot be stopped.
"""

import io
import os
import sys
import time

try:
    import micropython
except ImportError:  # CPython runs it as well, for the virtual box
    micropython = None
try:
    import machine
except ImportError:
    machine = None

SLOTS = ("a", "b")
WATCHDOG_MS = 8000  # an RP2040 counts no further than 8388 ms (datasheet, 4.7.2)
KNOCK = b"\x03" * 8  # Ctrl-C so often is no frame of ours
DOOR_MS = 3000  # how long a program that failed leaves the way to the prompt open; USB needs one second
LOOK_MS = 20
PATIENCE_MS = 100


def read(name):
    """Return the text of a file, empty where there is none."""
    try:
        with open(name) as f:
            return f.read()
    except OSError:
        return ""


def write(name, text):
    """Write a file aside and put it in its place in one step."""
    with open(name + ".new", "w") as f:
        f.write(text)
    os.rename(name + ".new", name)


def exists(name):
    """Return whether there is such a file."""
    try:
        os.stat(name)
    except OSError:
        return False
    return True


def remove(name):
    """Remove a file that may not be there."""
    try:
        os.remove(name)
    except OSError:
        pass


def other(slot):
    """Return the slot that is not this one; empty for none."""
    return {"a": "b", "b": "a"}.get(slot, "")


class Launcher:
    """The program's view of how it was started."""

    def __init__(self):
        self.slot = read("slot")
        self.trial = False

    def keep(self):
        """Make the program that runs the one to start from now on."""
        write("slot", self.slot)
        self.trial = False
        remove("config." + other(self.slot))

    def prompt_at_next_boot(self):
        """Let the next boot end at MicroPython's prompt, once."""
        with open("prompt", "w") as f:
            f.write("once")

    def choose(self):
        """Decide what to run; return whether there is anything."""
        if self.slot in SLOTS:
            # a trial that was cut short or failed: its configuration goes as well
            if exists("config." + self.slot):
                os.rename("config." + self.slot, "config.json")
            remove("config." + other(self.slot))
        slot = read("trial")
        if slot in SLOTS:
            remove("trial")  # first of all: it has this one chance
            if exists("config.trial"):
                if self.slot in SLOTS and exists("config.json"):
                    os.rename("config.json", "config." + self.slot)
                os.rename("config.trial", "config.json")
            self.slot = slot
            self.trial = True
        return self.slot in SLOTS

    def run(self):
        """Start the program; come back only where there is none, or for the prompt."""
        if exists("prompt"):
            remove("prompt")
            return
        if not self.choose():
            return
        if not self.trial and (knocked(0) or (fell_over() and knocked(DOOR_MS))):
            self.leave_to_prompt()
        try:
            if self.trial and hasattr(machine, "WDT"):
                machine.WDT(timeout=WATCHDOG_MS)
            sys.path.insert(0, self.slot)
            import program

            program.run(self)
            raise RuntimeError("the program ended")
        except SystemExit:
            if not hasattr(machine, "reset"):
                raise
        except BaseException as error:
            self.take_blame(error)
        restart()

    def take_blame(self, error):
        """Keep what ended the program, for whoever asks; let those in who knock."""
        if not hasattr(machine, "reset"):
            raise error
        try:
            words = io.StringIO()
            words.write(self.slot + "\n")
            sys.print_exception(error, words)
            if read("why") != words.getvalue():  # a program that fails all day must not wear the flash out
                write("why", words.getvalue())
        except OSError:
            pass  # a full flash; that the program ended can still be seen
        sys.print_exception(error)
        if not self.trial and knocked(DOOR_MS):
            self.leave_to_prompt()

    def leave_to_prompt(self):
        """Boot to the prompt: whatever watchdog runs has no say there."""
        self.prompt_at_next_boot()
        restart()


def hear_interrupts(on):
    """Let Ctrl-C interrupt, or be a byte like any other."""
    if micropython is not None:
        micropython.kbd_intr(3 if on else -1)


def fell_over():
    """Return whether a watchdog brought us here."""
    return hasattr(machine, "reset_cause") and machine.reset_cause() == machine.WDT_RESET


def knocked(wait_ms):
    """Return whether the host asks for the prompt within that time."""
    if not hasattr(machine, "reset"):
        return False
    import select

    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    heard = b""
    begin_ms = time.ticks_ms()
    while True:
        waited_ms = time.ticks_diff(time.ticks_ms(), begin_ms)
        if poll.poll(0):
            heard = (heard + sys.stdin.buffer.read(1))[-len(KNOCK) :]
            if heard == KNOCK:
                return True
        elif waited_ms >= wait_ms:
            return False
        else:
            time.sleep_ms(LOOK_MS)
        if waited_ms >= wait_ms + PATIENCE_MS:
            return False  # a host that floods


def restart():
    """Boot anew."""
    if hasattr(machine, "reset"):
        machine.reset()


hear_interrupts(False)  # the host may think that the program still runs: every byte is data
Launcher().run()
hear_interrupts(True)
