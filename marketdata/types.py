"""Every record MarketPrism publishes, and what each field means.

Conventions that hold for all of them:

- Prices and quantities are exact decimal strings in plain notation (no exponent), never floats. Quantities are in base
  coin; where a venue quotes contracts, the venue's own number is kept beside in `raw_quantity`.
- Ids, and nanosecond times, may exceed 2**53 and are therefore strings. `""` means the venue gave none.
- `event_time_us` is the exchange's clock in microseconds since 1970 (0: the venue gave no time for this record).
  `recv_time_ns` is ours, stamped before parsing, in nanoseconds since 1970. Their difference is signed: venue clocks
  run ahead.
- `type` is the tag in JSON and MessagePack. A topic may carry several types (see `marketdata.topics`).
- New fields get defaults; old fields never change type.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Level = tuple[str, str]
"""(price, quantity); in a delta the quantity is absolute and a zero removes the level."""

Side = Literal["buy", "sell", "unknown"]
"""The taker's side of a trade; of a liquidation, the side of the liquidation order."""

BookState = Literal["ok", "resyncing", "stale", "crossed"]
"""ok: verified against the venue's sequence. resyncing: waiting for an anchor or after a gap. stale: the feed is
disconnected or silent. crossed: best bid at or above best ask. Only `ok` books may be shown as good."""

KlineStatus = Literal["provisional", "final", "revised"]
"""provisional: the candle is still open. final: the watermark passed its end. revised: a later trade changed it."""

Market = Literal["spot", "perp", "future", "option", "inverse"]
"""`inverse`: coin-margined contracts of venues that serve them by an API of their own (Binance COIN-M, HTX). Where one
API serves both kinds (OKX, Deribit) they are `perp` and `future`, and `Instrument.inverse` tells them."""


