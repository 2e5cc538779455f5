"""An exchange on loopback: Binance spot's WebSocket and REST protocols, a synthetic market or a recorded session."""
