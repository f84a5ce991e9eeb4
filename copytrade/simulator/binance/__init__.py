"""A strict Binance Spot REST v3 on loopback."""

from copytrade.simulator.binance.venue import BinanceSimulator

__all__ = ["BinanceSimulator"]
