"""From a venue's own amounts (contracts, USD) to base coin, exactly where that is possible.

    linear   base = amount x multiplier                exact
    inverse  base = amount x multiplier / price        rounded half to even at INVERSE_PLACES decimals

`Instrument.contract_multiplier` and `inverse` say which. The venue's own number is kept beside in every record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from marketdata.decimals import rescale, to_text, to_units
from marketdata.errors import BadData, ImplausibleValue
from marketdata.types import Instrument, Level

INVERSE_PLACES: Final = 12
"""Decimals of a quotient: 1e-12 coin is far below any lot, and every table holds it."""

ZEROS: Final = ("0", "0.0")
"""How venues that quote contracts write what removes a level; others are zeros too, only slower."""
KNOWN_MAX: Final = 4096


class Units:
    """The conversion of one instrument."""

    __slots__ = ("_factor", "_is_plain", "_known", "_scale", "inverse", "multiplier")

    def __init__(self, multiplier: str, inverse: bool) -> None:
        self.multiplier = multiplier
        self.inverse = inverse
        self._factor, self._scale = to_units(multiplier)
        self._is_plain = not inverse and self._factor == 10**self._scale
        self._known: dict[str, str] = {}
        """Linear: amounts of book levels converted before. Sizes come again and again."""

    def base(self, amount: str, price: str) -> str:
        """`amount` of the venue's unit, at `price`, in base coin; both plain decimals. "" stays "".

        Raises BadData (`implausible`) where an inverse amount has no price to be worth anything at.
        """
        if self._is_plain or not amount:
            return amount
        units, scale = to_units(amount)
        if not self.inverse:
            return to_text(units * self._factor, scale + self._scale)
        price_units, price_scale = to_units(price) if price else (0, 0)
        if price_units <= 0:
            if not units:
                return "0"
            raise BadData("implausible", f"{amount} of an inverse contract at price {price!r}")
        return to_text(
            _divide_half_even(
                rescale(units * self._factor, 0, INVERSE_PLACES + price_scale),
                price_units * 10 ** (scale + self._scale),
            ),
            INVERSE_PLACES,
        )

    def levels(self, levels: Sequence[Level]) -> Sequence[Level]:
        """The same levels with quantities in base coin; a zero stays a zero.

        Raises BadData (`implausible`) where one is no number, or far too long a one.
        """
        if self._is_plain:
            return levels
        try:
            return self._converted(levels)
        except (ValueError, IndexError) as exc:
            raise ImplausibleValue(f"book level: {exc}") from None

    def _converted(self, levels: Sequence[Level]) -> Sequence[Level]:
        if self.inverse:
            return [(level[0], self._coins(level)) for level in levels]
        known, out = self._known, []
        for price, amount in levels:
            found = known.get(amount)
            if found is None:
                if len(known) >= KNOWN_MAX:
                    known.clear()
                found = known[amount] = self.base(amount, price)
            out.append((price, found))
        return out

    def _coins(self, level: Level) -> str:
        """`base` of a level of an inverse contract: the same, in fewer steps for the usual spelling."""
        price, amount = level
        if amount in ZEROS:
            return "0"
        whole, _, part = amount.partition(".")
        price_whole, _, price_part = price.partition(".")
        raised = INVERSE_PLACES + len(price_part) - len(part) - self._scale
        price_units = int(price_whole + price_part or "0")
        if price_units <= 0 or raised < 0:
            return self.base(amount, price)
        quotient, rest = divmod(rescale(int(whole + part) * self._factor, 0, raised), price_units)
        twice = 2 * rest
        if twice > price_units or (twice == price_units and quotient & 1):
            quotient += 1
        if quotient <= 0:
            return self.base(amount, price)
        digits = str(quotient).zfill(INVERSE_PLACES + 1)
        fraction = digits[-INVERSE_PLACES:].rstrip("0")
        return f"{digits[:-INVERSE_PLACES]}.{fraction}" if fraction else digits[:-INVERSE_PLACES]


def units_of(instrument: Instrument | None, what: str) -> Units:
    """The instrument's conversion. Raises BadData `no_instrument`, naming `what` cannot be converted."""
    if instrument is None:
        raise BadData("no_instrument", f"the size of a contract is not known, so that {what} means nothing yet")
    key = (instrument.contract_multiplier, instrument.inverse)
    found = _known.get(key)
    if found is None:
        found = _known[key] = Units(*key)
    return found


_known: dict[tuple[str, bool], Units] = {}
"""Few: one per contract size."""


def _divide_half_even(numerator: int, denominator: int) -> int:
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    if twice > denominator or (twice == denominator and quotient & 1):
        return quotient + 1
    return quotient
