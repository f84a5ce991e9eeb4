"""`python -m copytrade.simulator --venues kraken --port 0 --accounts 10`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> int:
    """Read the command line and serve. Returns the exit status."""
    from copytrade.simulator.command import VENUES, run

    parser = argparse.ArgumentParser(prog="python -m copytrade.simulator", description="Simulated venues on loopback.")
    parser.add_argument("--venues", default="kraken", help=f"comma-separated, of: {', '.join(VENUES)}")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="first port; 0 takes free ones")
    parser.add_argument("--accounts", type=int, default=3, help="accounts per venue: master and followers")
    parser.add_argument("--seed", type=int, default=7, help="decides keys, ids and prices")
    parser.add_argument("--reply-delay-ms", type=int, default=0, help="wait before every answer")
    parser.add_argument("--fill-delay-ms", type=int, default=0, help="time between acceptance and fill")
    parser.add_argument("--volatility", type=float, default=0.0001, help="per second; 0 freezes prices")
    parser.add_argument("--store", type=Path, default=None, help="folder to carry on from after a restart")
    parser.add_argument("--tier", default="intermediate", help="Kraken: starter, intermediate or pro")
    parser.add_argument("--no-rate-limits", action="store_true", help="leave the venues' rate limits out")
    options = parser.parse_args()
    try:
        run(
            venues=[name.strip() for name in options.venues.split(",") if name.strip()],
            host=options.host,
            port=options.port,
            accounts=options.accounts,
            seed=options.seed,
            reply_delay_ms=options.reply_delay_ms,
            store=options.store,
            volatility=options.volatility,
            fill_delay_ms=options.fill_delay_ms,
            rate_limits=not options.no_rate_limits,
            tier=options.tier,
        )
    except (ValueError, OSError) as error:
        sys.stderr.write(f"the simulator cannot start: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
