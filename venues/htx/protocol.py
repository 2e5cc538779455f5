"""How to talk to HTX: addresses, requests, limits. What a frame is, see `frames`.

Sources: README.md. Base addresses: spot wss://api.huobi.pro, contracts wss://api.hbdm.com, and https of the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from marketdata.codec import UNDECODABLE
from marketdata.errors import ConfigError, InvariantError, UnparsableFrame
from marketdata.types import Market
from venues.contract import (
    EVERY_SYMBOL,
    BookEnvelope,
    BookRecovery,
    Classified,
    Limits,
    Poll,
    Request,
    RestPool,
    SnapshotEnvelope,
    Stream,
)
from venues.defaults import PlainProtocol
from venues.htx import book_frames, replies
from venues.htx.frames import Classifier, gunzip
from venues.htx.symbols import coin_of, market_of, wire_symbol

SILENCE_S = {
    "bbo": 300.0,
    "trade": 900.0,
    "kline": 600.0,
    "ticker": 120.0,
    "mark_price": 300.0,
    "funding": 300.0,  # about once a minute
}
"""A ping proves nothing about data: users saw sockets on which only pings came."""

SPOT_LIMITS = Limits(
    streams_per_connection=100,  # the venue names no number, and advises against many
    messages_per_s=9.0,  # one `req` in 100 ms is allowed
    streams_per_request=1,
    connection_attempts_per_5_min=100,  # not documented
    connection_max_age_s=24 * 3600,  # not documented
    rotate_after_s=23 * 3600,
    server_ping_interval_s=None,  # its pings are messages, every 5 s
    client_ping_interval_s=None,
    rest_pools={"": RestPool(10, 1.0)},
    rest_left_header="X-HB-RateLimit-Requests-Remain",
    first_data_timeout_s=30.0,
    silence_timeout_s=SILENCE_S | {"book": 30.0},  # an update every 100 ms, with or without levels
    quiet_channels=frozenset(("trade", "bbo", "kline", "ticker")),
    idle_timeout_s=15.0,
    symbols_per_book_connection=50,  # so that all their books can be asked for in 5 s
)

CONTRACT_LIMITS = Limits(
    streams_per_connection=200,  # the venue names no number, and advises against many
    messages_per_s=30.0,  # 40 subscriptions are allowed
    streams_per_request=1,
    connection_attempts_per_5_min=100,  # not documented
    connection_max_age_s=24 * 3600,  # not documented
    rotate_after_s=23 * 3600,
    server_ping_interval_s=None,  # its pings are messages, every 5 s
    client_ping_interval_s=None,
    rest_pools={"": RestPool(240, 3.0), "market": RestPool(800, 1.0)},
    rest_left_header="ratelimit-remaining",
    first_data_timeout_s=30.0,
    silence_timeout_s=SILENCE_S | {"book": 300.0},  # silent while nothing changes
    quiet_channels=frozenset(("trade", "bbo", "kline", "ticker", "mark_price", "funding", "liquidation")),
    idle_timeout_s=15.0,
)

RATIO_PERIOD = "5min"
OPEN_INTEREST_INTERVAL_S = 60.0
FUNDING_INTERVAL_S = 300.0
LONG_SHORT_INTERVAL_S = 300.0

_MARKET_STREAMS = {"trade": "trade.detail", "bbo": "bbo", "kline": "kline.1min"}
_CONTRACT_STREAMS = _MARKET_STREAMS | {"book": "depth.size_150.high_freq", "ticker": "detail"}
_SWAP_STREAMS = _CONTRACT_STREAMS | {
    "mark_price": "mark_price.1min",
    "funding": "funding_rate",
    "liquidation": "liquidation_orders",
}
_NOTIFICATIONS = frozenset(("funding", "liquidation", "instrument"))

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Api:
    """Where a market lives, and what it offers."""

    market: Market
    streams: Mapping[str, str]
    """Our channels and the venue's, after the symbol."""
    market_route: str
    instruments_path: str
    depth_path: str
    depth_symbol: str
    """Name of the symbol in the query of `depth_path`."""
    notification_route: str = ""
    index_route: str = "/ws_index"
    open_interest_path: str = ""
    funding_path: str = ""
    """Tells what the notifications leave out: how long a period is."""
    ratio_paths: tuple[str, ...] = ()
    tells_contract_changes: bool = False


