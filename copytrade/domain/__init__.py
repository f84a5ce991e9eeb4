"""Values and their rules: money, instruments, accounts, orders, signals, events, errors.

Nothing here knows a clock, a socket, a file or the environment, and nothing here imports another package of ours.
"""
