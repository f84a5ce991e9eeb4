"""The decisions, all pure: sizes, caps, guards, plans. Facts go in, decisions come out."""
