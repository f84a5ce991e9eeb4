"""The venues behind one port: each folder speaks one venue's protocol through that venue's official SDK."""
