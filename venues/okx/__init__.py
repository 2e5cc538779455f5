"""OKX v5: spot, perpetual swaps, dated futures and options by one protocol; see README.md for channels and evidence."""
