"""What HTX gives by REST alone: open interest, funding periods, and the long/short ratios of its top traders."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from marketdata.decimals import is_whole
from marketdata.errors import UnparsableFrame
from marketdata.types import AnyRecord, Funding, LongShort, OpenInterest
from venues.contract import Context, canonical
from venues.htx import messages as m
from venues.htx import replies
from venues.htx.normalise import INTERVALS, reader
from venues.htx.numbers import milliseconds, ratio, required
from venues.htx.symbols import market_of
from venues.json_numbers import number
from venues.names import upper_ascii

FUNDING_ENDPOINT = "swap_batch_funding_rate"
"""End of the path."""
RATIO_KINDS = {"elite_account_ratio": "top_account", "elite_position_ratio": "top_position"}
"""End of the path and our name for the ratio. The venue has none of all traders."""
RATIO_PERIODS = {name: ours for name, (ours, _) in INTERVALS.items()} | {"1day": "1d"}

_read_open_interest = reader(list[m.OpenInterestEntry], "open interest reply")
_read_funding = reader(list[m.FundingEntry], "funding rates reply")
_read_ratios = reader(m.RatioData, "elite ratio reply")


def read_poll(path: str, body: bytes, ctx: Context) -> Sequence[AnyRecord]:
    """See `Venue.read_poll`."""
    endpoint = urlsplit(path).path.rpartition("/")[2]
    if endpoint.endswith("open_interest"):
        return open_interest(body, ctx)
    if endpoint == FUNDING_ENDPOINT:
        return funding(body, ctx)
    if ratio_kind(endpoint):
        return long_short(path, body, ctx)
    raise UnparsableFrame(f"nothing is polled at {path[:100]}")


def ratio_kind(endpoint: str) -> str:
    return next((kind for name, kind in RATIO_KINDS.items() if endpoint.endswith(name)), "")


def open_interest(body: bytes, ctx: Context) -> Sequence[OpenInterest]:
    """`swap_open_interest` and its like: those of the context's symbol, or all of them where it has none.

    `volume` and `amount` count one side, whatever the documents say: recorded ones are odd. Raises BadData.
    """
    reply = replies.read(body)
    return tuple(
        OpenInterest(
            exchange=ctx.exchange,
            market=market_of(upper_ascii(entry.contract_code)) or ctx.market,
            symbol=upper_ascii(entry.contract_code),
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            open_interest=required(entry.amount, "amount"),
            raw_open_interest=required(entry.volume, "volume"),
            value=number(entry.value),
            event_time_us=reply.ts * 1000,
        )
        for entry in _read_open_interest(reply.data)
        if ctx.symbol in ("", upper_ascii(entry.contract_code))
    )


def funding(body: bytes, ctx: Context) -> Sequence[Funding]:
    """`swap_batch_funding_rate`: those of the context's symbol, or all of them where it has none.

    The rate is exchanged at `funding_time`, which is not the push's field of that name but its `settlement_time`.
    Nothing of a contract that has no rate yet. Raises BadData.
    """
    reply = replies.read(body)
    return tuple(
        Funding(
            exchange=ctx.exchange,
            market=market_of(upper_ascii(entry.contract_code)) or ctx.market,
            symbol=upper_ascii(entry.contract_code),
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            rate=rate,
            funding_time_us=milliseconds(entry.funding_time) * 1000,
            next_rate=number(entry.estimated_rate),
            interval_ms=_interval_ms(entry),
            event_time_us=reply.ts * 1000,
        )
        for entry in _read_funding(reply.data)
        if ctx.symbol in ("", upper_ascii(entry.contract_code)) and (rate := number(entry.funding_rate))
    )


def _interval_ms(entry: m.FundingEntry) -> int:
    """From one exchange to the next; 0 where the venue does not say when the next one is."""
    if not entry.next_funding_time or not is_whole(entry.next_funding_time):
        return 0
    return max(0, int(entry.next_funding_time) - milliseconds(entry.funding_time))


def long_short(path: str, body: bytes, ctx: Context) -> Sequence[LongShort]:
    """`swap_elite_account_ratio` and `swap_elite_position_ratio`: the newest period of those in the reply.

    Nothing where one side has no share at all: there is no ratio then. Raises BadData.
    """
    url = urlsplit(path)
    data = _read_ratios(replies.read(body).data)
    symbol = upper_ascii(data.contract_code)
    if ctx.symbol and symbol != ctx.symbol:
        raise UnparsableFrame(f"the ratios of {ctx.symbol} say {symbol!r}")
    newest = max(data.entries, key=lambda entry: entry.ts, default=None)
    if newest is None:
        return ()
    longs, shorts = number(newest.buy_ratio), number(newest.sell_ratio)
    value = ratio(longs, shorts)
    if not value:
        return ()
    period = parse_qs(url.query).get("period", [""])[0]
    return (
        LongShort(
            exchange=ctx.exchange,
            market=ctx.market,
            symbol=symbol,
            instrument=canonical(ctx),
            recv_time_ns=ctx.recv_time_ns,
            ratio_kind=ratio_kind(url.path),
            period=RATIO_PERIODS.get(period, period),
            ratio=value,
            long=longs,
            short=shorts,
            event_time_us=newest.ts * 1000,
        ),
    )
