"""The simulator's Deribit for tests: its symbols, questions over a connection and REST, and a client's book."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from simulator.deribit.dialect import SEGMENT
from simulator.dialect import Request
from tests.simulator.dialect_harness import Client, Venue

PERPETUAL, LINEAR, DATED, OPTION = "BTC-PERPETUAL", "SOL_USDC-PERPETUAL", "BTC-25DEC26", "BTC-25DEC26-60000-C"
SYMBOLS = [PERPETUAL, "ETH-PERPETUAL", LINEAR, DATED, OPTION, "BTC-25DEC26-80000-P"]


def opened(path: Path) -> Venue:
    made = Venue(SEGMENT, SYMBOLS, path)
    made.advance(5.0)
    return made


def ask(client: Client, method: str, now_s: float = 0.0, **params: Any) -> Any:
    client.send({"jsonrpc": "2.0", "id": 5, "method": method, "params": params}, now_s)
    return next(told for told in client.take() if told.get("id") == 5)


def subscribe(client: Client, *channels: str) -> None:
    client.send({"jsonrpc": "2.0", "id": 5, "method": "public/subscribe", "params": {"channels": list(channels)}})


def data(client: Client, kind: str) -> list[Any]:
    return [told["params"]["data"] for told in client.take() if kind in told.get("params", {}).get("channel", "")]


def rest(venue: Venue, method: str, **values: str) -> Any:
    reply = asyncio.run(venue.dialect.rest(Request("GET", f"/api/v2/public/{method}", values, b"", "1.2.3.4")))
    return json.loads(reply.body)


class Book:
    """A client's book: a snapshot replaces it, a change must follow the last one."""

    def __init__(self) -> None:
        self.last: int | None = None
        self.sides: dict[str, dict[float, float]] = {"bids": {}, "asks": {}}
        self.gaps = self.snapshots = self.changes = 0

    def take(self, told: dict[str, Any]) -> None:
        if told["type"] == "snapshot":
            assert "prev_change_id" not in told
            self.sides = {"bids": {}, "asks": {}}
            self.snapshots += 1
        else:
            self.changes += 1
            self.gaps += told["prev_change_id"] != self.last
        self.last = told["change_id"]
        for name, held in self.sides.items():
            for action, price, amount in told[name]:
                assert (action == "new") == (price not in held)
                assert (action == "delete") == (amount == 0)
                if amount:
                    held[price] = amount
                else:
                    del held[price]
