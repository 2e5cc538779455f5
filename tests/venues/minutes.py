"""Records of one market, taken apart into its minutes: trades must add up to the exchange's own candles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from marketdata.types import Bbo, Funding, Liquidation, MarkPrice, OpenInterest, Ticker, Trade, VenueKline
from marketdata.validation import check_record

MINUTE_MS = 60_000


class Minutes:
    """Takes what normalisers return. Merged trades are counted as records, not into the sums."""

    def __init__(self) -> None:
        self.kinds: set[type] = set()
        self.ids: list[int] = []
        self._quantities: dict[int, list[Decimal]] = defaultdict(list)
        self._candles: dict[int, VenueKline] = {}

    def take(self, records: Iterable[object]) -> None:
        for record in records:
            assert not isinstance(record, tuple), "an id that is no trade"
            check_record(record)  # type: ignore[arg-type]
            self.kinds.add(type(record))
            if isinstance(record, Trade) and not record.aggregated:
                self._quantities[record.trade_time_us // (MINUTE_MS * 1000) * MINUTE_MS].append(
                    Decimal(record.quantity)
                )
                self.ids.append(int(record.trade_id))
            elif isinstance(record, VenueKline):
                self._candles[record.open_time] = record

    def whole(self) -> list[tuple[list[Decimal], Decimal]]:
        """(quantities of our trades, the exchange's volume) of each minute but the first, which began before we
        listened, and the last, which is under way."""
        return [(self._quantities[at], Decimal(self._candles[at].volume)) for at in sorted(self._candles)[1:-1]]

    def assert_ids_count_by_one(self) -> None:
        assert self.ids == list(range(self.ids[0], self.ids[0] + len(self.ids)))

    def assert_kinds_of(self, market: str) -> None:
        """Everything such a market tells; liquidations come when they come."""
        expected: set[type] = {Trade, Bbo, Ticker, VenueKline}
        if market != "spot":
            expected |= {MarkPrice, OpenInterest}
        if market == "perp":
            expected |= {Funding}
        assert self.kinds - {Liquidation} == expected
