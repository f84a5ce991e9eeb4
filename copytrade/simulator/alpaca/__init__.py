"""A strict Alpaca (Trading API v2 and market data) of made-up money, for crypto and a few US stocks."""

from copytrade.simulator.alpaca.venue import AlpacaSimulator

__all__ = ["AlpacaSimulator"]
