"""HTX REST replies taken apart: which symbol each part is about. What the parts mean, see `rest` and `polls`."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Raw

from marketdata.codec import UNDECODABLE
from marketdata.errors import UnparsableFrame
from venues.htx import messages as m
from venues.htx.numbers import half
from venues.json_numbers import number
from venues.names import upper_ascii

_reply = msgspec.json.Decoder(m.Reply).decode
_parts = msgspec.json.Decoder(list[Raw]).decode
_code = msgspec.json.Decoder(m.ContractCode).decode
_symbol = msgspec.json.Decoder(m.SymbolName).decode
_open_interests = msgspec.json.Decoder(list[m.OpenInterestEntry]).decode
_turnovers = msgspec.json.Decoder(list[m.TurnoverEntry]).decode


class Refused(UnparsableFrame):
    """The venue answered with an error, or that it is being maintained."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"HTX answered {code}: {message}")
        self.venue_code = code
        self.venue_message = message


def read(body: bytes) -> m.Reply:
    """The reply around its data. Raises UnparsableFrame, and Refused where its status is not `ok`."""
    try:
        reply = _reply(body)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a reply of HTX: {exc}") from None
    if reply.status != "ok":
        code = next((c for c in (reply.error_code, reply.err_code) if c is not None), reply.status)
        message = reply.error_message or reply.err_msg or reply.status or "a reply without status"
        raise Refused(str(code), str(message)[:500])
    return reply


def tells_maintenance(body: bytes) -> bool:
    """Whether the reply, of any HTTP status, says that the venue is being maintained."""
    try:
        return _reply(body).status == "maintain"
    except UNDECODABLE:
        return False


def _data(body: bytes) -> Raw:
    data = read(body).data
    if not bytes(data):
        raise UnparsableFrame("a reply of HTX without data")
    return data


def spot_symbols(body: bytes) -> Iterator[tuple[str, bytes]]:
    """(symbol, its entry) of `/v1/common/symbols`."""
    for part in _parts(_data(body)):
        yield upper_ascii(_symbol(part).symbol), bytes(part)


def contracts(body: bytes) -> Iterator[tuple[str, bytes]]:
    """(contract, its entry) of `swap_contract_info` and its like."""
    for part in _parts(_data(body)):
        yield upper_ascii(_code(part).contract_code), bytes(part)


def contract_parts(body: bytes) -> Iterator[tuple[str, bytes]]:
    """(contract, the reply without the others) of `swap_open_interest`, `swap_batch_funding_rate` and their like.

    Raises BadData.
    """
    reply = read(body)
    try:
        for part in _parts(reply.data):
            code = upper_ascii(_code(part).contract_code)
            yield code, b'{"status":"ok","data":[%b],"ts":%d}' % (bytes(part), reply.ts)
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a reply of HTX about contracts: {exc}") from None


def spot_turnovers(body: bytes) -> Iterator[tuple[str, str]]:
    """(symbol, 24 h turnover in quote coin) of `/market/tickers`. Raises BadData."""
    try:
        for entry in _turnovers(_data(body)):
            turnover = number(entry.vol)
            if turnover:
                yield upper_ascii(entry.symbol), turnover
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not a tickers reply of HTX: {exc}") from None


def contract_turnovers(body: bytes) -> Iterator[tuple[str, str]]:
    """(contract, 24 h turnover in quote coin, one side) of `swap_open_interest` and its like. Raises BadData."""
    try:
        for entry in _open_interests(_data(body)):
            turnover = half(number(entry.trade_turnover))
            if turnover:
                yield upper_ascii(entry.contract_code), turnover
    except UNDECODABLE as exc:
        raise UnparsableFrame(f"not an open interest reply of HTX: {exc}") from None