SPOT_API = Api(
    market="spot",
    streams=_MARKET_STREAMS | {"book": "mbp.150", "ticker": "ticker"},
    market_route="/ws",
    instruments_path="/v1/common/symbols",
    depth_path="/market/depth",
    depth_symbol="symbol",
)
PERP_API = Api(
    market="perp",
    streams=_SWAP_STREAMS,
    market_route="/linear-swap-ws",
    notification_route="/linear-swap-notification",
    instruments_path="/linear-swap-api/v1/swap_contract_info",
    open_interest_path="/linear-swap-api/v1/swap_open_interest",
    funding_path="/linear-swap-api/v1/swap_batch_funding_rate",
    ratio_paths=(
        "/linear-swap-api/v1/swap_elite_account_ratio",
        "/linear-swap-api/v1/swap_elite_position_ratio",
    ),
    depth_path="/linear-swap-ex/market/depth",
    depth_symbol="contract_code",
    tells_contract_changes=True,
)
INVERSE_API = Api(
    market="inverse",
    streams=_SWAP_STREAMS,
    market_route="/swap-ws",
    notification_route="/swap-notification",
    instruments_path="/swap-api/v1/swap_contract_info",
    open_interest_path="/swap-api/v1/swap_open_interest",
    funding_path="/swap-api/v1/swap_batch_funding_rate",
    ratio_paths=("/swap-api/v1/swap_elite_account_ratio", "/swap-api/v1/swap_elite_position_ratio"),
    depth_path="/swap-ex/market/depth",
    depth_symbol="contract_code",
    tells_contract_changes=True,
)
FUTURE_API = Api(
    market="future",
    streams=_CONTRACT_STREAMS | {"liquidation": "liquidation_orders"},
    market_route="/ws",
    notification_route="/notification",
    instruments_path="/api/v1/contract_contract_info",
    open_interest_path="/api/v1/contract_open_interest",
    depth_path="/market/depth",
    depth_symbol="symbol",
)
OPTION_API = Api(
    market="option",
    streams={},  # recordings only: nothing says that the venue still lists options
    market_route="/option-ws",
    instruments_path="/option-api/v1/option_contract_info",
    depth_path="/option-ex/market/depth",
    depth_symbol="contract_code",
)


def offered(api: Api) -> list[str]:
    """Channels of a market, streamed and polled."""
    polled = {"open_interest": api.open_interest_path, "long_short": api.ratio_paths}
    return [*api.streams, *(channel for channel, path in polled.items() if path)]


