"""Binance: spot, USD-M and COIN-M futures; see README.md for their channels and the evidence behind them."""
