"""A box without hardware: the real firmware on a real MicroPython behind a pty, playing a trip.

``VirtualBox(trip, link, state_dir)`` is the box; ``python -m firmware_bridge.virtual --link PATH``
gives an engineer one to point ``cargobox run`` at.
"""

from firmware_bridge.virtual.box import Interpreter, VirtualBox, VirtualBoxError
from firmware_bridge.virtual.playback import Trip

__all__ = ["Interpreter", "Trip", "VirtualBox", "VirtualBoxError"]
