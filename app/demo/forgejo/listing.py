"""One page of a list, with Forgejo's headers. Knows nothing of what is listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

    from app.demo.forgejo.access import Call

DEFAULT_LIMIT, MAX_LIMIT = 30, 50


def page(call: Call, items: list[Any]) -> Response:
    """The page asked for, with X-Total-Count and Link."""
    headers = {"X-Total-Count": str(len(items))}
    links = [f'<{url}>; rel="{rel}"' for rel, url in _links(call, len(items))]
    if links:
        headers["Link"] = ",".join(links)
    return call.answer(_slice(call, items), headers=headers)


def page_if_asked(call: Call, items: list[Any]) -> Response:
    """Labels: without `page` everything comes at once and `limit` means nothing; never a Link."""
    shown = _slice(call, items) if _number(call, "page") >= 1 else items
    return call.answer(shown, headers={"X-Total-Count": str(len(items))})


def _slice(call: Call, items: list[Any]) -> list[Any]:
    number, limit = _page_number(call), _limit(call)
    return items[(number - 1) * limit : number * limit]


def _links(call: Call, total: int) -> list[tuple[str, str]]:
    number, last = _page_number(call), -(-total // _limit(call))
    ahead = [("next", number + 1), ("last", last)] if number < last else []
    back = [("first", 1), ("prev", number - 1)] if number > 1 else []
    return [(rel, _url(call, target)) for rel, target in ahead + back]


def _url(call: Call, number: int) -> str:
    query = urlencode({**call.request.args.to_dict(), "page": number})
    return f"{call.root}{call.request.path}?{query}"


def _page_number(call: Call) -> int:
    return max(1, _number(call, "page"))


def _limit(call: Call) -> int:
    limit = _number(call, "limit")
    return min(limit, MAX_LIMIT) if limit > 0 else DEFAULT_LIMIT


def _number(call: Call, name: str) -> int:
    try:
        return int(call.request.args.get(name, 0))
    except ValueError:
        return 0
