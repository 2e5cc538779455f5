"""Exchanges on loopback: their WebSocket and REST protocols under path prefixes, synthetic markets or a recording."""
