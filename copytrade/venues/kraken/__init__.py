"""Kraken Spot, REST API version 0. krakenex builds and signs every private request; our wire sends it."""
