"""Deribit: JSON-RPC 2.0 over one WebSocket and over REST, for perpetuals, futures and options."""
