"""One connection to Deribit: JSON-RPC calls, subscriptions, credits and the heartbeat it asked for. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from simulator.dialect import CUT, Close
from simulator.forms import TEXT, Form

HEARTBEAT_S_MIN, HEARTBEAT_S_MAX = 10, 3600
FIRST_TEST_AFTER_S = 2.0
"""The first test request comes so much later than the interval."""
IDLE_S_MAX = 60.5
SUBSCRIBES_BURST, SUBSCRIBES_PER_S = 10.0, 10 / 3
CALLS_BURST, CALLS_PER_S = 100.0, 20.0
LISTING = "public/get_instruments"
LISTINGS_BURST, LISTINGS_PER_S = 5.0, 0.1
CHANNELS_MAX = 500
RAW_WITHOUT_LOGIN = (13778, "raw_subscriptions_not_available_for_unauthorized")
TOO_MANY = (10028, "too_many_requests")


class RpcError(Exception):
    """A call that failed: code, message, data."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


def invalid_params(param: str, reason: str) -> RpcError:
    return RpcError(-32602, "Invalid params", {"reason": reason, "param": param})


def envelope(body: str, identity: Any, now_us: int, *, took_us: int = 79) -> bytes:
    """A reply around `"result":...` or `"error":...`."""
    named = f'"id":{json.dumps(identity)},' if identity is not None else ""
    return (
        f'{{"jsonrpc":"2.0",{named}{body},"usIn":{now_us},"usOut":{now_us + took_us},"usDiff":{took_us},'
        f'"testnet":false}}'.encode()
    )


def error_body(error: RpcError) -> str:
    data = {} if error.data is None else {"data": error.data}
    told = {"code": error.code} | data | {"message": str(error)}
    return '"error":' + json.dumps(told, separators=(",", ":"))


class Credits:
    """A bucket that refills."""

    def __init__(self, burst: float, per_s: float) -> None:
        self.burst = self.left = burst
        self.per_s = per_s
        self.at_s: float | None = None

    def spend(self, now_s: float) -> bool:
        """Take one; False: none left."""
        if self.at_s is not None:
            self.left = min(self.burst, self.left + (now_s - self.at_s) * self.per_s)
        self.at_s = now_s
        if self.left < 1.0:
            return False
        self.left -= 1.0
        return True


Method = Callable[[dict[str, Any]], str]
"""A public method: parameters to the JSON of its result. Raises RpcError."""


