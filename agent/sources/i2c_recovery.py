"""Freeing a bus whose line is held down, as far as the kernel lets a program do it.

A chip that was interrupted in the middle of a read may hold SDA low until it has seen enough clocks
(UM10204, 3.1.16: nine of them). Only the controller can give those. Many kernel drivers do so themselves
after a time-out (i2c_recover_bus); all do it, or start afresh, when the driver is bound anew. The latter
needs the right to write to sysfs; without it the bus is opened anew, and that is all.
"""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger("cargobox")

SYS_I2C = Path("/sys/class/i2c-dev")
BIND_TRIES = 3


def free_lines(path: str, *, harder: bool) -> bool:
    """Bind the controller of the bus at `path` anew, if `harder`; return whether that was done.

    Nobody here may have the bus open: the kernel waits in unbind, without end, until it is closed.
    """
    if not harder:
        return False
    device = _controller(path)
    if device is None:
        return False
    driver = device / "driver"
    try:
        bound = driver.resolve(strict=True)
        (bound / "unbind").write_text(device.name)
    except OSError as error:
        log.debug("%s: unbinding %s: %s", path, device.name, error)
        return False
    for _ in range(BIND_TRIES):  # left unbound, the bus would be gone for good
        try:
            (bound / "bind").write_text(device.name)
            break
        except OSError as error:
            log.warning("%s: binding its controller %s again: %s", path, device.name, error)
    else:
        return False
    log.info("%s: its controller %s was bound anew", path, device.name)
    return True


def _controller(path: str) -> Path | None:
    """Return the device in sysfs whose driver runs the bus."""
    try:
        adapter = (SYS_I2C / Path(path).resolve().name / "device").resolve(strict=True)
    except OSError:
        return None
    for parent in adapter.parents:
        if (parent / "driver").exists():
            return parent
    return None
