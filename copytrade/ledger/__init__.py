"""The durable record: the ledger file and the nonce stores. What is not in it did not happen."""
