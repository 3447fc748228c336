"""The intake and the commands: takes heartbeats over HTTP, keeps them, asks the rules.

Knows HTTP and station names. Does not know what a reading means.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from . import alarms
from .readings import Reading, Readings, Store

MAX_HEARTBEAT_BYTES = 2000
MADE_UP = {"hallin-head": 18_000, "outer-stack": 16_000}


class Intake(BaseHTTPRequestHandler):
    """POST /heartbeats. What is wrong with a heartbeat is said in one sentence."""

    store: Store

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        station = self.headers.get("X-Station", "")
        if self.path != "/heartbeats" or not station.replace("-", "").isalnum():
            return self._answer(404, {"problem": "no such station"})
        if size > MAX_HEARTBEAT_BYTES:
            return self._answer(413, {"problem": "a heartbeat is at most 2 kB"})
        try:
            reading = _reading(json.loads(self.rfile.read(size)))
        except (KeyError, TypeError, ValueError) as error:
            return self._answer(400, {"problem": f"not a heartbeat: {error}"})
        self.store.append(station, reading)
        raised = alarms.raised(self.store.recent(station, now=reading.at))
        return self._answer(200, {"kept": True, "alarms": sorted(raised)})

    def _answer(self, status: int, payload: dict[str, object]) -> None:
        body = json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _reading(fields: dict[str, float]) -> Reading:
    now = datetime.now(UTC)
    names = ("lamp_a", "battery_v", "visibility_m", "lantern_c")
    return Reading(now, now, **{name: float(fields[name]) for name in names})


def serve(port: int, data: Path) -> None:
    Intake.store = Store(data)
    say(f"intake   listening on http://127.0.0.1:{port}")
    ThreadingHTTPServer(("127.0.0.1", port), Intake).serve_forever()


def simulate() -> None:
    """Two made-up stations, a heartbeat a second, until somebody has seen enough."""
    while True:
        for station, clear_air in MADE_UP.items():
            now = datetime.now(UTC)
            lamp, battery = random.gauss(2.4, 0.02), random.gauss(12.8, 0.05)
            reading = Reading(now, now, lamp, battery, random.gauss(clear_air, 300), 31.0)
            raised = alarms.raised(Readings([reading], now=now))
            say(
                f"station  {station:<12}  heartbeat  lamp {lamp:.2f} A   battery {battery:.1f} V   "
                f"visibility {reading.visibility_m / 1000:.0f} km   {' '.join(sorted(raised))}"
            )
        time.sleep(1)


def check(config: Path) -> int:
    """Read the configuration and say every problem at once."""
    try:
        settings = yaml.safe_load(config.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        say(f"{config}: {error}")
        return 1
    stations = settings.get("stations") or {}
    problems = [
        f"{config}: stations.{name} has no {key}"
        for name, station in stations.items()
        for key in ("name", "character")
        if key not in station
    ]
    keepers = (settings.get("watch") or {}).get("keepers") or []
    summary = f"{config}: {len(stations)} stations, {len(keepers)} keepers"
    say("\n".join(problems or [summary]))
    return 1 if problems else 0


def say(text: str) -> None:
    sys.stdout.write(text.rstrip() + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="lighthouse")
    parser.add_argument("command", choices=["check", "serve", "simulate"])
    parser.add_argument("--port", type=int, default=8400)
    parser.add_argument("--config", type=Path, default=Path("lighthouse.yaml"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    options = parser.parse_args()
    if options.command == "check":
        return check(options.config)
    try:
        if options.command == "simulate":
            simulate()
        serve(options.port, options.data)
    except KeyboardInterrupt:
        say("good night")
    return 0


if __name__ == "__main__":
    sys.exit(main())
