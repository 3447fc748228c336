"""Readings: one line a heartbeat, one file a station and day, never rewritten.

Knows files, days and time zones. Does not know what a reading means.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Reading:
    """One heartbeat. `at` is when it arrived, `sent` what the station's clock said."""

    at: datetime
    sent: datetime
    lamp_a: float
    battery_v: float
    visibility_m: float
    lantern_c: float
    rotation_s: float | None = None


class Readings:
    """The recent readings of one station, oldest first."""

    def __init__(self, readings: list[Reading], *, now: datetime) -> None:
        self._readings = readings
        self._now = now

    def __iter__(self) -> Iterator[Reading]:
        return iter(self._readings)

    def last(self, *, minutes: int) -> list[Reading]:
        since = self._now - timedelta(minutes=minutes)
        return [reading for reading in self._readings if reading.at >= since]

    def newest(self, count: int) -> list[Reading]:
        return self._readings[-count:]


class Store:
    """The files of all stations under one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def append(self, station: str, reading: Reading) -> None:
        """Keep a reading before anything is decided about it."""
        line = json.dumps(_to_json(reading), separators=(",", ":")) + "\n"
        path = self._path(station, reading.at)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            os.write(handle, line.encode())
            os.fsync(handle)
        finally:
            os.close(handle)

    def recent(self, station: str, *, now: datetime, hours: int = 2) -> Readings:
        """What the rules look at. Two days are read so that midnight is no edge."""
        days = (now - timedelta(days=1), now)
        found = [reading for day in days for reading in self._read(station, day)]
        since = now - timedelta(hours=hours)
        return Readings([reading for reading in found if reading.at >= since], now=now)

    def _read(self, station: str, day: datetime) -> Iterator[Reading]:
        path = self._path(station, day)
        if not path.exists():
            return
        for line in path.read_bytes().split(b"\n"):
            # A power cut can leave half a line at the end. It is skipped, not repaired.
            try:
                yield _from_json(json.loads(line))
            except (ValueError, KeyError):
                continue

    def _path(self, station: str, at: datetime) -> Path:
        return self._directory / station / f"{at.astimezone(UTC):%Y-%m-%d}.ndjson"


def _to_json(reading: Reading) -> dict[str, object]:
    fields = asdict(reading)
    return fields | {name: fields[name].isoformat() for name in ("at", "sent")}


def _from_json(fields: dict[str, str | float | None]) -> Reading:
    rotation = fields.get("rotation_s")
    return Reading(
        at=datetime.fromisoformat(str(fields["at"])),
        sent=datetime.fromisoformat(str(fields["sent"])),
        lamp_a=float(fields["lamp_a"] or 0),
        battery_v=float(fields["battery_v"] or 0),
        visibility_m=float(fields["visibility_m"] or 0),
        lantern_c=float(fields["lantern_c"] or 0),
        rotation_s=None if rotation is None else float(rotation),
    )
