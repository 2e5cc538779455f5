from __future__ import annotations

import msgspec

from ingest.control import WITHDRAWN, Subscription, encode_subscription, seeds
from ingest.desired import Desired
from runtime.config import Config

BOTH = ["trade", "book"]
CONFIG = Config.model_validate(
    {"exchanges": {"binance": {"spot": {"ws_url": "ws://x", "rest_url": "http://x", "symbols": ["A", "B"],
                                        "channels": BOTH}}}}
)  # fmt: skip
A, B, C = "binance.spot.A", "binance.spot.B", "binance.spot.C"
OURS = Subscription(BOTH, "config")


def test_the_configuration_by_key() -> None:
    assert Desired(CONFIG, lambda _: True).wanted() == {A: OURS, B: OURS}
    assert Desired(CONFIG, lambda key: key == B).wanted() == {B: OURS}


def test_only_what_nobody_decided_is_seeded() -> None:
    held = {A: Subscription(["trade"]), C: OURS}
    assert seeds({A: OURS, B: OURS}, held, lambda _: True) == {B: OURS, C: WITHDRAWN}


def test_a_removed_subscription_is_not_seeded_again() -> None:
    assert seeds({A: OURS}, {A: None}, lambda _: True) == {}
    assert seeds({A: OURS}, {A: Subscription([])}, lambda _: True) == {}


def test_the_configuration_may_change_what_it_wrote() -> None:
    assert seeds({A: OURS}, {A: Subscription(["trade"], "config")}, lambda _: True) == {A: OURS}
    assert seeds({A: OURS}, {A: OURS}, lambda _: True) == {}


def test_another_shards_keys_are_left_alone() -> None:
    assert seeds({}, {A: OURS, B: OURS}, lambda key: key == A) == {A: WITHDRAWN}


def test_what_was_withdrawn_may_come_back_and_is_withdrawn_once() -> None:
    assert seeds({}, {A: WITHDRAWN}, lambda _: True) == {}
    assert seeds({A: OURS}, {A: WITHDRAWN}, lambda _: True) == {A: OURS}


def test_a_symbol_may_leave_a_selection_and_join_it_again() -> None:
    values = CONFIG.model_dump()
    values["exchanges"]["binance"]["spot"] |= {"symbols": [], "select": [{"top": 1}]}
    desired, name = Desired(Config.model_validate(values), lambda _: True), ("binance", "spot")
    written = []
    for selected in ("A", "B", "A"):
        desired.select(name, {selected: tuple(BOTH)})
        fresh = desired.seeds()
        desired.held.update(fresh)
        written.append(fresh)
    assert written == [{A: OURS}, {B: OURS, A: WITHDRAWN}, {A: OURS, B: WITHDRAWN}]
    again = Desired(Config.model_validate(values), lambda _: True)  # after a restart, before the venue answers
    again.held.update(desired.held)
    assert again.wanted() == {A: OURS}
    assert again.before(name) == {"A"}


def test_a_tombstone_of_an_earlier_run_leaves_the_configuration_to_rule() -> None:
    desired = Desired(CONFIG, lambda _: True)
    desired.held[A] = Subscription(["trade"])
    assert desired.forget(A) == OURS
    assert desired.forget(C) is None
    assert desired.decided() == {}
    assert desired.seeds() == {A: OURS, B: OURS}


def test_the_values_others_write() -> None:
    decode = msgspec.json.Decoder(Subscription).decode
    assert decode(b'{"channels":["trade"]}') == Subscription(["trade"])
    assert decode(encode_subscription(OURS)) == OURS
