"""From what a sensor gives to SI units, by its nominal scale and its certificate.

Element by element and in a fixed order, never by a matrix product: the library behind a product may
round differently for another block length, and the way samples are cut must not change a result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.blocks import Block, Quality, SiBlock, TimesNs
from agent.errors import ConfigError
from agent.streams import StreamSpec
from calibration.certificate import HASH_CHARS, Certificate

NO_CERTIFICATE = "none"
TEMPERATURE = "temperature"
F32 = npt.NDArray[np.float32]


class Correction:
    """Corrects blocks of all streams; knows the temperature of each moment once it has been corrected.

    Raises ConfigError when a certificate does not fit its stream.
    """

    def __init__(self, specs: Sequence[StreamSpec], certificates: Sequence[Certificate] = ()) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._certificates = {c.stream: c for c in certificates}
        for certificate in certificates:
            spec = self._specs.get(certificate.stream)
            if spec is not None and len(spec.axes) != certificate.axes:
                raise ConfigError(
                    f"applying certificate {certificate.hash} to stream {certificate.stream!r}",
                    got=f"{certificate.axes} axes",
                    expected=f"{len(spec.axes)} ({', '.join(spec.axes)})",
                    remedy="It belongs to another sensor; name the right file under [certificates].",
                )
        self._temperature = _History()

    @property
    def needs_temperature(self) -> bool:
        """Whether any certificate asks for the temperature."""
        return any(c.temperature is not None for c in self._certificates.values())

    def certificate_of(self, streams: Sequence[str]) -> str:
        """Return the hash that a record made of these streams names."""
        hashes = [self._certificates[s].hash for s in streams if s in self._certificates]
        if len(hashes) <= 1:
            return hashes[0] if hashes else NO_CERTIFICATE
        return hashlib.sha256("+".join(hashes).encode()).hexdigest()[:HASH_CHARS]

    def apply(self, block: Block) -> SiBlock:
        """Correct one block. Blocks of the temperature must come before those of the same time."""
        spec = self._specs[block.stream]
        nominal = block.values.astype(np.float32) * np.float32(spec.scale)
        if spec.offset:
            nominal += np.float32(spec.offset)
        quality = _saturation(nominal, spec, block.quality)
        times_ns = block.times_ns()
        certificate = self._certificates.get(block.stream)
        values = nominal if certificate is None else self._certified(nominal, certificate, times_ns)
        if block.stream == TEMPERATURE and self.needs_temperature:
            self._temperature.add(times_ns, values[:, 0])
        return SiBlock(block.stream, block.first, times_ns, block.period_ns, values, quality)

    def forget_before(self, time_ns: int) -> None:
        """Drop temperatures that no coming sample can need."""
        self._temperature.forget_before(time_ns)

    def _certified(self, nominal: F32, certificate: Certificate, times_ns: TimesNs) -> F32:
        columns = [nominal[:, i] - np.float32(b) for i, b in enumerate(certificate.bias)]
        slope = certificate.temperature
        if slope is not None:
            delta = self._temperature.at(times_ns, slope.reference_degc) - np.float32(slope.reference_degc)
            columns = [
                column - np.float32(per_degc) * delta
                for column, per_degc in zip(columns, slope.bias_per_degc, strict=True)
            ]
        out = np.zeros_like(nominal)
        for i, row in enumerate(certificate.gain):
            for gain, column in zip(row, columns, strict=True):
                if gain != 0.0:
                    out[:, i] += np.float32(gain) * column
        return out


def _saturation(
    nominal: F32, spec: StreamSpec, quality: npt.NDArray[np.uint8] | None
) -> npt.NDArray[np.uint8] | None:
    if spec.full_scale is None:
        return quality
    beyond = (np.abs(nominal) >= np.float32(spec.full_scale)).any(axis=1)
    if not beyond.any():
        return quality
    flags = np.zeros(len(nominal), np.uint8) if quality is None else quality.copy()
    flags[beyond] |= np.uint8(Quality.SATURATED)
    return flags


class _History:
    """A value over time that holds until the next one."""

    def __init__(self) -> None:
        self._times_ns: TimesNs = np.empty(0, np.int64)
        self._values: F32 = np.empty(0, np.float32)

    def add(self, times_ns: TimesNs, values: F32) -> None:
        self._times_ns = np.concatenate((self._times_ns, times_ns))
        self._values = np.concatenate((self._values, values))

    def at(self, times_ns: TimesNs, before_first: float) -> F32:
        if not len(self._values):
            return np.full(len(times_ns), before_first, np.float32)
        i = np.searchsorted(self._times_ns, times_ns, side="right") - 1
        held = self._values[np.maximum(i, 0)]
        return np.where(i >= 0, held, np.float32(before_first)).astype(np.float32)

    def forget_before(self, time_ns: int) -> None:
        keep = int(np.searchsorted(self._times_ns, time_ns, side="right")) - 1
        if keep > 0:
            self._times_ns = self._times_ns[keep:]
            self._values = self._values[keep:]
