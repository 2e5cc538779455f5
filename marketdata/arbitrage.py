"""Cross-exchange arbitrage: episodes from best quotes of one instrument on several markets. Pure, exact decimals.

Give it events in the order of receive time (`marketdata.merge` makes that order). A quote counts until the market's
next one, until its feed ends, or until it is older than `max_age_ns`, whatever comes first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final, NamedTuple

from msgspec import Struct

from marketdata.keys import Key, parse_key
from marketdata.types import Arbitrage, Bbo

_EXACT: Final = Context(prec=100, rounding=ROUND_HALF_EVEN)
"""Prices and quantities have at most 64 digits and fees a few: every product is exact."""
BPS_PLACES: Final = Decimal("0.0001")
DEFAULT_FEE: Final = "default"
NEARLY: Final = 1 + 1e-8
"""More than floats and the rounding of basis points can be off by."""
NOTHING: Final = (math.inf, -math.inf)
"""Edge of a market that has no quote."""


class Quote(Struct, array_like=True, frozen=True):
    """Best bid and ask of one market; "" where a side is empty."""

    recv_ns: int
    event_time_us: int
    bid: str
    bid_quantity: str
    ask: str
    ask_quantity: str


class Episode(Struct, array_like=True):
    """One that is open, with what was last said of it."""

    episode_id: str
    opened_us: int
    sequence: int
    said_ns: int
    buy_price: str
    sell_price: str
    quantity: str
    profit: str
    bps: str


class Terms(NamedTuple):
    """What counts as an opportunity."""

    fees: Mapping[str, Decimal]
    """Taker fee as a fraction, by `exchange.market`, by exchange, or under `default`."""
    min_bps: Decimal
    max_age_ns: int
    update_interval_ns: int
    """A change is told at most this often per episode."""


class Profit(NamedTuple):
    quantity: str
    profit: str
    bps: Decimal


class Place(NamedTuple):
    """A market: its key's parts, its taker fee, and the factors of `Finder._edges`."""

    key: Key
    fee: Decimal
    cost: float
    income: float


def quote_of(record: Bbo) -> Quote:
    """The part of a best quote that matters here."""
    return Quote(
        int(record.recv_time_ns), record.event_time_us, record.bid_price, record.bid_quantity, record.ask_price,
        record.ask_quantity,
    )  # fmt: skip


def fee_of(fees: Mapping[str, Decimal], key: Key) -> Decimal:
    """The taker fee of a market; the most exact entry counts."""
    for name in (f"{key.exchange}.{key.market}", key.exchange, DEFAULT_FEE):
        if name in fees:
            return fees[name]
    return Decimal(0)


def profit_of(buy: Quote, sell: Quote, buy_fee: Decimal, sell_fee: Decimal) -> Profit | None:
    """What buying at one market's ask and selling at another one's bid earns, net of fees; None where a side is empty.

    May be negative.
    """
    if not buy.ask or not sell.bid:
        return None
    cost = _EXACT.multiply(Decimal(buy.ask), 1 + buy_fee)
    income = _EXACT.multiply(Decimal(sell.bid), 1 - sell_fee)
    net = _EXACT.subtract(income, cost)
    quantity = min(Decimal(buy.ask_quantity), Decimal(sell.bid_quantity))
    bps = _EXACT.divide(_EXACT.multiply(net, Decimal(10_000)), cost).quantize(BPS_PLACES, context=_EXACT)
    return Profit(_text(quantity), _text(_EXACT.multiply(net, quantity)), bps)


def _text(number: Decimal) -> str:
    """Plain notation without trailing zeros."""
    text = f"{number:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


class Instrument(Struct):
    """Best quotes of one instrument by market key, and the episodes open between two of them."""

    quotes: dict[str, Quote] = {}
    episodes: dict[str, Episode] = {}
    """By `buy key|sell key`."""
    opened: dict[str, tuple[int, int]] = {}
    """The same: when the newest episode opened, and how many had opened at that very time before it."""