class Session:
    """Implements `dialect.Session`. `methods` are those REST has too; `exists` says whether a channel is one,
    `refused` whether a subscription is to be dropped on request of a test."""

    def __init__(
        self,
        methods: Mapping[str, Method],
        exists: Callable[[str], bool],
        refused: Callable[[str], bool],
        clock_us: Callable[[], int],
    ) -> None:
        self.methods = methods
        self.exists = exists
        self.refused = refused
        self.clock_us = clock_us
        self.form: Form = TEXT
        self.streams: dict[str, None] = {}
        self.logged_in = False
        self.interval_s = 0.0
        self.due_s = 0.0
        self.asked_s: float | None = None
        self.opened_s: float | None = None
        self.out_of_credits = False
        self.calls = Credits(CALLS_BURST, CALLS_PER_S)
        self.listings = Credits(LISTINGS_BURST, LISTINGS_PER_S)
        self.subscribes = Credits(SUBSCRIBES_BURST, SUBSCRIBES_PER_S)
        self.own: dict[str, Callable[[dict[str, Any], float], str]] = {
            "public/set_heartbeat": self._set_heartbeat,
            "public/disable_heartbeat": self._disable_heartbeat,
            "public/subscribe": self._subscribe,
            "private/subscribe": self._private_subscribe,
            "public/unsubscribe": self._unsubscribe,
            "public/unsubscribe_all": self._unsubscribe_all,
            "public/auth": self._auth,
        }

    def greeting(self) -> list[bytes]:
        return []

    def shutdown_notice(self, now_ms: int) -> bytes | None:
        """A break is announced to those who have `platform_state`."""
        del now_ms
        if "platform_state" not in self.streams:
            return None
        return (
            b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"platform_state",'
            b'"data":{"maintenance":true}}}'
        )

    # --- time ---------------------------------------------------------------------------------------

    def tick(self, now_s: float, pushed_s: float, heard_s: float) -> list[bytes]:
        """Heartbeats where asked for; without one and without subscriptions the venue hangs up after a minute."""
        if self.opened_s is None:
            self.opened_s = now_s
        if self.out_of_credits:
            raise Close(1008, "too_many_requests")
        if not self.interval_s:
            if not self.streams and now_s - max(self.opened_s, heard_s) >= IDLE_S_MAX:
                raise Close(CUT, "idle")
            return []
        if self.asked_s is not None and now_s - self.asked_s >= self.interval_s:
            raise Close(4000, "heartbeat close")
        if now_s < self.due_s or self.asked_s is not None:
            return []
        self.asked_s = now_s
        self.due_s = now_s + self.interval_s
        quiet = now_s - pushed_s >= self.interval_s / 2
        return [_heartbeat("heartbeat")] * quiet + [_heartbeat("test_request")]

    def _set_heartbeat(self, params: dict[str, Any], now_s: float) -> str:
        interval = params.get("interval")
        if not isinstance(interval, int | float) or not HEARTBEAT_S_MIN <= interval <= HEARTBEAT_S_MAX:
            raise invalid_params("interval", "must be at least 10")
        self.interval_s = float(interval)
        self.due_s = now_s + interval + FIRST_TEST_AFTER_S
        self.asked_s = None
        return '"ok"'

    def _disable_heartbeat(self, params: dict[str, Any], now_s: float) -> str:
        del params, now_s
        self.interval_s, self.asked_s = 0.0, None
        return '"ok"'

    # --- calls --------------------------------------------------------------------------------------

    def handle(self, data: bytes, now_s: float) -> list[bytes]:
        now_us = self.clock_us()
        identity = None
        try:
            message = _read(data)
            identity = message.get("id")
            result = self._call(message, now_s)
        except RpcError as error:
            return [envelope(error_body(error), identity, now_us, took_us=48)]
        return [envelope(f'"result":{result}', identity, now_us)]

    def _call(self, message: dict[str, Any], now_s: float) -> str:
        method, params = message.get("method"), message.get("params", {})
        if not isinstance(params, dict):
            raise RpcError(-32602, "Invalid params")
        if not isinstance(method, str):
            raise RpcError(-32600, "Invalid Request")
        bucket = self.calls
        if method.endswith("/subscribe"):
            bucket = self.subscribes
        elif method == LISTING:
            bucket = self.listings
        if not bucket.spend(now_s):
            self.out_of_credits = True
            raise RpcError(*TOO_MANY)
        if method == "public/test":
            self.asked_s = None
        if (own := self.own.get(method)) is not None:
            return own(params, now_s)
        if (shared := self.methods.get(method)) is not None:
            return shared(params)
        raise RpcError(-32601, "Method not found")

    def _auth(self, params: dict[str, Any], now_s: float) -> str:
        """Any key is good here."""
        del now_s
        if params.get("grant_type") != "client_credentials" or not params.get("client_id"):
            raise RpcError(13004, "invalid_credentials")
        self.logged_in = True
        return '{"token_type":"bearer","scope":"connection","expires_in":900,"access_token":"simulated"}'

    def _private_subscribe(self, params: dict[str, Any], now_s: float) -> str:
        if not self.logged_in:
            raise RpcError(13009, "unauthorized")
        return self._subscribe(params, now_s)

    def _subscribe(self, params: dict[str, Any], now_s: float) -> str:
        """What was accepted, in an order of the venue's own; what it does not know is missing without a word."""
        del now_s
        channels = _channels(params)
        if not self.logged_in and any(channel.split(".")[-1] == "raw" for channel in channels):
            raise RpcError(*RAW_WITHOUT_LOGIN)
        accepted = [
            channel
            for channel in dict.fromkeys(channels)
            if self.exists(channel) and (channel in self.streams or not self.refused(channel))
        ]
        self.streams |= dict.fromkeys(accepted)
        return json.dumps(sorted(accepted, reverse=True), separators=(",", ":"))

    def _unsubscribe(self, params: dict[str, Any], now_s: float) -> str:
        del now_s
        gone = [channel for channel in _channels(params) if channel in self.streams]
        for channel in gone:
            self.streams.pop(channel, None)
        return json.dumps(sorted(gone, reverse=True), separators=(",", ":"))

    def _unsubscribe_all(self, params: dict[str, Any], now_s: float) -> str:
        del params, now_s
        self.streams.clear()
        return '"ok"'


def _read(data: bytes) -> dict[str, Any]:
    try:
        message = json.loads(data)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise RpcError(11050, "bad_request", {"reason": "invalid json"})
    return message


def _channels(params: dict[str, Any]) -> list[str]:
    channels = params.get("channels")
    if not isinstance(channels, list) or not all(isinstance(each, str) for each in channels):
        raise invalid_params("channels", "must be a list of strings")
    if len(channels) > CHANNELS_MAX:
        raise invalid_params("channels", f"at most {CHANNELS_MAX}")
    return channels


def _heartbeat(kind: str) -> bytes:
    return b'{"params":{"type":"%b"},"method":"heartbeat","jsonrpc":"2.0"}' % kind.encode()
