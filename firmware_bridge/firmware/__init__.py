"""The program on the microcontroller: ``main.py`` over a ``board.py``, with ``wire.py`` beside them.

On a board the files lie flat in its file system; nothing here is imported on the host.
"""
