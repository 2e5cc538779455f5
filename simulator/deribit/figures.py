"""What Deribit tells of an instrument beside its book and trades: index, mark, 24 h statistics, funding, greeks."""

from __future__ import annotations

import math

from simulator.deribit.instruments import Listing, parse
from simulator.deribit.states import ENDED
from simulator.deribit.wire import best_price, decimal, double, number
from simulator.market import derivatives
from simulator.market.instruments import E8, Instrument
from simulator.market.listing import reference_e8
from simulator.market.reference import coin_factor, key_of, noise
from simulator.market.symbol import SymbolMarket, Trade
from simulator.market.ticker import Day

YEAR_MS = 365 * 86_400_000
HOUR_US = 3_600_000_000
PREMIUM_MOST, PREMIUM_FREE = 0.0006, 0.00025
"""A perpetual's premium over the index wanders within the one; within the other nobody pays: the rate is exactly 0."""
PREMIUM_PERIOD_US = 1_200_000_000
FUNDING_SAMPLES = 16
"""In eight hours, for their mean."""
NO_BEST = (0, 0, 0, 0)
PRICE_BAND = 0.015


def coins_e8(i: Instrument, trade: Trade) -> int:
    """Of one trade, in 1e-8 of the base coin: dollars over price for inverse ones."""
    if i.contract is not None and i.contract.inverse:
        return round(trade.qty * i.step_e8 * E8 / (trade.price * i.tick_e8))
    return trade.qty * i.step_e8


def index_of(seed: int, base: str, at_us: int) -> float:
    """The coin's index in dollars."""
    return reference_e8(base, seed) * coin_factor(seed, base, at_us) / E8


def volatility_index(seed: int, base: str, at_us: int) -> float:
    """DVOL in percent."""
    key = key_of(seed, base, "dvol")
    return 48.0 + 6.0 * noise(key, at_us, HOUR_US) + 0.4 * noise(key + 1, at_us, 20_000_000)


def funding_rate(market: SymbolMarket, at_us: int) -> float:
    """What longs pay at this moment, as a rate for eight hours."""
    key = key_of(market.seed, market.venue, market.instrument.symbol, "funding")
    premium = PREMIUM_MOST * noise(key, at_us, PREMIUM_PERIOD_US)
    return max(0.0, premium - PREMIUM_FREE) + min(0.0, premium + PREMIUM_FREE)


def funding_8h(market: SymbolMarket, at_us: int) -> float:
    """What the last eight hours came to."""
    step_us = 8 * HOUR_US // FUNDING_SAMPLES
    return sum(funding_rate(market, at_us - back * step_us) for back in range(FUNDING_SAMPLES)) / FUNDING_SAMPLES


