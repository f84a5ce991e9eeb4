"""APEX v7.1: the figures, the readings of a market, one function for each rule, and the strategy made of them."""
