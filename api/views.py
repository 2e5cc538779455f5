"""Records as answers: what is shown of a value, and what is not. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from api import models
from api.params import INTERVAL_MS
from marketdata import types as t

M = TypeVar("M", bound=BaseModel)
MISSING_MAX = 1000
"""Open times of absent candles named in one answer."""


def age_ms(now_ms: int, time_ns: str) -> int | None:
    """Time since an instant of our own clock; None where there is none. Negative where clocks differ."""
    return now_ms - int(time_ns) // 1_000_000 if time_ns else None


def shown(model: type[M], record: object) -> M:
    """The fields of `model` taken from a record; our own records need no validation."""
    names = (name for name in model.model_fields if hasattr(record, name))
    return model.model_construct(**{name: getattr(record, name) for name in names})


def trade(record: t.Trade) -> models.Trade:
    return models.Trade(**{f.name: getattr(record, f.name) for f in fields(models.Trade)})


def kline(record: t.Kline) -> models.Kline:
    return models.Kline(**{f.name: getattr(record, f.name) for f in fields(models.Kline)})


def quote(record: t.Bbo | None, now_ms: int) -> models.Quote | None:
    if record is None:
        return None
    return shown(models.Quote, record).model_copy(update={"age_ms": age_ms(now_ms, record.recv_time_ns) or 0})


def ticker(record: t.Ticker | None, now_ms: int) -> models.TickerValues | None:
    if record is None:
        return None
    return shown(models.TickerValues, record).model_copy(update={"age_ms": age_ms(now_ms, record.recv_time_ns) or 0})


DERIVATIVES: dict[str, type[models.DerivativeValue]] = {
    "mark_price": models.MarkPrice,
    "funding": models.Funding,
    "open_interest": models.OpenInterest,
    "liquidation": models.Liquidation,
    "volatility": models.Volatility,
}
"""Kinds of which a symbol has one newest value."""


def derivatives(whose: dict[str, Any], records: Mapping[str, t.Record], now_ms: int) -> models.Derivatives:
    """`records` by kind, as `api.stores.DERIVATIVE_KINDS` names them."""

    def aged(model: type[M], record: t.Record) -> M:
        return shown(model, record).model_copy(update={"age_ms": age_ms(now_ms, record.recv_time_ns) or 0})

    ratios = [aged(models.LongShort, r) for kind, r in records.items() if kind.startswith("long_short:")]
    newest: dict[str, Any] = {
        kind: aged(model, records[kind]) for kind, model in DERIVATIVES.items() if kind in records
    }
    return models.Derivatives.model_construct(**whose, **newest, long_short=ratios)


def book(
    whose: dict[str, Any],
    record: t.BookRecord,
    source: Literal["live", "history"],
    depth: int,
    now_ms: int,
    warnings: Sequence[str] = (),
) -> models.OrderBook:
    """A book as it may be shown: levels only while it is verified."""
    good = record.state == "ok"
    bids, asks = (record.bids[:depth], record.asks[:depth]) if good else ([], [])
    return models.OrderBook.model_construct(
        **whose,
        source=source,
        state=record.state,
        reason=record.reason,
        update_id=record.update_id,
        epoch=record.epoch,
        event_time_us=record.event_time_us,
        verified_time_ns=record.verified_time_ns,
        age_ms=age_ms(now_ms, record.verified_time_ns),
        depth=depth,
        complete=good
        and (len(bids) == depth or record.bid_known_to == "0")
        and (len(asks) == depth or record.ask_known_to == "inf"),
        bids=bids,
        asks=asks,
        bid_known_to=record.bid_known_to if good else "",
        ask_known_to=record.ask_known_to if good else "",
        warnings=list(warnings),
    )


def merge_klines(
    stored: Sequence[models.Kline], live: Iterable[t.Kline], start_ms: int | None, end_ms: int | None, limit: int
) -> tuple[list[models.Kline], bool]:
    """Stored candles with newer live ones put in, cut to `limit`, and whether something was left out by that.

    A live candle later than all that is stored is added only where the range is read from its newest end, or where
    it fits within `limit`: candles between may not have been stored yet, and `missing` then names them.
    """
    merged = {k.open_time: k for k in stored}
    full, beyond = len(stored) >= limit, False
    for record in live:
        if record.open_time < (start_ms or 0) or (end_ms is not None and record.open_time >= end_ms):
            continue
        if stored and record.open_time < stored[0].open_time:
            continue
        if start_ms is not None and full and record.open_time > stored[-1].open_time:
            beyond = True
            continue
        have = merged.get(record.open_time)
        if have is None or _version(record) > _version(have):
            merged[record.open_time] = kline(record)
    ordered = [merged[at] for at in sorted(merged)]
    cut = ordered[:limit] if start_ms is not None else ordered[-limit:]
    return cut, beyond or len(ordered) > limit


def missing_klines(klines: Sequence[models.Kline], interval: str) -> list[int]:
    """Open times between the first and the last candle that have none, at most MISSING_MAX of them."""
    step = INTERVAL_MS[interval]
    found: list[int] = []
    for before, after in pairwise(klines):
        found.extend(range(before.open_time + step, after.open_time, step))
        if len(found) >= MISSING_MAX:
            return found[:MISSING_MAX]
    return found


def gaps_within(gaps: Iterable[models.Gap], klines: Sequence[models.Kline]) -> list[models.Gap]:
    """Gaps that touch the time of these candles, in the streams they are made of, oldest first."""
    if not klines:
        return []
    begin_us, end_us = klines[0].open_time * 1000, (klines[-1].close_time + 1) * 1000
    sources = {k.source for k in klines}
    found = [g for g in gaps if g.channel in sources and g.to_time_us >= begin_us and g.from_time_us < end_us]
    return sorted(found, key=lambda g: (g.from_time_us, g.gap_id))


def _version(candle: t.Kline | models.Kline) -> tuple[bool, int, int, str, int]:
    """Orders the versions of one candle as `marketdata.types.Kline` says; a back-filled trade raises the count only."""
    return candle.is_closed, candle.revision, len(candle.last_trade_id), candle.last_trade_id, candle.trade_count
