"""Topics that are the uplink's own; those of records come with the records (``agent.records``)."""

from __future__ import annotations

from agent.records import topic_of

STATUS = "status"
COMMAND = "cmd"


def status_topic(fleet: str, box: str) -> str:
    """Return the topic that says, retained, whether a box is connected."""
    return topic_of(fleet, box, STATUS)


def command_topic(fleet: str, box: str, verb: str) -> str:
    """Return the topic on which a box is told to do `verb`."""
    return topic_of(fleet, box, f"{COMMAND}/{verb}")
