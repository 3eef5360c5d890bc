"""MicroPython's raw prompt, from whatever state a board is in: mpremote, with time-outs and in our words.

docs.micropython.org, reference/repl: Ctrl-A raw prompt, Ctrl-B friendly prompt, Ctrl-C interrupt, Ctrl-D
soft reset or run, Ctrl-E A Ctrl-A raw paste.
"""

from __future__ import annotations

import ast
import contextlib
import errno
import hashlib
import io
import itertools
import re
import struct
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import serial
from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

from firmware_bridge.flashing.errors import FlashError, VanishedError
from firmware_bridge.flashing.finding import take_port
from firmware_bridge.port import BAUD

ANSWER_S = 5.0  # a write to flash may have to erase first
PROMPT_BAUD = 115_200  # of MicroPython on a UART, after each reset; USB does not mind
WORK_S = 60.0  # at most, for one command
ENTER_S = 10.0
LOOK_S = 0.5
QUIET_S = 0.05
HEARD_BYTES = 200  # enough to say what came instead
GONE_S = 0.15  # a board that knows no machine.reset says so at once
RUN_TRIES = 3
CHUNK_BYTES = 1024  # of a file, a command; its source takes up to four times that of the board's heap
OLD_CHUNK_BYTES = 12  # its source fits the 64 bytes that an old board's UART holds until it is read

KNOCK = b"\r" + b"\x03" * 8  # our own launcher's door opens to no less, see firmware/main.py
FRIENDLY, RAW, SOFT_RESET = b"\r\x02", b"\r\x01", b"\x04"
RAW_BANNER = b"raw REPL; CTRL-B to exit\r\n>"

_NO_SPACE = re.compile(r"^OSError: (\[Errno )?28\b", re.MULTILINE)
_NO_PYTHON = re.compile(r"^(SyntaxError|IndentationError)\b", re.MULTILINE)

# what mpremote lets out when the far end vanishes or talks nonsense
_BROKEN = (
    TransportError,
    serial.SerialException,
    termios.error,
    OSError,
    struct.error,
    ValueError,
    SyntaxError,
    IndexError,
)


class _Transport(SerialTransport):  # type: ignore[misc]  # mpremote has no types
    """mpremote's, which waits for bytes rather than sleeping 10 ms before it looks again.

    An old board, which knows no raw paste, has no way to say that it is full, and loses letters then. What
    is no Python without them was not begun, and is sent again.
    """

    def exec(self, command: str | bytes, data_consumer: Callable[[bytes], object] | None = None) -> bytes:
        """Return what a command printed."""
        for _ in range(RUN_TRIES - 1):
            try:
                return bytes(super().exec(command, data_consumer))
            except TransportExecError as error:
                if not _NO_PYTHON.search(error.error_output):
                    raise
        return bytes(super().exec(command, data_consumer))

    def read_until(
        self,
        min_num_bytes: int,
        ending: bytes,
        timeout: float | None = ANSWER_S,
        data_consumer: Callable[[bytes], object] | None = None,
        timeout_overall: float | None = WORK_S,
    ) -> bytes:
        """Return what comes up to `ending`, or what came when the time was up."""
        data = b""
        begin_s = time.monotonic()
        while not data.endswith(ending):
            byte = self.serial.read(1)
            if not byte:
                break
            data = data + byte if data_consumer is None else byte
            if data_consumer is not None:
                data_consumer(byte)
            if timeout_overall is not None and time.monotonic() - begin_s > timeout_overall:
                break
        return data


