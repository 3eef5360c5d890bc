"""The agent inside a smart cargo box: sources, correction, detection, reduction, outbox, uplink.

The rooms and the laws between them stand in ``docs/architecture.md``.
"""

__version__ = "0.1.0"
