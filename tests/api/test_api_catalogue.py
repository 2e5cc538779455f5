"""Which symbol a request means."""

from __future__ import annotations

import pytest

from api.catalogue import Catalogue, Listed
from api.envelope import BadParameter, UnknownExchange, UnknownSymbol
from marketdata.keys import Key

LISTED = [
    Listed(Key("binance", "spot", "BTCUSDT"), "BTC-USDT", ("trade",)),
    Listed(Key("binance", "perp", "BTCUSDT"), "BTC-USDT-PERP"),
    Listed(Key("binance", "spot", "ETHUSDT"), "ETH-USDT"),
    Listed(Key("okx", "spot", "BTC-USDT"), "BTC-USDT"),
    Listed(Key("okx", "perp", "SOL-USDT-SWAP"), "SOL-USDT-PERP"),
    Listed(Key("binance", "spot", "币安人生USDT")),
]


@pytest.mark.parametrize(
    ("symbol", "exchange", "market", "key"),
    [
        ("BTCUSDT", "binance", None, "binance.spot.BTCUSDT"),
        ("btcusdt", "BINANCE", None, "binance.spot.BTCUSDT"),
        ("BTCUSDT", "binance", "perp", "binance.perp.BTCUSDT"),
        ("btc-usdt", "binance", None, "binance.spot.BTCUSDT"),
        ("BTC/USDT", "binance", None, "binance.spot.BTCUSDT"),
        ("BTC-USDT-PERP", None, None, "binance.perp.BTCUSDT"),
        ("ETHUSDT", None, None, "binance.spot.ETHUSDT"),
        ("sol-usdt-swap", None, None, "okx.perp.SOL-USDT-SWAP"),
        (" ETHUSDT ", " binance ", "spot", "binance.spot.ETHUSDT"),
        ("币安人生usdt", "binance", None, "binance.spot.币安人生USDT"),
        # The exchange's own spelling wins over another one's canonical name.
        ("BTC-USDT", None, None, "okx.spot.BTC-USDT"),
    ],
)
def test_found(symbol: str, exchange: str | None, market: str | None, key: str) -> None:
    assert str(Catalogue(LISTED).find(symbol, exchange, market).key) == key


def test_unknown_symbols_name_near_ones() -> None:
    with pytest.raises(UnknownSymbol) as raised:
        Catalogue(LISTED).find("BTCUSD", "binance", "spot")
    assert raised.value.status == 404
    assert raised.value.details["near"][0] == "BTCUSDT"
    assert "'BTCUSD' on binance spot" in raised.value.message


@pytest.mark.parametrize(("exchange", "market"), [("okx", None), (None, "option"), ("okx", "spot")])
def test_a_symbol_elsewhere_is_unknown_here(exchange: str | None, market: str | None) -> None:
    with pytest.raises(UnknownSymbol):
        Catalogue(LISTED).find("ETHUSDT", exchange, market)


def test_unknown_exchanges_name_the_known() -> None:
    with pytest.raises(UnknownExchange) as raised:
        Catalogue(LISTED).find("BTCUSDT", "kraken")
    assert raised.value.details["known"] == ["binance", "okx"]


def test_ambiguous_symbols_must_be_told_apart() -> None:
    both = Catalogue([Listed(Key("a", "spot", "X")), Listed(Key("b", "spot", "X"))])
    with pytest.raises(BadParameter) as raised:
        both.find("X")
    assert raised.value.details["candidates"] == ["a.spot.X", "b.spot.X"]
    assert both.find("X", "b").key.exchange == "b"


def test_an_unnamed_instrument_matches_no_empty_name() -> None:
    with pytest.raises(UnknownSymbol):
        Catalogue(LISTED).find(" ", "binance")


def test_what_several_sources_know_is_merged() -> None:
    key = Key("binance", "spot", "BTCUSDT")
    merged = Catalogue([Listed(key, "", ("trade", "book")), Listed(key, "BTC-USDT", ("book", "bbo"))])
    assert merged.listed == (Listed(key, "BTC-USDT", ("trade", "book", "bbo")),)
