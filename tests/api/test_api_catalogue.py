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
    Listed(Key("kraken", "spot", "BTC/USD"), "BTC-USD"),
    Listed(Key("htx", "spot", "BTCUSDT"), "BTC-USDT"),
    Listed(Key("htx", "perp", "BTC-USDT"), "BTC-USDT-PERP"),
    Listed(Key("htx", "inverse", "BTC-USD"), "BTC-USD-PERP"),
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
        ("BTC-USDT-PERP", "binance", None, "binance.perp.BTCUSDT"),
        ("ETHUSDT", None, None, "binance.spot.ETHUSDT"),
        ("sol-usdt-swap", None, None, "okx.perp.SOL-USDT-SWAP"),
        (" ETHUSDT ", " binance ", "spot", "binance.spot.ETHUSDT"),
        ("币安人生usdt", "binance", None, "binance.spot.币安人生USDT"),
        ("BTC-USDT", "okx", None, "okx.spot.BTC-USDT"),
        # A spelling may have a slash; with one the canonical name is meant where no exchange spells it so.
        ("BTC/USD", None, None, "kraken.spot.BTC/USD"),
        ("btc-usd", "kraken", None, "kraken.spot.BTC/USD"),
        ("BTC/USDT", "htx", None, "htx.spot.BTCUSDT"),
        ("BTC-USDT", "htx", None, "htx.spot.BTCUSDT"),
        ("BTC-USDT", "htx", "perp", "htx.perp.BTC-USDT"),
        ("BTC-USD", "htx", "inverse", "htx.inverse.BTC-USD"),
    ],
)
def test_found(symbol: str, exchange: str | None, market: str | None, key: str) -> None:
    assert str(Catalogue(LISTED).find(symbol, exchange, market).key) == key


@pytest.mark.parametrize(
    ("symbol", "exchange", "key"),
    [
        ("BTCUSDT", "binance", "binance.perp.BTCUSDT"),
        ("BTCUSDT", None, "binance.perp.BTCUSDT"),
        ("BTC-USDT", "htx", "htx.perp.BTC-USDT"),
        ("ETHUSDT", "binance", "binance.spot.ETHUSDT"),
    ],
)
def test_of_several_segments_the_derivative_is_meant(symbol: str, exchange: str | None, key: str) -> None:
    assert str(Catalogue(LISTED).find(symbol, exchange, derivative=True).key) == key


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
        Catalogue(LISTED).find("BTCUSDT", "deribit")
    assert raised.value.details["known"] == ["binance", "htx", "kraken", "okx"]


def test_ambiguous_symbols_must_be_told_apart() -> None:
    both = Catalogue([Listed(Key("a", "spot", "X")), Listed(Key("b", "spot", "X"))])
    with pytest.raises(BadParameter) as raised:
        both.find("X")
    assert raised.value.details["candidates"] == ["a.spot.X", "b.spot.X"]
    assert both.find("X", "b").key.exchange == "b"


@pytest.mark.parametrize(
    ("symbol", "candidates"),
    [
        ("BTCUSDT", ["binance.spot.BTCUSDT", "htx.spot.BTCUSDT"]),
        ("BTC-USDT", ["binance.spot.BTCUSDT", "htx.spot.BTCUSDT", "okx.spot.BTC-USDT"]),
        ("BTC-USDT-PERP", ["binance.perp.BTCUSDT", "htx.perp.BTC-USDT"]),
    ],
)
def test_a_spelling_here_and_a_canonical_name_there_is_no_answer(symbol: str, candidates: list[str]) -> None:
    with pytest.raises(BadParameter) as raised:
        Catalogue(LISTED).find(symbol)
    assert raised.value.details["candidates"] == candidates


def test_an_unnamed_instrument_matches_no_empty_name() -> None:
    with pytest.raises(UnknownSymbol):
        Catalogue(LISTED).find(" ", "binance")


def test_what_several_sources_know_is_merged() -> None:
    key = Key("binance", "spot", "BTCUSDT")
    merged = Catalogue([Listed(key, "", ("trade", "book")), Listed(key, "BTC-USDT", ("book", "bbo"))])
    assert merged.listed == (Listed(key, "BTC-USDT", ("trade", "book", "bbo")),)
