"""What routes share: the context of the application and the documented answers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request

from api.context import Context
from api.envelope import Envelope


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


Ctx = Annotated[Context, Depends(_context)]

Responses = dict[int | str, dict[str, Any]]


def _error(description: str, code: str, message: str, **details: object) -> dict[str, Any]:
    example = {
        "success": False,
        "data": None,
        "error": {"code": code, "message": message, "details": details},
        "timestamp": 1795251600000,
    }
    return {"model": Envelope[None], "description": description, "content": {"application/json": {"example": example}}}


UNKNOWN_EXCHANGE: Responses = {
    404: _error("No such exchange here", "unknown_exchange", "no exchange 'binanze' here", known=["binance"])
}
UNKNOWN: Responses = {
    404: _error(
        "No such exchange or symbol here, or nothing has arrived yet",
        "unknown_symbol",
        "no symbol 'BTCUSD' on binance here",
        symbol="BTCUSD",
        near=["BTCUSDT"],
    )
}
BAD: Responses = {
    422: _error(
        "A parameter is wrong", "bad_parameter", "query.limit: Input should be greater than or equal to 1", fields=[]
    )
}
DOWN: Responses = {
    503: _error(
        "A store that is needed does not answer",
        "store_down",
        "clickhouse does not answer: Connection refused",
        store="clickhouse",
        reason="Connection refused",
        remedy="ask again; /health says which stores answer",
    )
}
