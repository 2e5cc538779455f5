"""Parameters of requests: what is taken, and what is refused with a reason."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from api import params
from api.params import TIME_MS_MAX, BookQuery, KlinesQuery, MarketQuery, TradesQuery, parse_time_ms
from marketdata import types
from marketdata.topics import CHANNEL_TOPICS

T = 1_795_251_600_000


def test_what_may_be_asked_for_is_what_there_is() -> None:
    assert set(get_args(params.Market)) == set(get_args(types.Market))
    assert set(get_args(params.Channel)) == set(CHANNEL_TOPICS)


@pytest.mark.parametrize(
    ("given_", "ms"),
    [
        (T, T),
        (str(T), T),
        (" 0 ", 0),
        ("2026-11-21T09:00:00Z", T),
        ("2026-11-21T09:00:00", T),
        ("2026-11-21 09:00:00", T),
        ("2026-11-21T10:00:00+01:00", T),
        ("2026-11-21T10:00:00 01:00", T),
        ("2026-11-21T09:00:00.250Z", T + 250),
        ("2026-11-21", T - 9 * 3_600_000),
        ("1970-01-02", 86_400_000),
    ],
)
def test_times(given_: Any, ms: int) -> None:
    assert parse_time_ms(given_) == ms


@pytest.mark.parametrize(
    "given_",
    ["", "yesterday", "-1", "1.5", str(TIME_MS_MAX + 1), str(T * 1000), "9" * 400, "２０２６", "1969-12-31", True],
)
def test_times_that_are_none(given_: Any) -> None:
    with pytest.raises(ValueError, match="milliseconds since 1970"):
        parse_time_ms(given_)


@pytest.mark.parametrize("given_", [str(T // 1000), T // 1000, "20261121", "2026"])
def test_seconds_and_dates_without_dashes_are_no_milliseconds(given_: Any) -> None:
    with pytest.raises(ValueError, match="13 digits"):
        parse_time_ms(given_)


@given(st.text(max_size=40))
def test_any_text_is_a_time_in_range_or_an_error(text: str) -> None:
    try:
        ms = parse_time_ms(text)
    except ValueError:
        return
    assert 0 <= ms <= TIME_MS_MAX


@pytest.mark.parametrize(
    ("model", "fields", "where"),
    [
        (TradesQuery, {}, "symbol"),
        (TradesQuery, {"symbol": ""}, "symbol"),
        (TradesQuery, {"symbol": "X" * 65}, "symbol"),
        (TradesQuery, {"symbol": "X", "limit": 0}, "limit"),
        (TradesQuery, {"symbol": "X", "limit": "many"}, "limit"),
        (TradesQuery, {"symbol": "X", "lmit": 5}, "lmit"),
        (KlinesQuery, {"symbol": "X", "interval": "2m"}, "interval"),
        (KlinesQuery, {"symbol": "X", "market": "swap"}, "market"),
        (BookQuery, {"symbol": "X", "depth": 401}, "depth"),
        (BookQuery, {"symbol": "X", "source": "guess"}, "source"),
        (MarketQuery, {"symbol": "X"}, "symbol"),
    ],
)
def test_bad_parameters_are_named(model: type[Any], fields: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as raised:
        model.model_validate(fields)
    assert {error["loc"][0] for error in raised.value.errors()} == {where}


def test_a_range_must_run_forward() -> None:
    with pytest.raises(ValidationError, match="start must lie before end"):
        KlinesQuery.model_validate({"symbol": "X", "start": T, "end": T})
