"""What the API knows of symbols, and from when on."""

from __future__ import annotations

import asyncio

import pytest

from api.catalogue import Catalogue, Listed
from api.context import Context
from api.params import SymbolQuery
from marketdata.keys import Key
from runtime.config import Config

KEY = Key("binance", "spot", "BTCUSDT")
MARKET = {"ws_url": "ws://127.0.0.1:1", "rest_url": "http://127.0.0.1:1", "symbols": [KEY.symbol]}


def test_the_first_question_after_a_start_is_answered_with_what_the_stores_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def learn(context: Context) -> None:
        context.catalogue = Catalogue([Listed(KEY, "BTC-USDT")])

    async def ask() -> Listed:
        context = Context(Config.model_validate({"exchanges": {"binance": {"spot": MARKET}}}))
        monkeypatch.setattr(Context, "_refresh", learn)
        try:
            return await context.find(SymbolQuery(symbol=KEY.symbol, exchange="binance", market="spot"))
        finally:
            await context.close()

    assert asyncio.run(ask()).instrument == "BTC-USDT"
