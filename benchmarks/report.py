"""From samples to figures, and from figures to a table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAMES = {
    "serial": "new krakenex.API per order, one after the other",
    "ccxt": "ccxt.async_support, gather",
    "bare": "bare aiohttp gather, krakenex signing",
    "service": "this service, ledger on disk",
}


@dataclass(frozen=True)
class Row:
    """One contender in one cell; medians over the runs, times in ms."""

    contender: str
    followers: int
    delay_ms: int
    runs: int
    wall_ms: float
    wall_ms_min: float
    wall_ms_max: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_order: float
    venue_cpu_ms_per_order: float
    idle_mb: float
    peak_mb: float


def make_row(
    contender: str, followers: int, delay_ms: int, samples: Sequence[dict[str, Any]], idle_kb: int
) -> Row:
    """Median figures of the runs of one contender."""
    walls = [sample["wall_s"] * 1000 for sample in samples]
    return Row(
        contender,
        followers,
        delay_ms,
        len(samples),
        statistics.median(walls),
        min(walls),
        max(walls),
        statistics.median(percentile(sample["latencies_s"], 50) for sample in samples) * 1000,
        statistics.median(percentile(sample["latencies_s"], 99) for sample in samples) * 1000,
        statistics.median(sample["cpu_s"] for sample in samples) * 1000 / followers,
        statistics.median(sample["venue_cpu_s"] for sample in samples) * 1000 / followers,
        idle_kb / 1024,
        max(sample["peak_kb"] for sample in samples) / 1024,
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all are not above."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def ratios(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each cell how much slower ours is than the bare client, and how much faster than the original's way.

    Of medians; `service_to_bare_best` is of the fastest run of each, which other work on the machine disturbs least.
    """
    found = []
    cells = dict.fromkeys((row.followers, row.delay_ms) for row in rows)
    for followers, delay_ms in cells:
        walls = {r.contender: r.wall_ms for r in rows if (r.followers, r.delay_ms) == (followers, delay_ms)}
        ours = walls.get("service")
        if ours is None:
            continue
        cell: dict[str, Any] = {"followers": followers, "delay_ms": delay_ms}
        if "bare" in walls:
            cell["service_to_bare"] = ours / walls["bare"]
            best = {r.contender: r.wall_ms_min for r in rows if (r.followers, r.delay_ms) == (followers, delay_ms)}
            cell["service_to_bare_best"] = best["service"] / best["bare"]
        if "serial" in walls:
            cell["serial_to_service"] = walls["serial"] / ours
        if "ccxt" in walls:
            cell["ccxt_to_service"] = walls["ccxt"] / ours
        found.append(cell)
    return found


_HEAD = (
    "followers", "delay ms", "contender", "runs", "wall ms", "min to max", "p50 ms", "p99 ms", "CPU ms/order",
    "venue CPU ms/order", "peak MB",
)  # fmt: skip


_RATIOS = (("service_to_bare", 2), ("service_to_bare_best", 2), ("serial_to_service", 0), ("ccxt_to_service", 1))


def table(rows: Sequence[Row], names: Mapping[str, str] = NAMES) -> str:
    """A Markdown table; `names` of the contenders as they are shown."""
    lines = [_HEAD, ("---:", "---:", "---") + ("---:",) * 8]
    for row in sorted(rows, key=lambda r: (r.followers, r.delay_ms)):
        lines.append((
            f"{row.followers:,}", str(row.delay_ms), names[row.contender], str(row.runs), f"{row.wall_ms:,.0f}",
            f"{row.wall_ms_min:,.0f} to {row.wall_ms_max:,.0f}", f"{row.p50_ms:,.0f}", f"{row.p99_ms:,.0f}",
            f"{row.cpu_ms_per_order:.2f}", f"{row.venue_cpu_ms_per_order:.2f}", f"{row.peak_mb:.0f}",
        ))  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ratio_table(found: Sequence[dict[str, Any]]) -> str:
    """A Markdown table of `ratios`."""
    lines: list[tuple[str, ...]] = [
        ("followers", "delay ms", "service / bare", "fastest runs of both", "one by one / service", "ccxt / service"),
        ("---:",) * 6,
    ]
    for cell in found:
        shown = [
            f"{cell[name]:.{places}f}" if name in cell else "-"
            for name, places in _RATIOS
        ]
        lines.append((f"{cell['followers']:,}", str(cell["delay_ms"]), *shown))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
