"""Opening the serial port, with plain words for what can be wrong with it."""

from __future__ import annotations

import errno
import os
import select
import termios
import time

import serial

from firmware_bridge.errors import PortError
from firmware_bridge.port_users import users_of
from firmware_bridge.ports import describe_ports

BAUD = 921_600  # USB serial ignores it; a board behind a UART bridge is built for it
READ_BYTES = 65_536

# pyserial lets out what the system gives it; termios.error is no OSError
_GONE = (OSError, termios.error)


class Port:
    """A serial port that this process alone uses, from one thread."""

    def __init__(self, name: str) -> None:
        """Open `name`; raise `PortError`."""
        self.name = name
        try:
            self._serial = serial.Serial(name, BAUD, timeout=0, exclusive=True)
        except serial.SerialException as error:
            raise _explain(name, error) from error
        except _GONE as error:
            raise _vanished(name, str(error)) from error
        try:
            self._fd = self._serial.fileno()
            self._serial.reset_input_buffer()
        except _GONE as error:
            self.close()
            raise _vanished(name, str(error)) from error

    def read(self, timeout_s: float) -> tuple[bytes, int]:
        """Return what has come and when (monotonic ns), waiting at most `timeout_s` for the first byte.

        Empty bytes when nothing came. Raises `PortError` when the port has gone.
        """
        # straight to the descriptor: pyserial's read() costs three system calls and a copy more
        try:
            readable, _, _ = select.select([self._fd], [], [], timeout_s)
            came_ns = time.monotonic_ns()
            if not readable:
                return b"", came_ns
            data = os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return b"", time.monotonic_ns()
        except OSError as error:
            raise _vanished(self.name, os.strerror(error.errno or 0)) from error
        if not data:
            raise _vanished(self.name, "end of file")
        return data, came_ns

    def write(self, data: bytes) -> None:
        """Send a few bytes; raise `PortError` when the port has gone or takes nothing."""
        try:
            sent = os.write(self._fd, data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise _vanished(self.name, os.strerror(error.errno or 0)) from error
        if sent != len(data):
            raise _vanished(self.name, f"it took {sent} of {len(data)} bytes")

    def close(self) -> None:
        """Let go of the port, which may already be gone."""
        try:
            self._serial.close()
        except _GONE:
            return  # EIO: the device behind it was pulled out


def _vanished(name: str, got: str) -> PortError:
    return PortError(
        f"serial port {name}",
        got=f"it went away ({got})",
        expected="an open port",
        remedy="Look at the cable and at the board's power; the link comes back by itself.",
    )


def _explain(name: str, error: serial.SerialException) -> PortError:
    doing = f"serial port {name}"
    if error.errno == errno.ENOENT:
        return PortError(
            doing,
            got="there is no such port",
            expected=f"one of those present: {describe_ports()}",
            remedy="Plug the board in, or correct the port (`--port`, or the configuration); "
            "a name under /dev/serial/by-id stays the same. `cargobox doctor` lists what is there.",
        )
    if error.errno in (errno.EAGAIN, errno.EBUSY):
        users = ", ".join(str(user) for user in users_of(name))
        remedy = f"`sudo fuser -v {name}` says which; usually another `cargobox run` or a terminal program."
        if users:
            remedy = f"It is {users}. End it; if it is the service: `sudo systemctl stop cargobox`."
        return PortError(
            doing,
            got="another program uses it",
            expected="the port for this program alone",
            remedy=remedy,
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return PortError(
            doing,
            got="permission denied",
            expected="a port that this user may open",
            remedy="`sudo usermod -aG dialout $USER`, then log in again.",
        )
    # pyserial gives no number for what is no terminal at all
    reason = os.strerror(error.errno) if error.errno else "it is none"
    return PortError(
        doing,
        got=reason,
        expected="a serial port",
        remedy="Correct the port (`--port`, or the configuration); `cargobox doctor` lists what is there.",
    )