class Repl:
    """The raw prompt of the board on `port`; a context manager.

    Entering interrupts whatever runs and resets MicroPython softly, so that the heap is free. Leaving in
    any way, Ctrl-C included, lets the board boot as after power-on, unless it has been told so before.
    """

    def __init__(self, port: str) -> None:
        self.port = port
        self._transport: _Transport | None = None

    def __enter__(self) -> Repl:
        """Take the port and reach the prompt."""
        take_port(self.port).close()  # whatever is wrong with the port is told in its words
        deadline_s = time.monotonic() + ENTER_S
        while self._transport is None:
            try:
                with self._in_words("opening the port"):
                    self._transport = _Transport(self.port, PROMPT_BAUD, timeout=ANSWER_S)
                    self._transport.serial.write_timeout = ANSWER_S
            except VanishedError:  # it was there a moment ago: a board that begins anew comes back
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(QUIET_S)  # there is no event for a name under /dev
        try:
            self._enter()
        except KeyboardInterrupt:
            self.boot()  # it may have ended the program already
            raise
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._transport is not None:
            self.boot()

    # --- what one asks ---

    def run(self, source: str) -> bytes:
        """Run a few lines on the board; return what they printed."""
        with self._in_words("running a line on it") as transport:
            return transport.exec(source)

    def value(self, expression: str) -> Any:
        """Return the value of an expression of plain literals."""
        with self._in_words("asking it") as transport:
            return transport.eval(expression)

    def read_file(self, path: str) -> bytes:
        """Return the bytes of a file; raises FileNotFoundError."""
        with self._in_words(f"reading {path}") as transport:
            return bytes(transport.fs_readfile(path, chunk_size=CHUNK_BYTES))

    def write_file(self, path: str, data: bytes, progress: Callable[[int], object] = lambda _: None) -> None:
        """Write a file; `progress` is called with the bytes written so far. Raises OSError ENOSPC."""
        with self._in_words(f"writing {path}") as transport:
            chunk_bytes = CHUNK_BYTES if transport.use_raw_paste else OLD_CHUNK_BYTES
            transport.fs_writefile(
                path, data, chunk_size=chunk_bytes, progress_callback=lambda done, _: progress(done)
            )

    def hash_file(self, path: str) -> bytes:
        """Return the SHA-256 of a file; a board without it is read back."""
        with self._in_words(f"verifying {path}") as transport:
            return bytes(transport.fs_hashfile(path, "sha256", chunk_size=CHUNK_BYTES))

    def boot(self, how: str = "machine.reset()") -> None:
        """Let the board boot as after power-on, and let go of the port; it may be gone already."""
        transport = self._transport
        if transport is None:
            return
        with contextlib.suppress(*_BROKEN), contextlib.redirect_stdout(io.StringIO()):
            # an unfinished command is given up; a board without machine.reset is reset softly
            transport.serial.timeout = LOOK_S
            transport.serial.write(b"\r\x03\x03" + RAW)
            transport.read_until(1, RAW_BANNER, timeout_overall=LOOK_S)
            transport.serial.timeout = GONE_S
            transport.serial.write(f"import machine\n{how}\x04".encode())
            # whatever boots may talk without end
            if transport.read_until(1, b"\x04", timeout_overall=GONE_S).endswith(b"\x04"):
                transport.serial.write(FRIENDLY + SOFT_RESET)
        self._close()

    # --- how ---

    def _enter(self) -> None:
        transport = self._transport
        assert transport is not None
        with self._in_words("interrupting what runs on it"):
            self._reach_prompt(transport, KNOCK)
            transport.serial.timeout = ANSWER_S
            transport.serial.write(SOFT_RESET)
            transport.read_until(1, RAW_BANNER, timeout_overall=ENTER_S)
            self._reach_prompt(transport, b"")
            transport.serial.timeout = ANSWER_S
            transport.in_raw_repl = True
            transport.exec("0")  # it is known from here on whether there is raw paste

    def _reach_prompt(self, transport: _Transport, first: bytes) -> None:
        """Get an answer at the raw prompt; all that came before it is read, only its ``>`` is left."""
        deadline_s = time.monotonic() + ENTER_S
        heard = b""
        for number in itertools.count():
            transport.serial.timeout = QUIET_S
            if first:
                if number % 2:
                    self._knock_at(transport, BAUD)  # a program of ours that fell over, behind a UART
                transport.serial.write(first)
                heard = (heard + self._drain(transport))[-HEARD_BYTES:]
            transport.serial.timeout = LOOK_S
            # a busy board may answer an earlier round: each has its number
            transport.serial.write(RAW + f"print('here',{number},end='')\x04".encode())
            answer = f"here {number}\x04\x04".encode()
            heard = (heard + transport.read_until(1, answer, timeout_overall=LOOK_S))[-HEARD_BYTES:]
            if heard.endswith(answer):
                return
            if time.monotonic() > deadline_s:
                raise _no_prompt(self.port, heard)

    def _knock_at(self, transport: _Transport, baud: int) -> None:
        transport.serial.baudrate = baud
        transport.serial.write(KNOCK)
        transport.serial.flush()
        self._drain(transport)
        transport.serial.baudrate = PROMPT_BAUD

    def _drain(self, transport: _Transport) -> bytes:
        heard = b""
        deadline_s = time.monotonic() + LOOK_S
        while (data := transport.serial.read(4096)) and time.monotonic() < deadline_s:
            heard = (heard + data)[-HEARD_BYTES:]
        return heard

    def _close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            with contextlib.suppress(*_BROKEN):
                transport.close()
            with contextlib.suppress(*_BROKEN):
                transport.serial.close()

    @contextlib.contextmanager
    def _in_words(self, doing: str) -> Iterator[_Transport]:
        """Say in words what mpremote raises; files that are missing or find no room keep their OSError."""
        assert self._transport is not None or doing == "opening the port"
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # mpremote prints when it fails
                yield self._transport  # type: ignore[misc]  # None only while it is opened
        except FlashError:
            raise
        except TransportExecError as error:
            if _NO_SPACE.search(error.error_output):
                raise OSError(errno.ENOSPC, "no space left on the board", self.port) from error
            raise _complaint(self.port, doing, error.error_output) from error
        except _BROKEN as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOSPC):
                raise
            raise vanished(self.port, doing) from error


def sha256(data: bytes) -> bytes:
    """Return what `Repl.hash_file` returns for a file of these bytes."""
    return hashlib.sha256(data).digest()


def vanished(port: str, doing: str) -> VanishedError:
    """Return the error for a board that is not there any more, or talks nonsense."""
    return VanishedError(
        f"board on {port}",
        got=f"it went away or fell silent while {doing}",
        expected="an answer",
        remedy="Look at the cable and give the same command again: it goes on from there. "
        "What was on the board is still on it.",
    )


def _complaint(port: str, doing: str, traceback: str) -> FlashError:
    lines = traceback.strip().splitlines()
    return FlashError(
        f"board on {port}, {doing}",
        got=lines[-1] if lines else "an error without words",
        expected="no error",
        remedy="Press its reset button and give the same command again; "
        "if it says the same, put MicroPython on it anew with --base-image (docs/installers.md).",
    )


def _no_prompt(port: str, heard: bytes) -> VanishedError:
    got = "no prompt, but other bytes" if heard else "no prompt"
    return VanishedError(
        f"board on {port}",
        got=f"{got} in {ENTER_S:.0f} s",
        expected="MicroPython's prompt after Ctrl-C",
        remedy="Press its reset button and give the command again at once. A board that has no MicroPython "
        "yet, or a program that cannot be interrupted, needs --base-image (docs/installers.md).",
    )


def literal(text: bytes) -> Any:
    """Return what a board printed as a literal."""
    return ast.literal_eval(text.decode())
