"""Putting the firmware on a board: found, looked at, compiled for, copied, tried, kept or taken back.

finding.py      which port, of those that are there
greeting.py     who answers there: our firmware, a prompt, nobody
repl.py         MicroPython's raw prompt, by mpremote, from any state that a board may be in
target.py       what the board is, and whether it can carry the firmware
building.py     the files for it, compiled where it takes that
slots.py        the two programs in its flash: which runs, which may be overwritten
trial.py        the new one runs once; it is kept when it has answered, or the old one is back
base_image.py   MicroPython itself: esptool, or a UF2 file on the board's drive
flasher.py      all of it in order
"""
