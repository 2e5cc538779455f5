"""Which proxy leads to an address: the setting, else the environment's HTTPS_PROXY, ALL_PROXY, NO_PROXY. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def proxy_for(url: str, setting: str | None, no_proxy: Sequence[str], env: Mapping[str, str]) -> str | None:
    """The proxy's URL for `url`, or None for the direct way.

    `setting` (ingest.proxy) overrides the environment; `no_proxy` (ingest.no_proxy) are hosts it does not apply to.
    In the environment lower case wins over upper case, as in curl. Loopback addresses are never reached through the
    environment's proxy: the simulator lives there.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    if setting:
        return None if excluded(host, port, no_proxy) else setting
    names = ("https_proxy", "all_proxy") if parts.scheme in ("https", "wss") else ("http_proxy", "all_proxy")
    found = next((value for name in names if (value := _env(env, name))), None)
    if found is None or _loopback(host) or excluded(host, port, _env(env, "no_proxy").split(",")):
        return None
    return found if "://" in found else f"http://{found}"


def excluded(host: str, port: int, rules: Sequence[str]) -> bool:
    """NO_PROXY's rules: `*`, a host, a domain (with or without a leading dot) and all below it, an address, a network
    (10.0.0.0/8); each but the last may end with a port."""
    for rule in (r.strip().lower() for r in rules):
        if not rule:
            continue
        if rule == "*" or _in_network(host, rule):
            return True
        name, colon, rule_port = rule.rpartition(":") if rule.count(":") == 1 else (rule, "", "")
        if colon and rule_port != str(port):
            continue
        name = name.removeprefix("*").lstrip(".").strip("[]")
        if host == name or host.endswith("." + name):
            return True
    return False


def _env(env: Mapping[str, str], name: str) -> str:
    return env.get(name) or env.get(name.upper()) or ""


def _in_network(host: str, rule: str) -> bool:
    if "/" not in rule:
        return False
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return False


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
