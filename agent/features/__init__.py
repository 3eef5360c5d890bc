"""Features: what one window of a stream comes to. One file a family; numpy only, streaming.

``COLUMNS`` says which family reads which class of stream. All of them are computed from `Moments`,
which can be merged, so that a coarser window is exactly what it would have been from the samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.features import climate, contact, level, load, pressure, voltage
from agent.features.moments import Moments
from agent.streams import StreamClass, StreamSpec

Column = float | list[float] | None
Family = Callable[[StreamSpec, Moments], Mapping[str, Column]]

COLUMNS: Mapping[StreamClass, Family] = {
    StreamClass.MOTION: level.columns,
    StreamClass.LOAD: load.columns,
    StreamClass.PRESSURE: pressure.columns,
    StreamClass.CLIMATE: climate.columns,
    StreamClass.CONTACT: contact.columns,
    StreamClass.VOLTAGE: voltage.columns,
}