class HtxProtocol(PlainProtocol):
    """See `venues.contract.VenueProtocol`. One object per market; what they share is the frames."""

    limits: Limits

    def __init__(self, api: Api) -> None:
        self.api = api
        self._classify = Classifier()
        self.limits = SPOT_LIMITS if api.market == "spot" else CONTRACT_LIMITS
        self.recovery = BookRecovery.REQUEST if api.market == "spot" else BookRecovery.RESUBSCRIBE

    # --- subscriptions ---

    def streams(self, symbols: Sequence[str], channels: Sequence[str]) -> list[Stream]:
        self._check(channels)
        names = dict.fromkeys(
            self._stream(symbol, channel) for symbol in symbols for channel in channels if channel in self.api.streams
        )
        return list(names)

    def _check(self, channels: Sequence[str]) -> None:
        known = offered(self.api)
        for channel in channels:
            if channel not in known:
                offer = ", ".join(known) or "nothing to subscribe"
                raise ConfigError(f"htx {self.api.market} has no channel {channel!r}; it has {offer}")

    def _stream(self, symbol: str, channel: str) -> Stream:
        kind = self.api.streams[channel]
        if channel not in _NOTIFICATIONS:
            return Stream(f"market.{wire_symbol(symbol)}.{kind}", channel, symbol)
        if self.api.market == "future":  # one for all contracts of a coin
            return Stream(f"public.{coin_of(symbol)}.{kind}", channel, EVERY_SYMBOL)
        return Stream(f"public.{symbol}.{kind}", channel, symbol)

    def market_streams(self) -> list[Stream]:
        if not self.api.tells_contract_changes:
            return []
        return [Stream("public.*.contract_info", "instrument", EVERY_SYMBOL)]

    def route(self, stream: Stream) -> str:
        if stream.channel in _NOTIFICATIONS:
            return self.api.notification_route
        if stream.channel == "mark_price":
            return self.api.index_route
        return "/feed" if self.api.market == "spot" and stream.channel == "book" else self.api.market_route

    def connection_url(self, ws_url: str, streams: Sequence[Stream]) -> str:
        route = self.route(streams[0]) if streams else self.api.market_route
        return ws_url.rstrip("/") + route

    def subscribe(self, streams: Sequence[Stream], request_id: int) -> str:
        return self._request("sub", streams, request_id)

    def unsubscribe(self, streams: Sequence[Stream], request_id: int) -> str:
        return self._request("unsub", streams, request_id)

    def _request(self, op: str, streams: Sequence[Stream], request_id: int) -> str:
        """Ids are text: in family A the documents show no other kind. Raises InvariantError on many streams at once."""
        if len(streams) != 1:
            raise InvariantError(f"HTX takes one stream in a request, not {len(streams)}")
        name = streams[0].name
        if streams[0].channel in _NOTIFICATIONS:
            message = {"op": op, "cid": str(request_id), "topic": name}
        else:
            message = {op: name, "id": str(request_id)}
            if name.endswith(".high_freq"):
                message["data_type"] = "incremental"  # else every message is the whole book
        return _encode(message).decode()

    def book_request(self, stream: Stream, request_id: int) -> str:
        """Spot only, on the connection that carries the stream, after its first update."""
        if self.recovery is not BookRecovery.REQUEST:
            return super().book_request(stream, request_id)
        return _encode({"req": stream.name, "id": str(request_id)}).decode()

    # --- frames ---

    def decode_binary(self, frame: bytes) -> bytes:
        return gunzip(frame)

    def classify(self, frame: bytes) -> Classified:
        return self._classify(frame)

    def book_envelope(self, frame: bytes) -> BookEnvelope:
        if self.api.market == "spot":
            return book_frames.mbp_envelope(frame)
        return book_frames.depth_envelope(frame)

    # --- REST ---

    def polls(self, symbols: Sequence[str], channels: Sequence[str]) -> list[Poll]:
        self._check(channels)
        polls = [
            Poll(channel, EVERY_SYMBOL, Request(path, {}, 1), interval_s)
            for channel, path, interval_s in (
                ("open_interest", self.api.open_interest_path, OPEN_INTEREST_INTERVAL_S),
                ("funding", self.api.funding_path, FUNDING_INTERVAL_S),
            )
            if channel in channels and symbols
        ]
        if "long_short" in channels:
            polls += [
                Poll(
                    "long_short",
                    symbol,
                    Request(path, {"contract_code": symbol, "period": RATIO_PERIOD}, 1),
                    LONG_SHORT_INTERVAL_S,
                )
                for symbol in symbols
                for path in self.api.ratio_paths
            ]
        return polls

    def poll_reply(self, request: Request, body: bytes) -> Iterable[tuple[str, bytes]]:
        """Of a reply about all contracts, the part of one is the reply without the others: only the reply has a time.
        Raises BadData."""
        if request.path in (self.api.open_interest_path, self.api.funding_path):
            return [(code, part) for code, part in replies.contract_parts(body) if self.owns(code)]
        replies.read(body)
        return [(request.query["contract_code"], body)]

    def snapshot_request(self, symbol: str, levels: int) -> Request:  # noqa: ARG002  there is one depth
        query = {self.api.depth_symbol: wire_symbol(symbol), "type": "step0"}
        pool = "" if self.api.market == "spot" else "market"
        return Request(self.api.depth_path, query, 1, book_frames.STEP0_LEVELS, pool)

    def snapshot_envelope(self, body: bytes) -> SnapshotEnvelope:
        return book_frames.snapshot_envelope(body)

    def volume_request(self) -> Request | None:
        """Contracts tell their 24 h turnover with the open interest."""
        if self.api.market == "spot":
            return Request("/market/tickers", {}, 1)
        return Request(self.api.open_interest_path, {}, 1) if self.api.open_interest_path else None

    def volume_reply(self, body: bytes) -> Iterable[tuple[str, str]]:
        cut = replies.spot_turnovers if self.api.market == "spot" else replies.contract_turnovers
        return [(symbol, turnover) for symbol, turnover in cut(body) if self.owns(symbol)]

    def instruments_request(self) -> Request:
        return Request(self.api.instruments_path, {}, 1)

    def instruments_reply(self, body: bytes) -> Iterable[tuple[str, bytes]]:
        try:
            parts = replies.spot_symbols(body) if self.api.market == "spot" else replies.contracts(body)
            return [(symbol, part) for symbol, part in parts if self.owns(symbol)]
        except UNDECODABLE as exc:
            raise UnparsableFrame(f"not an instruments reply of HTX: {exc}") from None

    def ban_until_ms(self, status: int, body: bytes) -> int | None:  # noqa: ARG002
        """Maintenance is told with status 200, and not when it ends."""
        return 0 if replies.tells_maintenance(body) else None

    def owns(self, symbol: str) -> bool:
        """Whether a symbol, by its spelling, is of this market."""
        return market_of(symbol) == self.api.market
