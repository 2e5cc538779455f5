"""Deribit's public methods, the same over REST and over the WebSocket: parameters to the JSON of a result."""

from __future__ import annotations

import json
from typing import Any

from simulator.deribit import wire
from simulator.deribit.figures import index_of
from simulator.deribit.instruments import describe, parse, settlement_currency
from simulator.deribit.publisher import Publisher, compact
from simulator.deribit.session import Method, RpcError, invalid_params
from simulator.market.market import Market
from simulator.market.symbol import SymbolMarket, Trade

DEPTHS = (1, 5, 10, 20, 50, 100, 1000, 10000)
TRADES_MAX = 1000
CURRENCIES = ("BTC", "ETH", "USDC", "USDT", "EURR")


class Methods:
    """Answers from the market; `publisher` knows the change ids."""

    def __init__(self, market: Market, publisher: Publisher) -> None:
        self.market = market
        self.publisher = publisher
        self.table: dict[str, Method] = {
            "public/test": lambda _: '{"version":"1.2.26"}',
            "public/hello": lambda _: '{"version":"1.2.26"}',
            "public/status": lambda _: '{"locked":"false","locked_indices":[]}',
            "public/get_time": lambda _: str(self.market.at_us // 1000),
            "public/get_currencies": self.currencies,
            "public/get_instruments": self.instruments,
            "public/get_instrument": lambda params: compact(self.entry(self.one(params))),
            "public/get_order_book": self.order_book,
            "public/ticker": lambda params: self.publisher.figures(self.one(params)).ticker(),
            "public/get_last_trades_by_instrument": self.last_trades,
            "public/get_book_summary_by_currency": self.summaries,
            "public/get_book_summary_by_instrument": lambda params: f"[{self.summary(self.one(params))}]",
            "public/get_index_price": self.index_price,
        }

    def one(self, params: dict[str, Any]) -> SymbolMarket:
        found = self.market.symbols.get(str(params.get("instrument_name", "")))
        if found is None:
            raise invalid_params("instrument_name", "instrument not found")
        return found

    def of_currency(self, params: dict[str, Any], *, needed: bool) -> list[SymbolMarket]:
        """Instruments settled in `currency`, of one `kind` where that is given."""
        currency, kind = str(params.get("currency", "" if needed else "any")), params.get("kind", "any")
        if currency != "any" and currency not in self.known():
            raise invalid_params("currency", "invalid value")
        if kind not in ("any", "future", "option", "spot", "future_combo", "option_combo"):
            raise invalid_params("kind", "invalid value")
        out = []
        for market in self.market.order:
            listing = parse(market.instrument.symbol)
            if currency in ("any", settlement_currency(listing)) and kind in ("any", listing.kind):
                out.append(market)
        return out

    def known(self) -> set[str]:
        return {settlement_currency(parse(symbol)) for symbol in self.market.symbols} | set(CURRENCIES)

    # --- results ------------------------------------------------------------------------------------

    def currencies(self, params: dict[str, Any]) -> str:
        del params
        return compact([{"currency": each, "currency_long": each, "fee_precision": 4} for each in sorted(self.known())])

    def instruments(self, params: dict[str, Any]) -> str:
        """Those that are over with `expired`, else all others."""
        expired = str(params.get("expired", "false")).lower() == "true"
        found = self.of_currency(params, needed=False)
        ended = self.publisher.states.ended
        return compact([self.entry(each) for each in found if ended(each.instrument.symbol) == expired])

    def entry(self, market: SymbolMarket) -> dict[str, Any]:
        return describe(market.instrument) | self.publisher.states.fields(market.instrument.symbol)

    def order_book(self, params: dict[str, Any]) -> str:
        """The book as the stream told it last, where somebody follows it: then `change_id` is one of the stream's."""
        market = self.one(params)
        depth = int(params.get("depth", 5))
        if depth not in DEPTHS:
            raise invalid_params("depth", "invalid value")
        if self.publisher.states.ended(market.instrument.symbol):
            raise RpcError(13019, "orderbook_closed")
        i, held = market.instrument, self.publisher.books.shown(market)
        bids = sorted(held.view.bids.items(), reverse=True)[:depth]
        asks = sorted(held.view.asks.items())[:depth]
        ticker = self.publisher.figures(market).ticker()
        return (
            f'{ticker[:-1]},"change_id":{held.change_id},"bids":{wire.levels(i, bids)},"asks":{wire.levels(i, asks)}}}'
        )

    def last_trades(self, params: dict[str, Any]) -> str:
        """From `start_seq` to `end_seq`, the newest when neither is given; `sorting` asc or desc."""
        market = self.one(params)
        start, end = (int(params[name]) if name in params else None for name in ("start_seq", "end_seq"))
        count = int(params.get("count", 10))
        if not 1 <= count <= TRADES_MAX:
            raise invalid_params("count", "invalid value")
        found = [
            trade
            for trade in market.trades
            if (start is None or trade.id >= start) and (end is None or trade.id <= end)
        ]
        cut = found[:count] if start is not None else found[-count:]
        rows = self.trade_rows(market, cut)
        if params.get("sorting", "asc" if start is not None else "desc") == "desc":
            rows.reverse()
        more = "true" if len(found) > len(cut) else "false"
        return f'{{"has_more":{more},"trades":[{",".join(rows)}]}}'

    def trade_rows(self, market: SymbolMarket, trades: list[Trade]) -> list[str]:
        """As the stream tells them, but for what only the moment knew (index, mark, liquidation)."""
        kept = self.publisher.directions.get(market.instrument.symbol)
        self.publisher.directions.pop(market.instrument.symbol, None)
        prints = self.publisher.prints(market, trades, "") if trades else []
        if kept is not None:
            self.publisher.directions[market.instrument.symbol] = kept
        return self.publisher.trade_rows(market, prints)

    def summaries(self, params: dict[str, Any]) -> str:
        return "[" + ",".join(map(self.summary, self.of_currency(params, needed=True))) + "]"

    def summary(self, market: SymbolMarket) -> str:
        i, figures = market.instrument, self.publisher.figures(market)
        stats = json.loads(figures.stats(), parse_float=str, parse_int=str)
        bid, _, ask, _ = market.best
        middle = wire.number((bid + ask) * i.tick_e8 // 2)
        fields = [f'"volume_usd":{stats["volume_usd"]}']
        if not figures.is_option:
            fields.append(f'"volume_notional":{stats["volume_notional"]}')
        fields += [
            f'"volume":{stats["volume"]}',
            f'"quote_currency":"{i.quote}"',
            f'"price_change":{stats["price_change"] or "null"}',
            f'"open_interest":{figures.open_interest()}',
            f'"mid_price":{middle}',
            f'"mark_price":{figures.mark}',
            f'"low":{stats["low"] or "null"}',
            f'"last":{figures.price(figures.day.close)}',
            f'"instrument_name":"{i.symbol}"',
            f'"high":{stats["high"] or "null"}',
            f'"estimated_delivery_price":{figures.index}',
            f'"creation_timestamp":{market.at_us // 1000}',
            f'"bid_price":{figures.price(bid)}',
            f'"base_currency":"{i.base}"',
            f'"ask_price":{figures.price(ask)}',
        ]
        if figures.listing.perpetual:
            current, eight = figures.funding()
            fields += [f'"funding_8h":{eight}', f'"current_funding":{current}']
        if figures.is_option:
            underlying, name = figures.underlying()
            fields += [
                f'"underlying_price":{wire.decimal(underlying, 2)}',
                f'"underlying_index":"{name}"',
                '"interest_rate":0.0',
            ]
        return "{" + ",".join(fields) + "}"

    def index_price(self, params: dict[str, Any]) -> str:
        base = str(params.get("index_name", "")).partition("_")[0].upper()
        market = self.publisher.bases.get(base)
        if market is None:
            raise invalid_params("index_name", "invalid value")
        value = wire.decimal(index_of(market.seed, base, self.market.at_us), 2)
        return f'{{"index_price":{value},"estimated_delivery_price":{value}}}'


def call(table: dict[str, Method], name: str, params: dict[str, Any]) -> str:
    """A method by its name. Raises RpcError."""
    method = table.get(name)
    if method is None:
        raise RpcError(-32601, "Method not found")
    try:
        return method(params)
    except (ValueError, TypeError, OverflowError) as exc:
        raise RpcError(-32602, "Invalid params") from exc
