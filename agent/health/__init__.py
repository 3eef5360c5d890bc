"""How the box itself does, measured once a minute: one file a thing, and what of it is trouble."""

from agent.health.monitor import Monitor, Surroundings
from agent.health.reporter import Reporter

__all__ = ["Monitor", "Reporter", "Surroundings"]
