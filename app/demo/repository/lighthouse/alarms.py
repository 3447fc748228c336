"""The rules: each a function from the recent readings of one station to yes or no.

Yes raises an alarm, no clears it. There is no third answer and there are no other inputs, so every
rule can be asked about any night of the past. See docs/reference/alarms.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType

from .readings import Reading, Readings

DARK_A = 0.5
LOW_V = 11.8
HOT_C = 60.0
DRIFT = timedelta(seconds=30)
FOG_M = 1000.0

Rule = Callable[[Readings], bool]


def lamp_out(readings: Readings) -> bool:
    """Two dark heartbeats in a row: a single one is usually a fuse being changed."""
    newest = readings.newest(2)
    return len(newest) == 2 and all(reading.lamp_a < DARK_A for reading in newest)


def battery_low(readings: Readings) -> bool:
    """Below 11.8 volts for ten minutes: a cloud is not a fault."""
    recent = readings.last(minutes=10)
    return len(recent) >= 5 and all(reading.battery_v < LOW_V for reading in recent)


def fog(readings: Readings) -> bool:
    """Below a kilometre for five minutes. The station sounds its signal without being told."""
    recent = readings.last(minutes=5)
    return bool(recent) and all(reading.visibility_m < FOG_M for reading in recent)


def fog_detector(readings: Readings) -> bool:
    """An hour without the change of a metre: air does not do that, a dirty window does."""
    recent = readings.last(minutes=60)
    return len(recent) >= 30 and len({reading.visibility_m for reading in recent}) == 1


def hot_lantern(readings: Readings) -> bool:
    """Above 60 degrees for five minutes. In July the sun alone manages 52."""
    recent = readings.last(minutes=5)
    return len(recent) >= 3 and all(reading.lantern_c > HOT_C for reading in recent)


def clock_drift(readings: Readings) -> bool:
    """The station's clock is half a minute off, and has been for an hour."""
    recent = readings.last(minutes=60)
    return len(recent) >= 30 and all(_drift(reading) > DRIFT for reading in recent)


def _drift(reading: Reading) -> timedelta:
    return abs(reading.at - reading.sent)


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "lamp-out": lamp_out,
        "battery-low": battery_low,
        "fog": fog,
        "fog-detector": fog_detector,
        "hot-lantern": hot_lantern,
        "clock-drift": clock_drift,
    }
)


def raised(readings: Readings, *, off: frozenset[str] = frozenset()) -> dict[str, str]:
    """The rules that say yes, each with a reason. A rule that fails counts as yes."""
    found: dict[str, str] = {}
    for name, rule in RULES.items():
        if name in off:
            continue
        try:
            says_yes = rule(readings)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            found[name] = f"the rule failed: {error}"
        else:
            if says_yes:
                found[name] = (rule.__doc__ or "").split(":")[0]
    return found
