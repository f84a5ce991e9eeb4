"""A strict Kraken Spot REST v0 on loopback."""

from copytrade.simulator.kraken.venue import KrakenSimulator

__all__ = ["KrakenSimulator"]
