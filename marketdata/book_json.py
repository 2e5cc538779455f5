"""md.book and md.book_snapshot as bytes, joined from a book's ready fragments: what msgspec would write, faster."""

from __future__ import annotations

import msgspec

from marketdata.book import LevelBook, levels_of
from marketdata.codec import Encoding, encoder
from marketdata.keys import Key
from marketdata.types import Book, BookSnapshot, BookState

_json = msgspec.json.Encoder().encode


class BookWriter:
    """Writes the records of one key. `instrument` may be set when it becomes known."""

    __slots__ = ("_encode", "_encoding", "_head", "_instrument", "_inverse", "_key", "_multiplier", "_tail")

    def __init__(self, key: Key, instrument: str = "", encoding: Encoding = "json") -> None:
        self._key = key
        self._encoding = encoding
        self._encode = encoder(encoding)
        self.instrument = instrument
        self.set_units("", False)

    def set_units(self, multiplier: str, inverse: bool) -> None:
        """What the venue's contract is worth; see `BookRecord.multiplier`."""
        self._multiplier, self._inverse = multiplier, inverse
        self._tail = f'"multiplier":"{multiplier}","inverse":{"true" if inverse else "false"}}}'

    @property
    def instrument(self) -> str:
        return self._instrument

    @instrument.setter
    def instrument(self, name: str) -> None:
        self._instrument = name
        values = (self._key.exchange, self._key.market, self._key.symbol, name)
        exchange, market, symbol, instrument = (_json(value).decode() for value in values)
        self._head = f'"exchange":{exchange},"market":{market},"symbol":{symbol},"instrument":{instrument},'

    def good(
        self, deep: bool, levels: int, book: LevelBook, recv_ns: str, update_id: str, epoch: int,
        event_time_us: int, verified_ns: str,
    ) -> bytes:  # fmt: skip
        """The best levels of a book that is ok: a BookSnapshot when `deep`, else a Book."""
        bids, asks = book.bids, book.asks
        if self._encoding == "json":
            return (
                f'{{"type":"{"book_snapshot" if deep else "book"}",{self._head}"recv_time_ns":"{recv_ns}",'
                f'"state":"ok","reason":"","update_id":"{update_id}","epoch":{epoch},"event_time_us":{event_time_us},'
                f'"verified_time_ns":"{verified_ns}","bids":[{",".join(bids.fragments(levels))}],'
                f'"asks":[{",".join(asks.fragments(levels))}],'
                f'"bid_known_to":"{bids.edge_price}","ask_known_to":"{asks.edge_price}",'
                f"{self._tail}"
            ).encode()
        return self._record(
            deep, recv_ns, "ok", "", update_id, epoch, event_time_us, verified_ns, book, levels
        )  # fmt: skip

    def bad(
        self, deep: bool, state: BookState, reason: str, recv_ns: str, update_id: str, epoch: int,
        event_time_us: int, verified_ns: str,
    ) -> bytes:  # fmt: skip
        """The one record of a book that is not ok: no levels."""
        return self._record(deep, recv_ns, state, reason, update_id, epoch, event_time_us, verified_ns, None, 0)

    def _record(
        self, deep: bool, recv_ns: str, state: BookState, reason: str, update_id: str, epoch: int,
        event_time_us: int, verified_ns: str, book: LevelBook | None, levels: int,
    ) -> bytes:  # fmt: skip
        return self._encode(
            (BookSnapshot if deep else Book)(
                exchange=self._key.exchange,
                market=self._key.market,
                symbol=self._key.symbol,
                instrument=self._instrument,
                recv_time_ns=recv_ns,
                state=state,
                reason=reason,
                update_id=update_id,
                epoch=epoch,
                event_time_us=event_time_us,
                verified_time_ns=verified_ns,
                bids=levels_of(book.bids.fragments(levels)) if book else [],
                asks=levels_of(book.asks.fragments(levels)) if book else [],
                bid_known_to=book.bids.edge_price if book else "",
                ask_known_to=book.asks.edge_price if book else "",
                multiplier=self._multiplier,
                inverse=self._inverse,
            )
        )