class Record(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every record carries: whose data it is and when we received the frame it came from."""

    exchange: str
    market: str
    symbol: str
    """The venue's own spelling, upper case."""
    instrument: str = ""
    """Canonical name (`BTC-USDT`, `BTC-USDT-PERP`, `BTC-29DEC26-100000-C`); "" until the venue's metadata is known."""
    recv_time_ns: str = ""


# --- trades ----------------------------------------------------------------------------------------


class Trade(Record, frozen=True, kw_only=True, tag="trade", gc=False):
    """One execution, or with `aggregated` one taker order's fills at one price (an id space of its own)."""

    trade_id: str
    price: str
    quantity: str
    side: Side
    trade_time_us: int
    """When the matching engine traded; decides the candle a trade belongs to."""
    event_time_us: int = 0
    aggregated: bool = False
    first_trade_id: str = ""
    """Aggregated trades only: first and last id of the trades merged, inclusive."""
    last_trade_id: str = ""
    raw_quantity: str = ""
    """The venue's own number where it is not in base coin (contracts, USD); else ""."""
    liquidation: bool = False
    venue_trade_id: str = ""
    """The venue's own id where `trade_id` is its per-instrument sequence number (Deribit); else ""."""
    off_book: bool = False
    """The venue says that it was not matched in the instrument's own book (a block trade, the leg of a combination):
    its price may lie off the market. For signals made of the tape, leave it out."""


# --- books -----------------------------------------------------------------------------------------


class BookRecord(Record, frozen=True, kw_only=True):
    """The best levels of a live book, best first, at one update of the venue.

    A book that stops being `ok` is published once with its new state and empty sides, then not at all until it is
    good again.
    """

    state: BookState
    reason: str = ""
    """Why the book is not `ok`; "" when it is."""
    update_id: str
    """The venue's id of the last update applied; "" before the first anchor."""
    epoch: int = 0
    """Counts the venue's sequence resets seen in this log: (epoch, update_id) only ever grows."""
    event_time_us: int = 0
    verified_time_ns: str = ""
    """Receive time of the last record that proved the book right; age = now - this."""
    bids: list[Level]
    asks: list[Level]
    bid_known_to: str = ""
    """Lowest bid price down to which the book is known complete ("" when unknown, "0" when complete)."""
    ask_known_to: str = ""
    """Highest ask price up to which the book is known complete ("" when unknown, "inf" when complete)."""
    multiplier: str = ""
    """Where the venue quotes contracts: what one is worth in base coin (with `inverse`: in quote currency), so that its
    own number is quantity / multiplier (inverse: quantity x price / multiplier, to the nearest lot). "" where the venue
    quotes base coin. The levels are in base coin in any case."""
    inverse: bool = False


class Book(BookRecord, frozen=True, kw_only=True, tag="book"):
    """md.book: the top levels (20 by default), published fast."""


class BookSnapshot(BookRecord, frozen=True, kw_only=True, tag="book_snapshot"):
    """md.book_snapshot: a deep view (400 by default), published at a slow pace and on demand."""


class BookDelta(Record, frozen=True, kw_only=True, tag="book_delta"):
    """One update of the venue, quantities in base coin. Absolute quantities; zero removes a level."""

    first_update_id: str
    last_update_id: str
    epoch: int = 0
    event_time_us: int = 0
    bids: list[Level]
    asks: list[Level]
    multiplier: str = ""
    """See `BookRecord.multiplier`; so for `inverse`."""
    inverse: bool = False
    flags: list[str] = []
    """`unsynced`: no verified book held when it came. `gap_before`: ids are missing just before it. `bridged`: the
    first one applied to an anchor. `buffered`: held, to be applied when an anchor comes. `late`: fills part of a
    gap, too late for the book."""


class Bbo(Record, frozen=True, kw_only=True, tag="bbo"):
    """Best bid and offer."""

    update_id: str
    bid_price: str
    """"" (with quantity "") when that side is empty."""
    bid_quantity: str
    ask_price: str
    ask_quantity: str
    event_time_us: int = 0
    raw_bid_quantity: str = ""
    """The venue's own number where it is not in base coin; else "". So for the ask."""
    raw_ask_quantity: str = ""


# --- candles ---------------------------------------------------------------------------------------


class KlineRecord(Record, frozen=True, kw_only=True):
    interval: str
    """1m 5m 15m 1h 4h 1d, aligned to UTC."""
    open_time: int
    """Milliseconds; first of the interval."""
    close_time: int
    """Milliseconds, inclusive (open_time + interval - 1)."""
    open: str
    """"" for all four prices of a candle that has no trade and no known previous close."""
    high: str
    low: str
    close: str
    volume: str
    quote_volume: str
    trade_count: int
    taker_buy_volume: str
    taker_buy_quote_volume: str
    first_trade_id: str = ""
    last_trade_id: str = ""
    is_closed: bool
    event_time_us: int = 0


class Kline(KlineRecord, frozen=True, kw_only=True, tag="kline"):
    """Our candle, built from trades in event time. Newest = highest (is_closed, revision, last_trade_id)."""

    status: KlineStatus
    complete: bool
    """True when every trade of the interval is known to be in it, as far as `proof` can tell."""
    reasons: list[str] = []
    """Why it is not complete: `begun_before_capture`, `gap`, `late_dropped`, `disconnected`."""
    gaps: list[str] = []
    """Ids of the md.gap records that touch it, the first 256 of them."""
    revision: int = 0
    """0 while provisional and for the first final one; +1 with each revision of a final candle."""
    source: Literal["trade", "agg_trade"] = "trade"
    proof: Literal["ids", "connection"] = "ids"
    """What `complete` rests on. ids: the venue's trade ids count, and none is missing. connection: its ids prove
    nothing; no connection was lost during the candle, and what the venue itself did not send nobody would notice."""


class VenueKline(KlineRecord, frozen=True, kw_only=True, tag="venue_kline"):
    """The venue's own candle, as it sent it: "" (and for `trade_count` -1) for what it does not say.

    Where it does not say that a candle is closed, it is when the next one begins.
    """

    raw_volume: str = ""
    """The venue's own number where it is not in base coin; else ""."""


class KlineResidual(Record, frozen=True, kw_only=True, tag="kline_residual"):
    """Our final candle compared with the venue's closed one; all differences are ours minus the venue's.

    What the venue does not say is not compared.
    """

    interval: str
    open_time: int
    close_time: int
    revision: int
    """Revision of our candle that was compared."""
    matched: bool
    ours_complete: bool
    fields: list[str] = []
    """Names of the fields that differ."""
    volume_diff: str = "0"
    quote_volume_diff: str = "0"
    trade_count_diff: int = 0
    open_diff: str = "0"
    high_diff: str = "0"
    low_diff: str = "0"
    close_diff: str = "0"
    source: str = "trade"
    event_time_us: int = 0


# --- other market data -----------------------------------------------------------------------------


class Ticker(Record, frozen=True, kw_only=True, tag="ticker"):
    """Rolling 24 h statistics as the venue computes them. "" where the venue does not give a value."""

    last_price: str
    last_quantity: str = ""
    open: str = ""
    high: str = ""
    low: str = ""
    volume: str = ""
    quote_volume: str = ""
    price_change: str = ""
    price_change_percent: str = ""
    weighted_average_price: str = ""
    bid_price: str = ""
    bid_quantity: str = ""
    ask_price: str = ""
    ask_quantity: str = ""
    trade_count: int = 0
    first_trade_id: str = ""
    last_trade_id: str = ""
    window_open_ms: int = 0
    window_close_ms: int = 0
    event_time_us: int = 0
    raw_volume: str = ""
    """The venue's own number where it is not in base coin; else ""."""


class MarkPrice(Record, frozen=True, kw_only=True, tag="mark_price"):
    mark_price: str
    index_price: str = ""
    settle_price: str = ""
    event_time_us: int = 0


class Funding(Record, frozen=True, kw_only=True, tag="funding"):
    """Funding of a perpetual: the rate as a fraction per period (0.0001 = 1 bp)."""

    rate: str
    funding_time_us: int
    """When this rate is, or was, exchanged."""
    next_rate: str = ""
    interval_ms: int = 0
    settled: bool = False
    event_time_us: int = 0


class OpenInterest(Record, frozen=True, kw_only=True, tag="open_interest"):
    """Contracts that are open, one side counted."""

    open_interest: str
    """In base coin."""
    raw_open_interest: str = ""
    """As the venue counts it (contracts)."""
    value: str = ""
    """In quote currency, where the venue gives it."""
    event_time_us: int = 0


class Liquidation(Record, frozen=True, kw_only=True, tag="liquidation"):
    """An order by which the venue closes a position it took over."""

    liquidation_id: str = ""
    side: Side
    """Of the order: `sell` closes a long position."""
    price: str
    """As the venue publishes it: the order's, or the bankruptcy price; the venue's README says which."""
    quantity: str
    average_price: str = ""
    raw_quantity: str = ""
    sampled: bool = False
    """True where the venue publishes only some of them: sums undercount."""
    event_time_us: int = 0


class LongShort(Record, frozen=True, kw_only=True, tag="long_short"):
    """How longs compare with shorts over the period that begins at `event_time_us`."""

    ratio_kind: str
    """`global_account`, `top_account`, `top_position` or `taker_volume`."""
    period: str
    """Like `5m`, `1h`, `1d`."""
    ratio: str
    """Longs divided by shorts (taker volume: bought divided by sold)."""
    long: str = ""
    """Share of longs as a fraction (taker volume: bought, in base coin), where the venue gives it."""
    short: str = ""
    event_time_us: int = 0


class Volatility(Record, frozen=True, kw_only=True, tag="volatility"):
    """Implied volatility of an index; `symbol` is the index in upper case."""

    index: str
    """The venue's own name, like `btc_usd`."""
    value: str
    """Annualised, in percent."""
    event_time_us: int = 0


class Instrument(Record, frozen=True, kw_only=True, tag="instrument"):
    """What a symbol is, from the venue's metadata."""

    base: str
    quote: str
    settle: str = ""
    status: str
    """As the venue names it."""
    tick_size: str = ""
    """Least price step; where it depends on the price, that of the lowest prices, see `tick_steps`."""
    tick_steps: list[Level] = []
    """(price, tick size above it), ascending, where the tick size depends on the price."""
    lot_size: str = ""
    """Least quantity step, in what the venue counts in; so for `min_quantity`."""
    min_quantity: str = ""
    min_notional: str = ""
    contract_multiplier: str = "1"
    """Base coin (with `inverse`: quote currency) per one of what this venue's streams count in. "1" where they count in
    base coin, and where an inverse contract's amounts are given in the quote currency (Deribit)."""
    inverse: bool = False
    """Amounts are worth a fixed sum of quote currency: base coin = amount x contract_multiplier / price."""
    contract_size: str = ""
    """The venue's own field of that meaning, as it stands there."""
    expiry_us: int = 0
    strike: str = ""
    option_kind: Literal["", "call", "put"] = ""
    event_time_us: int = 0


# --- what is missing, and the state of feeds -------------------------------------------------------


class Gap(Record, frozen=True, kw_only=True, tag="gap"):
    """Data of one stream that we know we do not have."""

    gap_id: str
    """Deterministic: `{channel}:{first_missing_id}-{last_missing_id}` or, without ids, `{channel}:{from_time_us}`."""
    channel: str
    """trade, agg_trade, book, bbo, kline, ticker, mark_price, liquidation ..."""
    first_missing_id: str = ""
    last_missing_id: str = ""
    missing_count: int = 0
    """How many ids are missing (0: unknown, the stream has no consecutive ids)."""
    filled_count: int = 0
    """How many of them came after all; the record is published again, same gap_id, as this grows to missing_count."""
    from_time_us: int
    """Exchange time of the last record before and the first after; exchange clock where known, else receive time."""
    to_time_us: int
    reason: str
    """`id_skip`, `disconnected`, `capture_restarted`, `buffer_full`, `sequence_reset`; of books also `resubscribed`
    (between leaving the stream and the whole book it began with again, or between the silence of one connection and
    another one opened beside it) and `checksum` (the venue's does not fit: an update is missing between the last one
    proven right and this one)."""
    epoch: int = 0


class FeedStatus(Record, frozen=True, kw_only=True, tag="feed_status"):
    """A stream's connection came up, went down or fell silent."""

    channel: str
    state: Literal["connected", "disconnected"]
    reason: str = ""
    connection: str = ""
    event_time_us: int = 0


class Heartbeat(Record, frozen=True, kw_only=True, tag="heartbeat"):
    """Time as data: the venue's clock as ingest knew it; watermarks move by this alone. (That of merged quotes moves by
    `recv_time_ns`.)"""

    event_time_us: int
    """0 in md.bbo where no frame of the connection has told it: quotes of Binance spot carry no time."""
    connection: str = ""


class DeadLetter(Record, frozen=True, kw_only=True, tag="dead_letter"):
    """Something we could not accept, kept with its reason and the coordinates of the raw record."""

    reason: str
    """A stable code, see `marketdata.validation.REASONS`."""
    detail: str
    channel: str = ""
    raw_topic: str = ""
    raw_partition: int = 0
    raw_offset: str = "0"
    record_id: str = ""
    """Id of the rejected record within the raw one (a trade id), where there is one."""
    payload: str = ""
    """The raw bytes: text where they are UTF-8 and at most 1 MiB, else base64 with the prefix `base64:`."""


class Arbitrage(Struct, frozen=True, kw_only=True, tag_field="type", tag="arbitrage"):
    """One episode in which the same instrument could be bought on one market and sold higher on another, net of fees.

    Made of best quotes no older than a bound. `open` begins an episode, `update` says that prices or quantity changed,
    `close` ends it and repeats its last values.
    """

    instrument: str
    episode_id: str
    """`{instrument}:{buy key}:{sell key}:{recv_time_ns of the opening}`, with `.1`, `.2` where there were more."""
    sequence: int = 0
    """Of the record within its episode, from 0."""
    action: Literal["open", "update", "close"]
    reason: str = ""
    """Of `close`: `gone` (the prices met), `stale` (a quote grew too old) or `disconnected`."""
    buy_exchange: str
    buy_market: str = ""
    buy_symbol: str
    buy_price: str
    """Best ask of the market to buy on."""
    sell_exchange: str
    sell_market: str = ""
    sell_symbol: str
    sell_price: str
    """Best bid of the market to sell on."""
    quantity: str
    """In base coin: what both quotes have."""
    net_profit: str
    """In quote currency, for the whole quantity, after the fees of both sides."""
    net_profit_bps: str
    """Of what the purchase costs with its fee; 4 decimals."""
    opened_time_us: int
    """Receive time of the quote that opened the episode."""
    event_time_us: int
    """Exchange time of the quote that led to this record; 0 where it had none, or where time alone did."""
    recv_time_ns: str
    """Receive time at which this was so."""


class Quality(Record, frozen=True, kw_only=True, tag="quality"):
    """Counts for one symbol and minute."""

    channel: str
    window_start_ms: int
    window_end_ms: int
    records: int
    gaps: int = 0
    dead_letters: int = 0
    latency_p50_us: int = 0
    latency_max_us: int = 0
    book_ok_ms: int = 0


AnyRecord = (
    Trade | Book | BookSnapshot | BookDelta | Bbo | Kline | VenueKline | KlineResidual | Ticker | MarkPrice | Funding
    | OpenInterest | Liquidation | LongShort | Volatility | Instrument | Gap | FeedStatus | Heartbeat | DeadLetter
    | Arbitrage | Quality
)  # fmt: skip
