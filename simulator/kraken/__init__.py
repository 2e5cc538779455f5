"""Kraken spot, WebSocket API v2: books with CRC32 and trades, and the REST endpoints that describe pairs."""
