"""Which symbols the rules of a configuration select, of those a venue lists. Pure.

A rule names symbols, or describes them: by pattern, by quote currency, by place in the order of 24 h turnover. What is
described is looked up anew whenever metadata come: new listings join, delisted ones leave.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import NamedTuple

from runtime.config.ingest import Select

EDGE_SHARE = 0.1
"""Hysteresis of a top N: a symbol enters at the latest at place N - edge and leaves beyond N + edge, so that those
around place N do not come and go; edge is this part of N, at least one place."""


class Listed(NamedTuple):
    """A symbol that can be traded now."""

    symbol: str
    quote: str


def turnovers(rows: Iterable[tuple[str, str]]) -> dict[str, Decimal]:
    """24 h turnover by symbol; what is no number counts as nothing."""
    out: dict[str, Decimal] = {}
    for symbol, text in rows:
        try:
            value = Decimal(text)
        except InvalidOperation:
            continue
        if value.is_finite():
            out[symbol] = value
    return out


def select(
    rules: Sequence[Select],
    channels: Sequence[str],
    listed: Iterable[Listed],
    turnover: Mapping[str, Decimal],
    before: Collection[str],
) -> dict[str, tuple[str, ...]]:
    """Channels by symbol: the rule's, else `channels`; of several rules all of them. `before`: what was selected until
    now."""
    tradable = list(listed)
    out: dict[str, dict[str, None]] = {}
    for rule in rules:
        wanted = channels if rule.channels is None else rule.channels
        for symbol in (*rule.symbols, *_described(rule, tradable, turnover, before)):
            out.setdefault(symbol, {}).update(dict.fromkeys(wanted))
    return {symbol: tuple(names) for symbol, names in out.items()}


def _described(
    rule: Select, listed: Sequence[Listed], turnover: Mapping[str, Decimal], before: Collection[str]
) -> list[str]:
    if not (rule.patterns or rule.quotes or rule.top is not None):
        return []
    quotes = {quote.upper() for quote in rule.quotes}
    found = [
        symbol
        for symbol, quote in listed
        if (not quotes or quote.upper() in quotes)
        and (not rule.patterns or any(fnmatchcase(symbol, pattern) for pattern in rule.patterns))
    ]
    return found if rule.top is None else top(found, rule.top, turnover, before)


def top(symbols: Iterable[str], count: int, turnover: Mapping[str, Decimal], before: Collection[str]) -> list[str]:
    """The `count` symbols with the highest turnover, those of `before` preferred at the edge (see EDGE_SHARE)."""
    ranked = sorted(symbols, key=lambda symbol: (-turnover.get(symbol, Decimal(0)), symbol))
    edge = max(1, int(count * EDGE_SHARE))
    sure = ranked[: max(0, count - edge)]
    around = ranked[max(0, count - edge) : count + edge]
    kept = [s for s in around if s in before]
    fresh = [s for s in ranked[len(sure) : count + edge] if s not in before]
    return [*sure, *[*kept, *fresh][: count - len(sure)]]
