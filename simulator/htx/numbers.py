"""Numbers as HTX's two engines print them: spot like Java's `Double.toString`, contracts as plain short decimals."""

from __future__ import annotations

from decimal import Decimal

from simulator.market.instruments import E8


def java_double(value_e8: int) -> str:
    """Plain between 1e-3 and 1e7 with at least one place, else `d.dddEn`; recorded: 716.0, 1.08E-4, 8.18E8, 0.0."""
    if not value_e8:
        return "0.0"
    sign, size = ("-", -value_e8) if value_e8 < 0 else ("", value_e8)
    if E8 // 1000 <= size < E8 * 10**7:
        whole, rest = divmod(size, E8)
        return f"{sign}{whole}." + (f"{rest:08d}".rstrip("0") or "0")
    digits = str(size)
    exponent = len(digits) - 9
    return f"{sign}{digits[0]}.{digits[1:].rstrip('0') or '0'}E{exponent}"


def short(value_e8: int) -> str:
    """Without trailing zeros and without a point that nothing follows: 39055, 31784.1, 0.532."""
    if value_e8 < 0:
        return "-" + short(-value_e8)
    whole, rest = divmod(value_e8, E8)
    return f"{whole}." + f"{rest:08d}".rstrip("0") if rest else str(whole)


def legacy_id(head: int, tail: int, *, exponent: bool) -> str:
    """The old trade id: the match id and fifteen digits more, beyond any machine number; some sources have it as a
    number with an exponent."""
    digits = f"{head}{tail % 10**15:015d}"
    return repr(float(digits)) if exponent else digits


def eighteen(value: Decimal) -> str:
    """With eighteen places, as rates and open interest are told."""
    return f"{value:.18f}"
