"""HTX: spot under `/htx`, USDT-margined swaps under `/hbdm`. Every server frame is gzip JSON in a binary frame."""
