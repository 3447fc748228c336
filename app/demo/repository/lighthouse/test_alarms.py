"""The rules, tried on evenings that were made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from . import alarms
from .readings import Reading, Readings

NOW = datetime(2026, 11, 3, 2, 14, tzinfo=UTC)


def evening(minutes: int = 90, *, visibility_m: float | None = None, **changes: float) -> Readings:
    """A quiet evening, one reading a minute, with `changes` in every one of them."""
    fields = {"lamp_a": 2.4, "battery_v": 12.8, "lantern_c": 31.0} | changes
    readings = []
    for minute in range(minutes - 1, -1, -1):
        at = NOW - timedelta(minutes=minute)
        # The air is never still, unless it is told to be.
        air = 12_000.0 + minute if visibility_m is None else visibility_m
        readings.append(Reading(at, at, visibility_m=air, **fields))
    return Readings(readings, now=NOW)


def test_a_quiet_evening_raises_nothing() -> None:
    assert alarms.raised(evening()) == {}


def test_a_dark_lamp_is_raised_at_the_second_heartbeat() -> None:
    assert not alarms.lamp_out(evening(1, lamp_a=0.0))
    assert alarms.lamp_out(evening(2, lamp_a=0.0))


def test_a_low_battery_needs_more_than_a_cloud() -> None:
    assert not alarms.battery_low(evening(3, battery_v=11.5))
    assert alarms.battery_low(evening(10, battery_v=11.5))


def test_air_that_never_changes_is_a_broken_detector() -> None:
    assert set(alarms.raised(evening(visibility_m=9_000.0))) == {"fog-detector"}


def test_a_rule_can_be_switched_off() -> None:
    readings = evening(visibility_m=9_000.0)
    assert alarms.raised(readings, off=frozenset({"fog-detector"})) == {}
