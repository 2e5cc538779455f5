"""Deribit: perpetuals, futures, options and spot, all by one protocol. See the README beside this file."""
