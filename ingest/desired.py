"""What this pod shall capture: the configuration's symbols, what its rules select, and what others decided. Pure.

What others decided in control.subscription rules; the rest of control.subscription follows the configuration. While a
selection cannot be resolved (the venue's REST does not answer), what it selected before, as it stands in
control.subscription, stays; symbols that a rule names need no answer of the venue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ingest.control import Subscription, seeds
from marketdata.keys import Key, parse_key
from runtime.config import Config

MarketName = tuple[str, str]


class Desired:
    """`mine` tells whether a key belongs to this shard."""

    def __init__(self, config: Config, mine: Callable[[str], bool]) -> None:
        self._config = config
        self._mine = mine
        self.held: dict[str, Subscription | None] = {}
        """control.subscription as far as it was read; None for a tombstone."""
        self._selected: dict[MarketName, Mapping[str, tuple[str, ...]]] = {}

    def select(self, name: MarketName, symbols: Mapping[str, tuple[str, ...]]) -> None:
        """A market's rules select exactly these symbols, with these channels."""
        self._selected[name] = symbols

    def before(self, name: MarketName) -> set[str]:
        """Symbols of the market that its rules selected until now."""
        if name in self._selected:
            return set(self._selected[name])
        named = self._config.exchanges[name[0]][name[1]].symbols
        return {key.symbol for key, _ in self._ours(name)}.difference(named)

    def wanted(self) -> dict[str, Subscription]:
        """What the configuration wants captured by this shard, by key."""
        out: dict[str, Subscription] = {}
        for exchange, markets in self._config.exchanges.items():
            for market, settings in markets.items():
                found: dict[str, tuple[str, ...]] = {s: tuple(settings.channels) for s in settings.symbols}
                for symbol, channels in self._by_rules((exchange, market)).items():
                    found[symbol] = tuple(dict.fromkeys((*found.get(symbol, ()), *channels)))
                for symbol, channels in found.items():
                    out[str(Key(exchange, market, symbol))] = Subscription(list(channels), "config")
        return {key: subscription for key, subscription in out.items() if self._mine(key)}

    def _by_rules(self, name: MarketName) -> Mapping[str, tuple[str, ...]]:
        if name in self._selected:
            return self._selected[name]
        settings = self._config.exchanges[name[0]][name[1]]
        found = {key.symbol: tuple(s.channels) for key, s in self._ours(name)} if settings.select else {}
        for rule in settings.select:
            channels = settings.channels if rule.channels is None else rule.channels
            for symbol in rule.symbols:
                found[symbol] = tuple(dict.fromkeys((*found.get(symbol, ()), *channels)))
        return found

    def _ours(self, name: MarketName) -> list[tuple[Key, Subscription]]:
        found = [(parse_key(text), s) for text, s in self.held.items() if s and s.source == "config" and s.channels]
        return [(key, s) for key, s in found if (key.exchange, key.market) == name]

    def decided(self) -> dict[str, Subscription | None]:
        """What others decided."""
        return {key: s for key, s in self.held.items() if s is None or s.source != "config"}

    def forget(self, key: str) -> Subscription | None:
        """A tombstone from before we started: the configuration rules again. What it wants of this key."""
        self.held.pop(key, None)
        return self.wanted().get(key)

    def seeds(self) -> dict[str, Subscription]:
        """Records to write so that control.subscription agrees with the configuration."""
        return seeds(self.wanted(), self.held, self._mine)
