"""What most venues' protocols do not need, so that each one states only what it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from marketdata.errors import InvariantError, UnparsableFrame
from venues.contract import BookRecovery, Poll, Request, RestPool, Stream, VenueProtocol


class PlainProtocol:
    """Base of `venues.contract.VenueProtocol`s: one route, text frames, no polls, no pings, books anchored by REST."""

    recovery = BookRecovery.REST
    recovery_fallback: BookRecovery | None = None

    def polls(self, symbols: Sequence[str], channels: Sequence[str]) -> list[Poll]:  # noqa: ARG002
        return []

    def poll_reply(self, request: Request, body: bytes) -> Iterable[tuple[str, bytes]]:  # noqa: ARG002
        raise InvariantError(f"nothing is polled here, and yet {request.path} was")

    def market_streams(self) -> list[Stream]:
        return []

    def greeting(self) -> Sequence[str]:
        return ()

    def route(self, stream: Stream) -> str:  # noqa: ARG002
        return ""

    def ping(self) -> str | None:
        return None

    def book_request(self, stream: Stream, request_id: int) -> str:  # noqa: ARG002
        raise InvariantError(f"books are not asked for by message here, and yet {stream.name} was")

    def decode_binary(self, frame: bytes) -> bytes:
        raise UnparsableFrame(f"a binary frame of {len(frame)} bytes where the venue sends text")

    def volume_request(self) -> Request | None:
        return None

    def volume_reply(self, body: bytes) -> Iterable[tuple[str, str]]:
        raise InvariantError(f"no turnover is asked for here, and yet a reply of {len(body)} bytes came")

    def instruments_requests(self: VenueProtocol) -> Sequence[Request]:
        return (self.instruments_request(),)

    def rest_limits(self, body: bytes) -> Mapping[str, RestPool]:  # noqa: ARG002
        return {}

    def ban_until_ms(self, status: int, body: bytes) -> int | None:  # noqa: ARG002
        return None
