"""A strategy replayed over past candles: the same decisions, plan and caps, on the simulated venue's engine."""