class Finder:
    """All instruments. `state` is what is persisted."""

    def __init__(self, terms: Terms, state: dict[str, Instrument]) -> None:
        self.terms = terms
        self.state = state
        self._markets: dict[str, Place] = {}
        self._edges: dict[str, dict[str, tuple[float, float]]] = {}
        """By instrument and market key, of its quote: what a coin bought there costs with the least profit wanted, and
        what one sold there brings, rounded up. Only where one market brings what another costs exact sums are done."""

    def quote(self, name: str, key: str, quote: Quote) -> list[Arbitrage]:
        """A market's new best quote of the instrument `name`."""
        instrument = self.state.get(name)
        if instrument is None:
            instrument = self.state[name] = Instrument()
        instrument.quotes[key] = quote
        self._edges_of(name, instrument)[key] = self._edge(key, quote)
        return self._judge(name, instrument, key, quote.recv_ns, quote.event_time_us, "gone")

    def quote_of(self, name: str, key: str) -> Quote | None:
        """The quote of a market that counts now."""
        instrument = self.state.get(name)
        return instrument.quotes.get(key) if instrument is not None else None

    def expire(self, name: str, key: str, recv_ns: int) -> list[Arbitrage]:
        """The bound of the quote received at `recv_ns` has passed; nothing happens where a newer one came."""
        instrument = self.state.get(name)
        if instrument is None or key not in instrument.quotes or instrument.quotes[key].recv_ns != recv_ns:
            return []
        return self._without(name, instrument, key, recv_ns + self.terms.max_age_ns, "stale")

    def leave(self, key: str, at_ns: int) -> list[Arbitrage]:
        """The market's feed of this symbol ended."""
        out: list[Arbitrage] = []
        for name in [n for n, instrument in self.state.items() if key in instrument.quotes]:
            out += self._without(name, self.state[name], key, at_ns, "disconnected")
        return out

    def _without(self, name: str, instrument: Instrument, key: str, at_ns: int, why: str) -> list[Arbitrage]:
        """A market's quote counts no more."""
        del instrument.quotes[key]
        self._edges_of(name, instrument).pop(key, None)
        out = self._judge(name, instrument, key, at_ns, 0, why)
        if not instrument.quotes:
            del self.state[name]
            del self._edges[name]
        return out

    # --- what is far from any profit -----------------------------------------------------------------

    def _edges_of(self, name: str, instrument: Instrument) -> dict[str, tuple[float, float]]:
        found = self._edges.get(name)
        if found is None:  # the state was restored
            found = self._edges[name] = {key: self._edge(key, quote) for key, quote in instrument.quotes.items()}
        return found

    def _edge(self, key: str, quote: Quote) -> tuple[float, float]:
        _, _, cost, income = self._market(key)
        return (
            float(quote.ask) * cost if quote.ask else math.inf,
            float(quote.bid) * income if quote.bid else -math.inf,
        )

    # --- one change ----------------------------------------------------------------------------------

    def _judge(
        self, name: str, instrument: Instrument, changed: str, at_ns: int, event_us: int, why: str
    ) -> list[Arbitrage]:
        """Episodes between the market that changed and each other one, in a fixed order."""
        quotes, edges = instrument.quotes, self._edges[name]
        cost, income = edges.get(changed, NOTHING)
        if not instrument.episodes:
            for key, (other_cost, other_income) in edges.items():
                if (other_income >= cost or income >= other_cost) and key != changed:
                    break
            else:
                return []
        others = sorted({*quotes, *(k for pair in instrument.episodes for k in pair.split("|"))} - {changed})
        out: list[Arbitrage] = []
        for other in others:
            for buy, sell in ((changed, other), (other, changed)):
                pair = f"{buy}|{sell}"
                episode = instrument.episodes.get(pair)
                near = edges.get(sell, NOTHING)[1] >= edges.get(buy, NOTHING)[0]
                found = self._opportunity(quotes[buy], quotes[sell], buy, sell) if near else None
                if found is None:
                    if episode is not None:
                        del instrument.episodes[pair]
                        out.append(self._record(name, buy, sell, episode, "close", why, at_ns, event_us))
                    continue
                prices = (quotes[buy].ask, quotes[sell].bid, found.quantity, found.profit, f"{found.bps:f}")
                if episode is None:
                    episode_id = f"{name}:{buy}:{sell}:{self._opening(instrument, pair, at_ns)}"
                    episode = instrument.episodes[pair] = Episode(episode_id, at_ns // 1000, 0, at_ns, *prices)
                    out.append(self._record(name, buy, sell, episode, "open", "", at_ns, event_us))
                elif at_ns - episode.said_ns >= self.terms.update_interval_ns and prices != _prices(episode):
                    episode.buy_price, episode.sell_price, episode.quantity, episode.profit, episode.bps = prices
                    out.append(self._record(name, buy, sell, episode, "update", "", at_ns, event_us))
        return out

    @staticmethod
    def _opening(instrument: Instrument, pair: str, at_ns: int) -> str:
        """The time, told apart from other openings of the pair at it: frames read at once have one receive time."""
        before_ns, count = instrument.opened.get(pair, (0, 0))
        count = count + 1 if before_ns == at_ns else 0
        instrument.opened[pair] = (at_ns, count)
        return f"{at_ns}.{count}" if count else str(at_ns)

    def _opportunity(self, buy: Quote, sell: Quote, buy_key: str, sell_key: str) -> Profit | None:
        """The profit where there is enough of it, else None."""
        found = profit_of(buy, sell, self._market(buy_key).fee, self._market(sell_key).fee)
        if found is None or found.bps < self.terms.min_bps or found.profit.startswith("-") or found.profit == "0":
            return None
        return found

    def _market(self, key: str) -> Place:
        """The key's parts, and what its market's fee makes of a price."""
        found = self._markets.get(key)
        if found is None:
            parts = parse_key(key)
            fee = fee_of(self.terms.fees, parts)
            least = 1.0 + float(self.terms.min_bps) / 10_000
            found = self._markets[key] = Place(parts, fee, (1.0 + float(fee)) * least, (1.0 - float(fee)) * NEARLY)
        return found

    def _record(
        self, name: str, buy: str, sell: str, episode: Episode, action: str, why: str, at_ns: int, event_us: int
    ) -> Arbitrage:
        buyer, seller = self._market(buy).key, self._market(sell).key
        sequence = episode.sequence
        episode.sequence += 1
        episode.said_ns = at_ns
        return Arbitrage(
            instrument=name,
            episode_id=episode.episode_id,
            sequence=sequence,
            action="open" if action == "open" else "update" if action == "update" else "close",
            reason=why,
            buy_exchange=buyer.exchange,
            buy_market=buyer.market,
            buy_symbol=buyer.symbol,
            buy_price=episode.buy_price,
            sell_exchange=seller.exchange,
            sell_market=seller.market,
            sell_symbol=seller.symbol,
            sell_price=episode.sell_price,
            quantity=episode.quantity,
            net_profit=episode.profit,
            net_profit_bps=episode.bps,
            opened_time_us=episode.opened_us,
            event_time_us=event_us,
            recv_time_ns=str(at_ns),
        )


def _prices(episode: Episode) -> tuple[str, str, str, str, str]:
    return episode.buy_price, episode.sell_price, episode.quantity, episode.profit, episode.bps
