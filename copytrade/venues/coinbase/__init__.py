"""Coinbase Advanced Trade (REST v3) behind the engine's ports."""
