"""Binance Spot REST v3."""
