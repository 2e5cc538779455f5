"""The error tree. What kind an error is decides who acts.

    MarketPrismError
    ├── ConfigError          stop the process before it does anything; the message names the key and the line
    ├── BadData              the venue's data: keep the message in md.dead_letter, count it, go on
    │   ├── UnparsableFrame  not the shape we know
    │   └── ImplausibleValue a value that cannot be true (negative price, time far off)
    ├── StoreError           a store or broker misbehaves: retry with backoff, never drop
    │   └── ForeignLogError  tables hold offsets beyond the topic's end: stop the sink
    └── InvariantError       a bug of ours: stop loudly

`BadData.code` is the stable reason written to md.dead_letter.
"""

from __future__ import annotations


class MarketPrismError(Exception):
    """Base of all errors raised on purpose by this project."""


class ConfigError(MarketPrismError):
    """The configuration cannot be used; says which key, where, and what would be right."""


class BadData(MarketPrismError):
    """Market data that cannot be accepted."""

    def __init__(self, code: str, detail: str, record_id: str = "") -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.record_id = record_id


class UnparsableFrame(BadData):
    """A frame that is not of a shape we know."""

    def __init__(self, detail: str) -> None:
        super().__init__("unparsable", detail)


class ImplausibleValue(BadData):
    """A value that cannot be true."""

    def __init__(self, detail: str, record_id: str = "") -> None:
        super().__init__("implausible", detail, record_id)


class StoreError(MarketPrismError):
    """A store or broker did not do what was asked; retried."""


class ForeignLogError(StoreError):
    """The store was filled from another log than the one we read; needs a person."""


class InvariantError(MarketPrismError):
    """Something that cannot happen did: a bug of ours."""
