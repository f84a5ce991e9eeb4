"""The worker: `python run_master.py [--config F] [--users DIR] [--state DIR] [--once]`."""

import sys

from copytrade.console.worker import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
