"""A newcomer finds every exchange and every channel in the pages: nothing is offered that is not described."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.local.servers import REPO
from marketdata.errors import ConfigError
from marketdata.topics import CHANNEL_TOPICS
from venues import VENUES
from venues.contract import Venue

EXCHANGES = sorted({venue.exchange for venue in VENUES})
PAGES = ("README.md", "docs/ARCHITECTURE.md")


def offered(venue: Venue) -> set[str]:
    """The channels one may ask this market for."""
    found = set()
    for channel in CHANNEL_TOPICS:
        try:
            venue.protocol.streams(["X"], [channel])
        except ConfigError:
            continue
        found.add(channel)
    return found


def described(readme: Path) -> set[str]:
    """Our channels that stand in the first column of a table, or are bold or code there."""
    rows = (line.split("|")[1] for line in readme.read_text().splitlines() if line.startswith("|"))
    return {word for row in rows for word in re.findall(r"[a-z_]+", row)} & set(CHANNEL_TOPICS)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_the_pages_link_every_exchange(page: str, exchange: str) -> None:
    path = REPO / page
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text())
    resolved = {(path.parent / link).resolve() for link in links}
    assert REPO / "venues" / exchange / "README.md" in resolved


@pytest.mark.parametrize("page", [*PAGES, "docs/ADD_EXCHANGE.md", *(f"venues/{each}/README.md" for each in EXCHANGES)])
def test_no_link_is_dead(page: str) -> None:
    path = REPO / page
    links = re.findall(r"\]\(([^)#:\s]+)\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_the_readme_has_a_column_for_every_exchange(exchange: str) -> None:
    header = next(line for line in (REPO / "README.md").read_text().splitlines() if line.startswith("| | "))
    assert exchange in header.lower()


@pytest.mark.parametrize("venue", VENUES, ids=lambda v: f"{v.exchange}-{v.market}")
def test_every_channel_a_market_offers_is_described(venue: Venue) -> None:
    readme = REPO / "venues" / venue.exchange / "README.md"
    assert re.search(
        rf"`({venue.exchange} )?{venue.market}`|{venue.exchange.title()} {venue.market}", readme.read_text()
    )
    assert offered(venue) - described(readme) == set()


def test_a_channel_that_is_not_described_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("| channel | what |\n|---|---|\n| trade, open_interest | the ticker |\n")
    assert described(page) == {"trade", "open_interest"}


def test_markets_offer_what_is_known_of_them() -> None:
    by_market = {(v.exchange, v.market): offered(v) for v in VENUES}
    assert by_market["kraken", "spot"] == {"trade", "book"}
    assert {"trade", "agg_trade", "book", "mark_price", "long_short"} <= by_market["okx", "perp"]
    assert "mark_price" not in by_market["htx", "spot"]
