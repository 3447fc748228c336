"""The watch: who is called about an alarm, in which order, and who has it in the end.

Knows who is awake and who was called. Does not know lamps or volts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

REPEAT_EVERY = timedelta(minutes=2)
SECOND_CALL_AFTER = timedelta(minutes=5)
OFFICE_AFTER = timedelta(minutes=15)
OFFICE = "office"


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm has exactly one owner from the moment it is raised."""

    station: str
    rule: str
    raised: datetime
    owner: str
    is_acknowledged: bool = False


class SomebodyElseHasIt(Exception):
    """The answer came second; `owner` is who came first."""

    def __init__(self, owner: str) -> None:
        super().__init__(f"{owner} has it")
        self.owner = owner


def to_call(alarm: Alarm, keepers: Sequence[str], *, now: datetime) -> tuple[str, ...]:
    """Everybody whose phone should be ringing at this moment."""
    if alarm.is_acknowledged:
        return ()
    waited = now - alarm.raised
    called = [alarm.owner]
    if waited >= SECOND_CALL_AFTER:
        called += [keeper for keeper in keepers if keeper != alarm.owner][:1]
    if waited >= OFFICE_AFTER:
        called.append(OFFICE)
    return tuple(called)


def acknowledge(alarm: Alarm, *, by: str, told: str) -> Alarm:
    """Take an alarm. `told` is the owner the answering keeper was told of: if that has changed,
    somebody was quicker."""
    if alarm.owner != told or alarm.is_acknowledged:
        raise SomebodyElseHasIt(alarm.owner)
    return replace(alarm, owner=by, is_acknowledged=True)


def hand_over(alarm: Alarm, *, to: str) -> Alarm:
    """Give an alarm to somebody by name. It never moves by itself."""
    return replace(alarm, owner=to)