class Figures:
    """Of one instrument now, as JSON numbers."""

    def __init__(self, market: SymbolMarket, day: Day, at_us: int, state: str) -> None:
        self.market = market
        self.day = day
        self.at_us = at_us
        self.state = state
        self.i = market.instrument
        self.listing: Listing = parse(self.i.symbol)
        self.is_option = self.listing.kind == "option"
        self.index_value = index_of(market.seed, self.listing.base, at_us)
        self.index = decimal(self.index_value, 2)
        tick = self.i.tick_e8 / E8
        self.mark_value = derivatives.mark_ticks(market, at_us) * tick
        self.mark = decimal(self.mark_value, 4 if self.is_option else 2 if tick >= 0.01 else 6)

    def price(self, ticks: int) -> str:
        return number(ticks * self.i.tick_e8)

    def amount(self, steps: int) -> str:
        return number(steps * self.i.step_e8)

    def iv(self, lean: float = 0.0) -> str:
        """Implied volatility in percent."""
        return decimal(volatility_index(self.market.seed, self.listing.base, self.at_us) + lean, 2)

    def open_interest(self) -> str:
        """A whole number of dollars for inverse ones, coins with a point for the others."""
        steps = derivatives.open_interest(self.market, self.at_us)
        if self.listing.inverse and not self.is_option:
            return str(steps * self.i.step_e8 // E8)
        return self.amount(steps)

    def stats(self) -> str:
        """Null while nothing traded for a day."""
        day = self.day
        traded = day.count > 0
        high, low = (self.price(day.high), self.price(day.low)) if traded else ("null", "null")
        change = decimal((day.close - day.open) / day.open * 100, 4) if traded else "null"
        coins, dollars = self.volumes(day.volume, day.quote)
        notional = "" if self.is_option else f',"volume_notional":{dollars}'
        return (
            f'{{"high":{high},"low":{low},"price_change":{change},"volume":{coins},"volume_usd":{dollars}{notional}}}'
        )

    def volumes(self, steps: int, ticks_steps: int) -> tuple[str, str]:
        """Coins and dollars of a sum of quantities, `ticks_steps` its quote amount as bars keep it."""
        if not steps:
            return "0.0", "0.0"
        i = self.i
        price = ticks_steps / (steps * i.quote_factor) * i.tick_e8 / E8 if i.quote_factor else 0.0
        wire = steps * i.step_e8 / E8
        if self.is_option:
            worth = price * self.index_value if self.listing.inverse else price
            return self.amount(steps), decimal(wire * worth, 2)
        if self.listing.inverse:
            return decimal(wire / price, 8), self.amount(steps)
        return self.amount(steps), decimal(wire * price, 4)

    def common(self) -> str:
        """Fields every ticker has before the mark price."""
        half = self.mark_value * PRICE_BAND if not self.is_option else self.mark_value * 0.6
        tick = self.i.tick_e8 / E8
        low, high = (max(1, round((self.mark_value + side * half) / tick)) for side in (-1, 1))
        last = self.price(self.day.close) if self.market.trades or self.day.count else "null"
        settled = self.at_us // (8 * HOUR_US) * 8 * HOUR_US
        settlement = derivatives.mark_ticks(self.market, settled) * tick
        return (
            f'"index_price":{self.index},"instrument_name":"{self.i.symbol}","last_price":{last},'
            f'"settlement_price":{decimal(settlement, 8 if self.is_option else 2)},"min_price":{self.price(low)},'
            f'"max_price":{self.price(high)},"open_interest":{self.open_interest()},"mark_price":{self.mark}'
        )

    def funding(self) -> tuple[str, str]:
        """The rate at this moment and the mean of the last eight hours, on one scale."""
        return decimal(funding_rate(self.market, self.at_us), 8), decimal(funding_8h(self.market, self.at_us), 8)

    def perpetual(self) -> str:
        """The ticker's current funding once more, in full."""
        interest = double(funding_rate(self.market, self.at_us))
        return f'{{"index_price":{self.index},"interest":{interest},"timestamp":{self.at_us // 1000}}}'

    def best(self) -> tuple[str, str]:
        bid, bid_qty, ask, ask_qty = NO_BEST if self.state in ENDED else self.market.best
        return (
            f'"best_ask_price":{best_price(self.i, ask, ask_qty)},"best_bid_price":{best_price(self.i, bid, bid_qty)}',
            f'"best_ask_amount":{self.amount(ask_qty)},"best_bid_amount":{self.amount(bid_qty)}',
        )

    def ticker(self) -> str:
        prices, amounts = self.best()
        head = f'"timestamp":{self.at_us // 1000},"state":"{self.state}","stats":{self.stats()}'
        if self.is_option:
            return f"{{{head},{self.option_fields(prices)},{amounts}}}"
        delivery = f'"estimated_delivery_price":{self.index}'
        if self.listing.perpetual:
            current, eight = self.funding()
            funding = f'"interest_value":0.0,"current_funding":{current},{delivery},"funding_8h":{eight}'
            return f"{{{head},{self.common()},{funding},{prices},{amounts}}}"
        return f"{{{head},{self.common()},{delivery},{prices},{amounts}}}"

    def option_fields(self, prices: str) -> str:
        underlying, name = self.underlying()
        return (
            f'"greeks":{self.greeks(underlying)},{self.common()},"interest_rate":0.0,'
            f'"estimated_delivery_price":{self.index},{prices},"mark_iv":{self.iv()},"bid_iv":{self.iv(-1.7)},'
            f'"ask_iv":{self.iv(2.1)},"underlying_price":{decimal(underlying, 2)},"underlying_index":"{name}"'
        )

    def underlying(self) -> tuple[float, str]:
        """A synthetic future of the option's expiry."""
        pair, _, rest = self.i.symbol.partition("-")
        years = max(0.0, (self.listing.expiry_ms - self.at_us / 1000) / YEAR_MS)
        return self.index_value * (1.0 + 0.04 * years), f"SYN.{pair}-{rest.split('-')[0]}"

    def greeks(self, underlying: float) -> str:
        """Black-Scholes with the volatility index, no interest."""
        years = max(1 / 365, (self.listing.expiry_ms - self.at_us / 1000) / YEAR_MS)
        sigma = volatility_index(self.market.seed, self.listing.base, self.at_us) / 100
        spread = sigma * math.sqrt(years)
        strike = self.listing.strike_e8 / E8
        d1 = (math.log(underlying / strike) + spread * spread / 2) / spread
        density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
        call_delta = 0.5 * (1 + math.erf(d1 / math.sqrt(2)))
        delta = call_delta if self.listing.is_call else call_delta - 1
        vega = underlying * density * math.sqrt(years) / 100
        theta = -underlying * density * sigma / (2 * math.sqrt(years)) / 365
        rho = strike * years * delta / 100
        gamma = density / (underlying * spread)
        return (
            f'{{"delta":{decimal(delta, 5)},"gamma":{decimal(gamma, 5)},"vega":{decimal(vega, 5)},'
            f'"theta":{decimal(theta, 5)},"rho":{decimal(rho, 5)}}}'
        )
