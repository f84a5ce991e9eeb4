"""A strict Coinbase Advanced Trade REST v3 on loopback."""

from copytrade.simulator.coinbase.venue import CoinbaseSimulator

__all__ = ["CoinbaseSimulator"]
