"""Which records go to which Redis keys, and what makes one newer than another. The one place to add a kind.

With K = exchange.market.symbol (the Kafka key) and all keys prefixed by `environment.redis_prefix`; braces are literal
and keep the keys of one symbol in one cluster slot:

    md:last:{K}:trade|ticker|bbo   hash: json, seq, ts; so for the ones below
    md:last:{K}:mark_price|funding|open_interest|liquidation|volatility
    md:last:{K}:long_short:<kind>  kind: global_account, top_account, top_position, taker_volume
    md:book:{K}                    string: the book's JSON; hash md:book:{K}:guard with seq and ts
    kline:{K}:<interval>           hash: latest, closed (JSON) and for each of them <name>:seq, <name>:ts
    md:feed:{K}                    hash: <channel> (JSON of its feed status) and <channel>:seq, :ts, :owner, :up
    arb:{instrument}               hash: for each pair of markets <buy>><sell> (keys K) the latest record of its newest
                                   episode (`action` says whether it is over) and <pair>:seq, <pair>:ts
    md:symbols                     set of K

Of funding the latest estimate is shown; rates that were settled are history.
`ts` is the receive time of the frame in nanoseconds, `seq` an opaque order. Each write is published on the channel
`ch:` + key. Only the fields that decide this are decoded; the value is the record as it stands in Kafka.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec import Struct

from marketdata import topics
from marketdata.errors import BadData
from marketdata.topics import Topic

Rule = Literal["seq", "book", "feed", "quote"]
"""How to compare; see `commands.supersedes`."""


class Slot(Struct, frozen=True):
    """Where one record goes: key without prefix, field ("" = the key is a string), order, and what the rule needs."""

    key: str
    field: str
    seq: str
    rule: Rule = "seq"
    publish: bool = True
    owner: str = ""
    up: bool = True


ID_WIDTH = 40


def number(text: str) -> str:
    """An id in a fixed width, so that ids compare as numbers; other ids are padded alike and compare as text. Of a
    longer one the beginning counts: in its full length it would stand above everything that follows it. ASCII alone,
    because the script counts bytes where Python counts letters."""
    return (text if text.isascii() else ascii(text))[:ID_WIDTH].rjust(ID_WIDTH, "0")


def whole(value: int, width: int = 20) -> str:
    """A number in a fixed width. Raises BadData where it needs more: it would stand above everything that follows."""
    text = f"{value:0{width}d}"
    if len(text) > width:
        raise BadData("integer_range", f"a number of more than {width} digits")
    return text


class TradeHead(Struct):
    type: str
    recv_time_ns: str = ""
    trade_id: str = ""
    trade_time_us: int = 0
    aggregated: bool = False
    last_trade_id: str = ""


class TickerHead(Struct):
    type: str
    recv_time_ns: str = ""
    event_time_us: int = 0


class FundingHead(Struct):
    type: str
    recv_time_ns: str = ""
    event_time_us: int = 0
    settled: bool = False


class LongShortHead(Struct):
    type: str
    recv_time_ns: str = ""
    event_time_us: int = 0
    ratio_kind: str = ""


class ArbitrageHead(Struct):
    type: str
    recv_time_ns: str = ""
    opened_time_us: int = 0
    sequence: int = 0
    buy_exchange: str = ""
    buy_market: str = ""
    buy_symbol: str = ""
    sell_exchange: str = ""
    sell_market: str = ""
    sell_symbol: str = ""


class BboHead(Struct):
    type: str
    recv_time_ns: str = ""
    update_id: str = ""
    event_time_us: int = 0


class BookHead(Struct):
    type: str
    recv_time_ns: str = ""
    state: str = ""
    update_id: str = ""
    epoch: int = 0


class KlineHead(Struct):
    type: str
    recv_time_ns: str = ""
    interval: str = ""
    open_time: int = 0
    is_closed: bool = False
    revision: int = 0
    last_trade_id: str = ""
    trade_count: int = 0
    event_time_us: int = 0


class FeedStatusHead(Struct):
    type: str
    recv_time_ns: str = ""
    channel: str = ""
    state: str = ""
    connection: str = ""


def _trade(k: str, r: TradeHead) -> Iterator[Slot]:
    # trade time first: after an exchange began to count anew lower ids are newer. Both id spaces in underlying ids.
    last = number(r.last_trade_id if r.aggregated and r.last_trade_id else r.trade_id)
    yield Slot(f"md:last:{{{k}}}:trade", "json", f"{whole(r.trade_time_us)}:{last}:{int(not r.aggregated)}")


def _by_time(name: str) -> Callable[[str, TickerHead], Iterator[Slot]]:
    def make(k: str, r: TickerHead) -> Iterator[Slot]:
        yield _timed(k, name, r)

    return make


def _timed(k: str, name: str, r: TickerHead | FundingHead | LongShortHead) -> Slot:
    return Slot(f"md:last:{{{k}}}:{name}", "json", f"{whole(r.event_time_us)}:{r.recv_time_ns:>020}")


def _funding(k: str, r: FundingHead) -> Iterator[Slot]:
    if not r.settled:
        yield _timed(k, "funding", r)


def _long_short(k: str, r: LongShortHead) -> Iterator[Slot]:
    yield _timed(k, f"long_short:{r.ratio_kind}", r)


def _arbitrage(k: str, r: ArbitrageHead) -> Iterator[Slot]:
    buy = f"{r.buy_exchange}.{r.buy_market}.{r.buy_symbol}"
    sell = f"{r.sell_exchange}.{r.sell_market}.{r.sell_symbol}"
    yield Slot(f"arb:{{{k}}}", f"{buy}>{sell}", f"{whole(r.opened_time_us)}:{whole(r.sequence)}")


def _bbo(k: str, r: BboHead) -> Iterator[Slot]:
    yield Slot(f"md:last:{{{k}}}:bbo", "json", f"{whole(r.event_time_us)}:{number(r.update_id)}", "quote")


def _book(k: str, r: BookHead) -> Iterator[Slot]:
    yield Slot(f"md:book:{{{k}}}", "", f"{whole(r.epoch, 10)}:{number(r.update_id)}", "book", up=r.state == "ok")


def _kline(k: str, r: KlineHead) -> Iterator[Slot]:
    key = f"kline:{{{k}}}:{r.interval}"
    order = f"{whole(r.revision, 10)}:{number(r.last_trade_id)}:{whole(r.trade_count)}:{whole(r.event_time_us)}"
    seq = f"{whole(r.open_time)}:{int(r.is_closed)}:{order}"
    # a candle closes when the next one has begun: published as the newest closed one, whether or not it is the latest
    yield Slot(key, "latest", seq, publish=not r.is_closed)
    if r.is_closed:
        yield Slot(key, "closed", seq)


def _feed_status(k: str, r: FeedStatusHead) -> Iterator[Slot]:
    yield Slot(
        f"md:feed:{{{k}}}", r.channel, f"{r.recv_time_ns:>020}", "feed", owner=r.connection, up=r.state == "connected"
    )


@dataclass(frozen=True)
class Kind:
    topic: Topic
    tag: str
    """The record's type; other types of the topic are passed over."""
    head: type[Struct]
    slots: Callable[[str, Any], Iterator[Slot]]
    by_symbol: bool = True
    """The topic's key is a K, to be listed in md:symbols."""


