"""A self-hosted service that copies a master account's trades to its followers' own accounts."""
