"""What a month came to for one account: trades, profit, return against the master, the performance fee. Pure."""