def lasting(k: str) -> tuple[str, ...]:
    """Keys whose value holds, however old, while anything comes of K (heartbeats too): the state of its connections,
    and a book that does not move."""
    return f"md:feed:{{{k}}}", f"md:book:{{{k}}}", f"md:book:{{{k}}}:guard"


KINDS: tuple[Kind, ...] = (
    Kind(topics.MD_TRADE, "trade", TradeHead, _trade),
    Kind(topics.MD_BBO, "bbo", BboHead, _bbo),
    Kind(topics.MD_BOOK, "book", BookHead, _book),
    Kind(topics.MD_TICKER, "ticker", TickerHead, _by_time("ticker")),
    Kind(topics.MD_MARK_PRICE, "mark_price", TickerHead, _by_time("mark_price")),
    Kind(topics.MD_FUNDING, "funding", FundingHead, _funding),
    Kind(topics.MD_OPEN_INTEREST, "open_interest", TickerHead, _by_time("open_interest")),
    Kind(topics.MD_LIQUIDATION, "liquidation", TickerHead, _by_time("liquidation")),
    Kind(topics.MD_LONG_SHORT, "long_short", LongShortHead, _long_short),
    Kind(topics.MD_VOLATILITY, "volatility", TickerHead, _by_time("volatility")),
    Kind(topics.MD_ARBITRAGE, "arbitrage", ArbitrageHead, _arbitrage, by_symbol=False),
    Kind(topics.MD_KLINE, "kline", KlineHead, _kline),
    Kind(topics.MD_FEED_STATUS, "feed_status", FeedStatusHead, _feed_status),
)
SYMBOLS_KEY = "md:symbols"
MARKER_KEY = "md:sink"
"""With `:` and the process's `sinks.instance`: set while Redis holds what that process wrote, gone when Redis lost its
data. One for each process, because each fills in what it knows."""

HEADS = {kind.topic.name: (kind, msgspec.json.Decoder(kind.head)) for kind in KINDS}
"""Topic (without prefix) -> its kind and the decoder of the few fields that order it."""
