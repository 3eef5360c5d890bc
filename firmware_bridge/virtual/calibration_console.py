"""Playing the hand at the bench from a terminal: one command a line, one answer a line."""

from __future__ import annotations

from firmware_bridge.virtual.calibration_bench import CalibrationBench
from firmware_bridge.virtual.calibration_hand import PLACES

HELP = (
    "turn X Y Z: until that direction points up, or turn +x, turn -z; "
    f"put KG [{'|'.join(PLACES)}]: let so much stand there, and nothing else; off: take all off; "
    "heat DEGC: the air around; truth: what is wrong with the sensors"
)
_AXES = ("x", "y", "z")


def obey(bench: CalibrationBench, line: str) -> str:
    """Do what `line` says; return what there is to say about it: nothing for an empty line."""
    try:
        match line.split():
            case []:
                return ""
            case ["turn", axis] if axis.lstrip("+-") in _AXES and len(axis.lstrip("+-")) >= len(axis) - 1:
                way = -1.0 if axis.startswith("-") else 1.0
                x, y, z = (way * (one == axis.lstrip("+-")) for one in _AXES)
                bench.hand.turn((x, y, z))
            case ["turn", x, y, z]:
                bench.hand.turn((float(x), float(y), float(z)))
            case ["put", mass_kg]:
                bench.hand.put(float(mass_kg))
            case ["put", mass_kg, place]:
                bench.hand.put(float(mass_kg), place)
            case ["off"]:
                bench.hand.take_off()
            case ["heat", degc]:
                bench.hand.heat(float(degc))
            case ["truth"]:
                return bench.truth.to_json()
            case _:
                return HELP
    except ValueError as error:
        return f"{error}. {HELP}"
    return f"done: {line.strip()}"
