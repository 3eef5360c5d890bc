"""The cable: frames, the host's side of the link, and the firmware on the other end.

Imports nothing of ``agent``: an engineer can talk to a board with this package alone.
"""
