"""`python -m copytrade COMMAND`."""

import sys

from copytrade.console.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
