"""What Deribit's names say: which market a symbol is of, and which stream a channel name stands for.

Instruments: `BTC-PERPETUAL`, `SOL_USDC-PERPETUAL`, `BTC-5AUG23`, `BTC-25MAR23-420-C`, `XRP_USDC-30JUN23-0d625-C` (d is
the decimal point), `BTC_USDC` (spot), combos `BTC-FS-19MAY26_PERP` and `BTC-CS-19MAY26-70000_75000`. Indices:
`btc_usd`. Strike, expiry and kind are taken from the metadata, never from here.
"""

from __future__ import annotations

import re

from venues.contract import EVERY_SYMBOL, Stream

_DATE = r"\d{1,2}[A-Z]{3}\d{2}"
_OPTION = re.compile(rf"[A-Z0-9_]+-{_DATE}-\d+(D\d+)?-[CP]")
_FUTURE = re.compile(rf"[A-Z0-9_]+-{_DATE}")
_FUTURE_COMBO = re.compile(r"[A-Z0-9_]+-FS-[A-Z0-9_]+")
_OPTION_COMBO = re.compile(rf"[A-Z0-9_]+-[A-Z]+\d*-{_DATE}.*")
_INDEX = re.compile(r"[A-Z0-9]+_USD")
_SPOT = re.compile(r"[A-Z0-9]+_[A-Z0-9]+")
_STRIKE_POINT = re.compile(r"(-\d+)D(\d+-[CP])$")

_INSTRUMENT_CHANNELS = {
    ("trades", 3): ("trade", 1),
    ("book", 3): ("book", 1),
    ("book", 5): ("grouped_book", 1),
    ("ticker", 3): ("ticker", 1),
    ("incremental_ticker", 2): ("incremental_ticker", 1),
    ("quote", 2): ("bbo", 1),
    ("perpetual", 3): ("perpetual", 1),
    ("chart", 4): ("kline", 2),
}
"""First part and number of parts of a channel name: our channel, and which part is the instrument."""

_INDEX_CHANNELS = {
    ("deribit_volatility_index", 2): "volatility",
    ("deribit_price_index", 2): "price_index",
    ("deribit_price_ranking", 2): "price_ranking",
    ("deribit_price_statistics", 2): "price_statistics",
    ("estimated_expiration_price", 2): "expiration_price",
    ("markprice", 3): "option_marks",
}
"""The last part is the index."""

_WIDE_CHANNELS = {("trades", 4): "trade", ("block_rfq", 3): "block_rfq"}
"""By kind or currency: many instruments in one stream."""


def market_of(symbol: str) -> str:
    """The market whose symbol this is, "" if none. Combos are with the market of their legs, indices with the options:
    spot is never quoted in plain USD."""
    if symbol.endswith("-PERPETUAL"):
        return "perp"
    if _FUTURE.fullmatch(symbol) or _FUTURE_COMBO.fullmatch(symbol):
        return "future"
    if _OPTION.fullmatch(symbol) or _OPTION_COMBO.fullmatch(symbol) or _INDEX.fullmatch(symbol):
        return "option"
    return "spot" if _SPOT.fullmatch(symbol) else ""


def is_combo(symbol: str) -> bool:
    """A combination of instruments traded as one: its price is a difference, which may be negative."""
    return bool(_FUTURE_COMBO.fullmatch(symbol) or _OPTION_COMBO.fullmatch(symbol))


def is_index(symbol: str) -> bool:
    return bool(_INDEX.fullmatch(symbol))


def symbol_of(instrument_name: str) -> str:
    """Our symbol: upper case, which changes the decimal point of small strikes alone."""
    return instrument_name.upper()


def instrument_name_of(symbol: str) -> str:
    """The venue's spelling."""
    return _STRIKE_POINT.sub(r"\1d\2", symbol)


def parse_channel(name: str) -> Stream | None:
    """The stream a channel name stands for; None when it is of no kind we know."""
    parts = name.split(".")
    key = (parts[0], len(parts))
    if key in _INSTRUMENT_CHANNELS:
        channel, place = _INSTRUMENT_CHANNELS[key]
        symbol = symbol_of(parts[place])
        return Stream(name, "combo" if is_combo(symbol) else channel, symbol) if symbol else None
    if key in _INDEX_CHANNELS:
        return Stream(name, _INDEX_CHANNELS[key], symbol_of(parts[-1])) if parts[-1] else None
    if key in _WIDE_CHANNELS:
        return Stream(name, _WIDE_CHANNELS[key], EVERY_SYMBOL)
    return None
