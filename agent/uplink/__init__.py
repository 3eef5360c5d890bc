"""From the outbox to the broker over MQTT: ``sender.Uplink`` is what the service starts and stops."""

from agent.uplink.queue import Queue
from agent.uplink.sender import Uplink, UplinkStats
from agent.uplink.settings import BrokerConfig

__all__ = ["BrokerConfig", "Queue", "Uplink", "UplinkStats"]
