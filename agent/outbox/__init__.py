"""The durable queue: records wait here, on the card, until the broker has them.

``queue.Outbox`` is what the pipeline and the uplink use; ``storage`` opens the same files with TinyDB;
``inspect`` reads them beside a running agent.
"""

from agent.outbox.documents import Waiting
from agent.outbox.losses import Loss
from agent.outbox.queue import Outbox
from agent.outbox.room import Dropped
from agent.outbox.stats import OutboxStats
from agent.outbox.storage import OutboxDB, SegmentStorage, SegmentTable

__all__ = [
    "Dropped",
    "Loss",
    "Outbox",
    "OutboxDB",
    "OutboxStats",
    "SegmentStorage",
    "SegmentTable",
    "Waiting",
]
