"""Kraken spot, WebSocket API v2: books and trades. See the README beside this file."""
