"""A marker's payload, read so that it has one meaning or none. Knows no action's fields."""

from __future__ import annotations

import json
import math
import re
from typing import NoReturn

MAX_BYTES = 64 * 1024
MAX_DEPTH = 8
_MAX_INTEGER_DIGITS = 30
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


class PayloadError(ValueError):
    """`str(error)` is a sentence that says what is wrong with the payload."""


def parse_payload(text: str) -> dict[str, object]:
    """One JSON object, and nothing that two readers could understand differently."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise PayloadError("The action's text is longer than 64 KiB.")
    if _depth(text) > MAX_DEPTH:
        raise PayloadError(f"The action's JSON is nested deeper than {MAX_DEPTH} levels.")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise PayloadError(f"The action is not valid JSON at {place}: {error.msg}.") from error
    if not isinstance(value, dict):
        raise PayloadError("The action's JSON is not an object.")
    _refuse_half_characters(value)
    return value


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _STRUCTURE.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        deepest = max(deepest, depth)
    return deepest


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result: dict[str, object] = {}
    for key, value in pairs:
        if key in result:
            raise PayloadError(f"The action's JSON has the key {json.dumps(key)} twice.")
        result[key] = value
    return result


def _integer(digits: str) -> int:
    if len(digits) > _MAX_INTEGER_DIGITS:
        raise PayloadError("The action's JSON has a number that is too large.")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise PayloadError("The action's JSON has a number that is too large.")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise PayloadError(f"The action's JSON has {name}, which is not a number in JSON.")


def _refuse_half_characters(value: dict[str, object]) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise PayloadError("The action's JSON has half a character (a lone surrogate).") from error
