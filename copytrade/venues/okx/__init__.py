"""OKX, spot, over REST v5 and its official SDK (python-okx), which builds and signs and never sends."""
