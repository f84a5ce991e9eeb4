"""A strict OKX v5 (spot, REST) on loopback."""

from copytrade.simulator.okx.venue import OkxSimulator

__all__ = ["OkxSimulator"]
