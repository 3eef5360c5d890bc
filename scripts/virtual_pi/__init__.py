"""A Raspberry-Pi-class machine without hardware: Debian 12 in QEMU, with a real kernel I2C bus.

``scripts/virtual_pi/build`` makes it, ``run`` and ``suite`` use it; ``docs/virtual-pi.md`` describes it.
``usbip``, ``bus_process`` and ``porter`` run in the guest, all else on the host.
"""
