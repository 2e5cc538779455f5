"""Binance. Spot so far; see README.md for its channels and the evidence behind them."""
