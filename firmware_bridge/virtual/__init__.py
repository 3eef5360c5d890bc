"""A box without hardware: the real firmware on a real MicroPython behind a pty, playing a trip."""
