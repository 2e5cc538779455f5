"""The synthetic market: pure, seeded, driven by a clock given from outside."""
