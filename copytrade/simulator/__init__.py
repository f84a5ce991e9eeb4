"""The exchanges as strict servers on loopback: for paper trading, tests and demonstrations.

Start with `copytrade.simulator.kraken.KrakenSimulator` (one venue) and
`copytrade.simulator.server.SimulatorServer` (serves venues); `python -m copytrade.simulator` runs them as a
program. Importing this package alone loads nothing heavy.
"""
