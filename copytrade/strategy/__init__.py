"""What the master wants to do. A strategy knows no venue, clock or ledger: facts go in, wishes come out."""
