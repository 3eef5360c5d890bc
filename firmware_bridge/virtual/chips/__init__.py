"""Models of the chips, at register level, each after its datasheet; they run on MicroPython."""
