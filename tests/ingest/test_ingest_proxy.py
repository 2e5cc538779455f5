from __future__ import annotations

import pytest

from ingest.proxy import excluded, proxy_for

WSS = "wss://stream.binance.com:9443/stream"
HTTPS = "https://api.binance.com"
PROXY = "http://proxy.lan:3128"
SOCKS = "socks5://proxy.lan:1080"


@pytest.mark.parametrize(
    ("url", "setting", "no_proxy", "env", "proxy"),
    [
        (WSS, None, [], {}, None),
        (WSS, PROXY, [], {}, PROXY),
        (WSS, SOCKS, [], {"HTTPS_PROXY": PROXY}, SOCKS),
        (WSS, SOCKS, ["binance.com"], {"HTTPS_PROXY": PROXY}, None),
        (WSS, SOCKS, [], {"NO_PROXY": "binance.com"}, SOCKS),
        (WSS, None, [], {"HTTPS_PROXY": PROXY}, PROXY),
        (HTTPS, None, [], {"https_proxy": SOCKS, "HTTPS_PROXY": PROXY}, SOCKS),
        (HTTPS, None, [], {"ALL_PROXY": SOCKS}, SOCKS),
        (HTTPS, None, [], {"ALL_PROXY": SOCKS, "https_proxy": PROXY}, PROXY),
        (HTTPS, None, [], {"http_proxy": PROXY}, None),
        ("http://a.example/", None, [], {"http_proxy": "proxy.lan:8080"}, "http://proxy.lan:8080"),
        (HTTPS, None, [], {"https_proxy": PROXY, "no_proxy": "x.example, .binance.com"}, None),
        (HTTPS, None, [], {"https_proxy": PROXY, "NO_PROXY": "*"}, None),
        ("ws://127.0.0.1:9700", None, [], {"http_proxy": PROXY}, None),
        ("http://localhost:9700", None, [], {"all_proxy": PROXY}, None),
        ("ws://127.0.0.1:9700", PROXY, [], {}, PROXY),
    ],
)  # fmt: skip
def test_which_proxy(
    url: str, setting: str | None, no_proxy: list[str], env: dict[str, str], proxy: str | None
) -> None:
    assert proxy_for(url, setting, no_proxy, env) == proxy


@pytest.mark.parametrize(
    ("host", "rule", "out"),
    [
        ("api.binance.com", "binance.com", True),
        ("api.binance.com", "*.binance.com", True),
        ("notbinance.com", "binance.com", False),
        ("api.binance.com", "api.binance.com:443", True),
        ("api.binance.com", "api.binance.com:80", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("api.binance.com", "10.0.0.0/8", False),
        ("api.binance.com", "", False),
    ],
)
def test_no_proxy_rules(host: str, rule: str, out: bool) -> None:
    assert excluded(host, 443, [rule]) is out
