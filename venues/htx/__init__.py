"""HTX (Huobi): spot, USDT-M linear swaps, coin-margined swaps and delivery futures; see README.md."""
