"""USD-M's REST endpoints over the synthetic market."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from simulator.dialect import Desk
from simulator.market import derivatives
from simulator.market.candles import FIXED_MS, INTERVALS, next_open_time
from simulator.market.instruments import E8
from simulator.market.listing import fixed
from simulator.market.symbol import SymbolMarket, Trade
from simulator.market.ticker import Day, day_of
from simulator.rest import SyntheticRest
from simulator.rest_params import ApiError, Query
from simulator.usdm import wire
from simulator.usdm.instruments import pair_of
from simulator.usdm.limits import WEIGHT_MAX

DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
PERIODS = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")


class Endpoints(SyntheticRest):
    """Everything answered from the market and its history on disk."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.market, desk.store, WEIGHT_MAX)
        self.days: dict[str, Day] = {}
        self.paths: dict[str, Callable[[Query], str | bytes]] = {
            "/fapi/v1/ping": lambda _: "{}",
            "/fapi/v1/time": lambda _: f'{{"serverTime":{self.market.at_us // 1000}}}',
            "/fapi/v1/depth": self.depth,
            "/fapi/v1/exchangeInfo": self.exchange_info,
            "/fapi/v1/trades": self.trades,
            "/fapi/v1/historicalTrades": self.historical_trades,
            "/fapi/v1/aggTrades": self.agg_trades,
            "/fapi/v1/klines": self.klines,
            "/fapi/v1/ticker/24hr": self.ticker,
            "/fapi/v1/ticker/bookTicker": self.book_ticker,
            "/fapi/v1/ticker/price": self.price,
            "/fapi/v1/premiumIndex": self.premium_index,
            "/fapi/v1/fundingRate": self.funding_rate,
            "/fapi/v1/fundingInfo": lambda _: "[]",
            "/fapi/v1/openInterest": self.open_interest,
            "/futures/data/openInterestHist": self.open_interest_history,
            "/futures/data/globalLongShortAccountRatio": lambda query: self.ratio(query, "global accounts"),
            "/futures/data/topLongShortAccountRatio": lambda query: self.ratio(query, "top accounts"),
            "/futures/data/topLongShortPositionRatio": lambda query: self.ratio(query, "top positions"),
            "/futures/data/takerlongshortRatio": self.taker_ratio,
        }

    # --- market data --------------------------------------------------------------------------------

    def depth(self, query: Query) -> bytes:
        market = self.symbol(query)
        count = query.number("limit", 500)
        if count not in DEPTH_LIMITS:
            raise ApiError(-1130, "Data sent for parameter 'limit' is not valid.")
        i, now_ms = market.instrument, self.market.at_us // 1000
        bids = ((-key, amount) for key, amount in market.bids.levels(count))
        return (
            f'{{"lastUpdateId":{wire.update_id(market.update_id)},"E":{now_ms},"T":{now_ms},'
            f'"bids":{wire.levels(bids, i)},"asks":{wire.levels(market.asks.levels(count), i)}}}'
        ).encode()

    def info(self, market: SymbolMarket) -> Any:
        i = market.instrument
        assert i.contract is not None
        tick, step = wire.price(i, 1), wire.qty(i, 1)
        lots = {"maxQty": "1000000", "minQty": step}
        return {
            "symbol": i.symbol,
            "pair": pair_of(i.symbol),
            "contractType": "CURRENT_QUARTER" if i.contract.expiry_ms else "PERPETUAL",
            "deliveryDate": i.contract.expiry_ms or 4_133_404_800_000,
            "onboardDate": 1_569_398_400_000,
            "status": "TRADING",
            "maintMarginPercent": "2.5000",
            "requiredMarginPercent": "5.0000",
            "baseAsset": i.base,
            "quoteAsset": i.quote,
            "marginAsset": i.quote,
            "pricePrecision": 2,
            "quantityPrecision": 3,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": "COIN",
            "underlyingSubType": [],
            "settlePlan": 0,
            "triggerProtect": "0.0500",
            "liquidationFee": "0.012000",
            "marketTakeBound": "0.30",
            "filters": [
                {"minPrice": tick, "maxPrice": "1000000", "filterType": "PRICE_FILTER", "tickSize": tick},
                {"stepSize": step, "filterType": "LOT_SIZE", **lots},
                {"stepSize": step, "filterType": "MARKET_LOT_SIZE", **lots},
                {"limit": 200, "filterType": "MAX_NUM_ORDERS"},
                {"limit": 10, "filterType": "MAX_NUM_ALGO_ORDERS"},
                {"notional": "5", "filterType": "MIN_NOTIONAL"},
                {
                    "multiplierDown": "0.8500",
                    "multiplierUp": "1.1500",
                    "multiplierDecimal": "4",
                    "filterType": "PERCENT_PRICE",
                },
            ],
            "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
            "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        }

    def exchange_info(self, query: Query) -> bytes:
        del query  # the venue lists everything
        limits = [
            ("REQUEST_WEIGHT", "MINUTE", 1, WEIGHT_MAX),
            ("ORDERS", "MINUTE", 1, 1200),
            ("ORDERS", "SECOND", 10, 300),
        ]
        return _json(
            {
                "timezone": "UTC",
                "serverTime": self.market.at_us // 1000,
                "futuresType": "U_MARGINED",
                "rateLimits": [
                    {"rateLimitType": kind, "interval": unit, "intervalNum": number, "limit": limit}
                    for kind, unit, number, limit in limits
                ],
                "exchangeFilters": [],
                "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}],
                "symbols": [self.info(market) for market in self.market.order],
            }
        )

    def trades(self, query: Query) -> str:
        market = self.symbol(query)
        return _trades(market, list(market.trades)[-query.limit(500, 1000) :])

    def historical_trades(self, query: Query) -> str:
        market = self.symbol(query)
        limit, from_id = query.limit(500, 1000), query.number("fromId")
        if from_id is None:
            return _trades(market, list(market.trades)[-limit:])
        return _trades(market, self.trades_since(market, from_id, limit))

    def trades_since(self, market: SymbolMarket, wire_id: int, limit: int) -> list[Trade]:
        """Ordinary trades whose id on the wire is at least this."""
        lowest = max(0, wire_id - wire.skipped(market.agg_id))
        more = wire.skipped(market.agg_id) - wire.skipped(market.instrument.first_agg_id) + 1
        found = self.trades_from(market, lowest, limit + more)
        return [item for item in found if wire.trade_id(item) >= wire_id][:limit]

    def agg_trades(self, query: Query) -> str:
        market = self.symbol(query)
        return _json(
            [
                {name: value for name, value in json.loads(wire.agg_trade(market, agg)).items() if name in AGG_NAMES}
                for agg in self.aggs(query)
            ]
        ).decode()

    def klines(self, query: Query) -> str:
        market = self.symbol(query)
        interval = query.text("interval")
        if interval not in INTERVALS or interval == "1s":
            raise ApiError(-1120, "Invalid interval.")
        start, end = query.number("startTime"), query.number("endTime")
        i = market.instrument
        rows = [
            f'[{bar.open_ms},"{wire.price(i, bar.o)}","{wire.price(i, bar.h)}","{wire.price(i, bar.l)}",'
            f'"{wire.price(i, bar.c)}","{wire.qty(i, bar.volume)}",{next_open_time(interval, bar.open_ms) - 1},'
            f'"{wire.quote(i, bar.quote)}",{bar.count},"{wire.qty(i, bar.taker)}",'
            f'"{wire.quote(i, bar.taker_quote)}","0"]'
            for bar in self.bars(market, interval, start, end, query.limit(500, 1500))
        ]
        return "[" + ",".join(rows) + "]"

    def _each(self, query: Query, make: Callable[[SymbolMarket], dict[str, Any]]) -> bytes:
        """Of the symbol asked for, or a list of all."""
        if "symbol" in query.values:
            return _json(make(self.symbol(query)))
        return _json([make(market) for market in self.market.order])

    def ticker(self, query: Query) -> str:
        def make(market: SymbolMarket) -> dict[str, Any]:
            told = json.loads(wire.ticker(market, day_of(market, self.days), self.market.at_us))
            return {name: told[key] for name, key in TICKER_NAMES.items()}

        return self._each(query, make).decode()

    def book_ticker(self, query: Query) -> str:
        def make(market: SymbolMarket) -> dict[str, Any]:
            i = market.instrument
            bid, bid_qty, ask, ask_qty = market.best
            out = {"symbol": i.symbol, "bidPrice": wire.price(i, bid), "bidQty": wire.qty(i, bid_qty)}
            return out | {"askPrice": wire.price(i, ask), "askQty": wire.qty(i, ask_qty), "time": self.now_ms}

        return self._each(query, make).decode()

    def price(self, query: Query) -> str:
        def make(market: SymbolMarket) -> dict[str, Any]:
            i = market.instrument
            return {"symbol": i.symbol, "price": wire.price(i, market.bar.c), "time": self.now_ms}

        return self._each(query, make).decode()

    @property
    def now_ms(self) -> int:
        return self.market.at_us // 1000

    # --- contract data ------------------------------------------------------------------------------

    def premium_index(self, query: Query) -> bytes:
        def make(market: SymbolMarket) -> dict[str, Any]:
            told = json.loads(wire.mark_price(market, self.market.at_us))
            out = {name: told[key] for name, key in PREMIUM_NAMES.items()}
            return out | {"interestRate": "0.00010000", "time": self.now_ms}

        return self._each(query, make)

    def funding_rate(self, query: Query) -> bytes:
        """The newest settlements, oldest first."""
        market = self.symbol(query)
        count = query.limit(100, 1000)
        rows = []
        at_us = self.market.at_us
        for _ in range(min(count, 90)):
            told = derivatives.funding(market, at_us)
            rows.append(
                {
                    "symbol": market.instrument.symbol,
                    "fundingTime": told.previous_time_us // 1000,
                    "fundingRate": wire.rate(told.previous_rate),
                    "markPrice": wire.fine(market.instrument, derivatives.index_ticks(market, told.previous_time_us)),
                }
            )
            at_us = told.previous_time_us - 1
        return _json(rows[::-1])

    def open_interest(self, query: Query) -> bytes:
        market = self.symbol(query)
        amount = derivatives.open_interest(market, self.market.at_us)
        told = {"openInterest": wire.qty(market.instrument, amount), "symbol": market.instrument.symbol}
        return _json({**told, "time": self.now_ms})

    def _times(self, query: Query) -> list[int]:
        """Ends of the last periods in ms, oldest first."""
        period = query.text("period")
        if period not in PERIODS:
            raise ApiError(-1130, "Data sent for parameter 'period' is not valid.")
        size = FIXED_MS[period]
        end = min(query.number("endTime", self.now_ms) or 0, self.now_ms) // size * size
        start = query.number("startTime", 0) or 0
        times = [end - back * size for back in range(query.limit(30, 500))]
        return [at for at in reversed(times) if at >= max(start, self.now_ms - 30 * FIXED_MS["1d"])]

    def open_interest_history(self, query: Query) -> bytes:
        market = self.symbol(query)
        rows = []
        for at in self._times(query):
            amount = derivatives.open_interest(market, at * 1000)
            index = derivatives.index_ticks(market, at * 1000)
            base, value = derivatives.value_e8(market, amount, index)
            sums = {"sumOpenInterest": fixed(base, 8), "sumOpenInterestValue": fixed(value, 8)}
            rows.append({"symbol": market.instrument.symbol, **sums, "timestamp": at})
        return _json(rows)

    def ratio(self, query: Query, kind: str) -> bytes:
        market = self.symbol(query)
        rows = []
        for at in self._times(query):
            long = round(derivatives.long_share(market, kind, at * 1000), 4)
            shares = {"longAccount": f"{long:.4f}", "longShortRatio": f"{long / (1 - long):.4f}"}
            shares["shortAccount"] = f"{1 - long:.4f}"
            rows.append({"symbol": market.instrument.symbol, **shares, "timestamp": at})
        return _json(rows)

    def taker_ratio(self, query: Query) -> bytes:
        """Of what was traded as far as candles are kept, of a draw before."""
        market = self.symbol(query)
        size = FIXED_MS[query.text("period")] if query.text("period") in PERIODS else 0
        step = market.instrument.step_e8
        rows = []
        for at in self._times(query):
            bars = [bar for bar in market.bars if at - size <= bar.open_ms < at]
            buy, sell = sum(bar.taker for bar in bars), sum(bar.volume - bar.taker for bar in bars)
            if not buy or not sell:
                share = derivatives.long_share(market, "taker", at * 1000)
                whole = 1000 * market.instrument.typical_qty
                buy, sell = int(whole * share), whole - int(whole * share)
            volumes = {"buyVol": fixed(buy * step, 4), "sellVol": fixed(sell * step, 4)}
            rows.append({"buySellRatio": f"{buy / sell:.4f}", **volumes, "timestamp": at})
        return _json(rows)


AGG_NAMES = ("a", "p", "q", "nq", "f", "l", "T", "m")
TICKER_NAMES = {
    "symbol": "s", "priceChange": "p", "priceChangePercent": "P", "weightedAvgPrice": "w", "lastPrice": "c",
    "lastQty": "Q", "openPrice": "o", "highPrice": "h", "lowPrice": "l", "volume": "v", "quoteVolume": "q",
    "openTime": "O", "closeTime": "C", "firstId": "F", "lastId": "L", "count": "n",
}  # fmt: skip
PREMIUM_NAMES = {
    "symbol": "s", "markPrice": "p", "indexPrice": "i", "estimatedSettlePrice": "P", "lastFundingRate": "r",
    "nextFundingTime": "T",
}  # fmt: skip


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _trades(market: SymbolMarket, trades: list[Trade]) -> str:
    i = market.instrument
    return _json(
        [
            {
                "id": wire.trade_id(item),
                "price": wire.price(i, item.price),
                "qty": wire.qty(i, item.qty),
                "quoteQty": fixed(item.price * item.qty * i.tick_e8 * i.step_e8 // E8, 2),
                "time": item.time_us // 1000,
                "isBuyerMaker": item.buyer_is_maker,
                "isRPITrade": wire.is_rpi(item.agg_id),
            }
            for item in trades
        ]
    ).decode()
