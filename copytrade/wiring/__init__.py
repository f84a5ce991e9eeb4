"""The one place that wires: settings, files and clocks in, a running system out."""
