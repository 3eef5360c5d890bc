"""The person's end: single keys and a screen on a terminal, lines in a pipe.

Nothing but the standard library: an installer calibrates on the box's own computer, where only what the
service needs is installed. Control sequences after ECMA-48; the alternate screen is xterm's, and every
terminal in use has it.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from agent.calibrating.view import View, rows_of

ENTER = "enter"
_STYLES = {"": "", "dim": "2", "strong": "1", "good": "32", "bad": "1;31", "warn": "33"}
_OPEN = "\x1b[?1049h\x1b[?25l"
_CLOSE = "\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"
NARROW, LOW = 40, 12  # below that nothing fits, and lines are better


class Person(Protocol):
    """Whoever is asked."""

    def keys(self, wait_s: float) -> list[str]:
        """Return what was pressed meanwhile: "enter", or the letter; waits at most `wait_s`."""
        ...

    def show(self, view: View) -> None:
        """Let them see the state."""
        ...

    def tell(self, line: str) -> None:
        """Say something that has happened."""
        ...

    @property
    def gone(self) -> bool:
        """Whether nobody can press a key any more: the pipe has ended."""
        ...

    @property
    def eager(self) -> bool:
        """Whether keys count at once, and not only when something is asked."""
        ...


def person(*, keys_fd: int | None = None, out: TextIO | None = None) -> OnTerminal | InPipe:
    """Return the person at standard input and standard error; a context manager."""
    out = sys.stderr if out is None else out
    fd = _stdin_fd() if keys_fd is None else keys_fd
    fits = shutil.get_terminal_size()
    if fd is not None and os.isatty(fd) and out.isatty() and fits.columns >= NARROW and fits.lines >= LOW:
        return OnTerminal(fd, out)
    return InPipe(fd, out)


def _stdin_fd() -> int | None:
    try:
        return None if sys.stdin is None or sys.stdin.closed else sys.stdin.fileno()
    except (OSError, ValueError):
        return None


def speaks_unicode(out: TextIO) -> bool:
    """Whether the terminal's encoding has the characters that the sketches are made of."""
    try:
        "█⣿─✓▶".encode(out.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return os.environ.get("TERM") != "linux"  # the kernel's console has no Braille


class OnTerminal:
    """A screen of its own, redrawn in place; keys without Enter. All is put back at the end."""

    eager = True

    def __init__(self, fd: int, out: TextIO) -> None:
        self.gone = False
        self._fd = fd
        self._out = out
        self._unicode = speaks_unicode(out)
        self._colours = os.environ.get("NO_COLOR", "") == ""  # no-color.org
        self._before: list[Any] = []
        self._shown = ""

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._fd)
        tty.setcbreak(self._fd)  # keys at once, and Ctrl-C stays a signal
        self._write(_OPEN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal may be gone
            self._write(_CLOSE)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)

    def keys(self, wait_s: float) -> list[str]:
        """Return the keys pressed since the last call."""
        data = _read(self._fd, wait_s)
        self.gone = data == b""  # the connection to the terminal has ended
        return [*_keys_of(data)]

    def show(self, view: View) -> None:
        """Draw the screen, if it has changed."""
        size = shutil.get_terminal_size()
        rows = rows_of(view, size.columns - 1, size.lines, unicode=self._unicode)
        lines = ["".join(self._styled(text, style) for text, style in row) + _END_OF_LINE for row in rows]
        drawn = _HOME + "\r\n".join(lines) + _END_OF_SCREEN
        if drawn != self._shown:
            self._shown = drawn
            self._write(drawn)

    def tell(self, line: str) -> None:
        """Nothing: the screen shows it."""

    def _styled(self, text: str, style: str) -> str:
        code = _STYLES[style] if self._colours else {"strong": "1", "bad": "1"}.get(style, "")
        return f"\x1b[{code}m{text}\x1b[0m" if code and text else text

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


class InPipe:
    """Plain lines, no colours: what has happened is written, and a line that is read is a key.

    An empty line is Enter, else its first letter counts. The end of the input is nobody there any more.
    """

    eager = False  # a line answers what is asked next, also one that was written before

    def __init__(self, fd: int | None, out: TextIO) -> None:
        self._fd = fd
        self._out = out
        self._pending = b""
        self._ready: list[str] = []
        self._asked = ""
        self._troubled = False
        self.gone = fd is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._out.flush()

    def keys(self, wait_s: float) -> list[str]:
        """Return one key at most: what follows in the pipe answers what will be asked next."""
        if not self._ready:
            self._fill(wait_s)
        elif wait_s:
            select.select([], [], [], wait_s)
        return [self._ready.pop(0)] if self._ready else []

    def _fill(self, wait_s: float) -> None:
        if self.gone or self._fd is None:
            select.select([], [], [], wait_s)
            return
        data = _read(self._fd, wait_s)
        if data is None:
            return
        if not data:
            self.gone = True
        *lines, self._pending = (self._pending + data).split(b"\n")
        self._ready += [line.strip().decode("ascii", "ignore")[:1].lower() or ENTER for line in lines]

    def show(self, view: View) -> None:
        """Say what is asked, once, and once that nothing comes."""
        asked = f"{view.now}: {view.ask}"
        if asked != self._asked:
            self._asked = asked
            self.tell(asked)
        if bool(view.trouble) != self._troubled:
            self._troubled = bool(view.trouble)
            self.tell(view.trouble or "samples come again")

    def tell(self, line: str) -> None:
        """Write a line."""
        print(line.replace("\n", " "), file=self._out, flush=True)


def _read(fd: int, wait_s: float) -> bytes | None:
    """Return what can be read within `wait_s`: None where nothing came, b"" at the end."""
    try:
        readable, _, _ = select.select([fd], [], [], wait_s)
        return os.read(fd, 1024) if readable else None
    except InterruptedError:
        return None
    except OSError:
        return b""


def _keys_of(data: bytes | None) -> Iterator[str]:
    """Yield the keys in what a terminal sent; arrows and the like are none of ours."""
    if not data or data.startswith(b"\x1b"):
        return
    for letter in data.decode("utf-8", "ignore"):
        if letter in "\r\n":
            yield ENTER
        elif letter == "\x7f":
            yield "u"  # Backspace takes back, too
        elif letter.isprintable():
            yield letter.lower()


def plain(lines: Sequence[str], out: TextIO | None = None) -> None:
    """Write lines for a person to standard error."""
    for line in lines:
        print(line, file=sys.stderr if out is None else out)
