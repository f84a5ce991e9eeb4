"""Alpaca: coins around the clock, US stocks in their hours, over the Trading API v2."""
