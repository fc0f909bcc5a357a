"""Tables and a chart of results."""

from collections.abc import Iterable, Sequence
from html import escape

from bench.cases import CASES
from bench.peers import PEERS
from bench.rounds import Result

_COLOURS = {
    "gate": "#2b7a4b", "stock": "#86b999", "other": "#6b8e9e", "nginx": "#7a7a7a", "caddy": "#3c78b4",
    "flask": "#b4633c", "aiohttp": "#8a5fb0", "fastapi": "#b03c5f", "litellm": "#c0a02c",
}  # fmt: skip


def _time(seconds: float) -> str:
    if not seconds:
        return "-"
    return f"{seconds * 1e6:.0f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def ratio(ours: Result, theirs: Result) -> tuple[float, float, float]:
    """(median, least, most) of our cost over theirs, round by round: rounds of one number stood side by side."""
    pairs = sorted(a.cost / b.cost for a, b in zip(ours.rounds, theirs.rounds, strict=False) if b.cost)
    return (pairs[len(pairs) // 2], pairs[0], pairs[-1]) if pairs else (0.0, 0.0, 0.0)


def table(results: Sequence[Result]) -> str:
    """Markdown: one table for each case."""
    out: list[str] = []
    for name in dict.fromkeys(result.case for result in results):
        rows = [result for result in results if result.case == name]
        gate = next((row for row in rows if row.peer == "gate"), None)
        unit = rows[0].unit
        out += [
            f"### {name}: {CASES[name].about}\n",
            f"| stack | CPU us/{unit} (spread) | gate / it (spread) | {unit}s/s | p50 | p99 | core | PSS MiB | errors |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for row in rows:
            low, high = row.spread("cost")
            beside = "-"
            if gate is not None and row is not gate:
                beside = "{:.2f} ({:.2f}-{:.2f})".format(*ratio(gate, row))
            out.append(
                f"| {PEERS[row.peer].name} | {row.middle('cost') * 1e6:.1f} ({low * 1e6:.1f}-{high * 1e6:.1f}) | {beside} "
                f"| {row.middle('rate'):.0f} | {_time(row.middle('p50'))} | {_time(row.middle('p99'))} "
                f"| {row.middle('busy') * 100:.0f} % | {row.middle('memory') / 2**20:.1f} "
                f"| {sum(each.errors for each in row.rounds)} |"
            )
            more = {key for each in row.rounds for key in each.more}
            for key in sorted(more):
                values = [each.more[key] for each in row.rounds]
                out[-1] += f" {key} {sorted(values)[len(values) // 2]:.4f}"
        out.append("")
    return "\n".join(out)


def chart(results: Iterable[Result], cases: Sequence[str], title: str) -> str:
    """SVG: CPU of the whole stack for each unit, bars on a logarithmic scale."""
    rows = [result for result in results if result.case in cases]
    width, left, bar = 860, 250, 16
    height = 70 + sum(bar + 4 for _ in rows) + 30 * len(cases)
    lowest, highest = 10.0, 20000.0

    def place(value: float) -> float:
        from math import log10

        value = min(max(value, lowest), highest)
        return left + (width - left - 90) * (log10(value / lowest) / log10(highest / lowest))

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="12" y="22" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for mark in (10, 30, 100, 300, 1000, 3000, 10000):
        x = place(mark)
        out.append(f'<line x1="{x:.0f}" y1="34" x2="{x:.0f}" y2="{height - 24}" stroke="#ddd"/>')
        out.append(f'<text x="{x:.0f}" y="{height - 8}" text-anchor="middle" fill="#666">{mark} us</text>')
    y = 44
    for name in cases:
        mine = [row for row in rows if row.case == name]
        if not mine:
            continue
        out.append(f'<text x="12" y="{y + 12}" font-weight="bold">{escape(CASES[name].about)}</text>')
        y += 22
        for row in mine:
            cost = row.middle("cost") * 1e6
            end = place(cost)
            out.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{escape(PEERS[row.peer].name)}</text>')
            out.append(
                f'<rect x="{left}" y="{y}" width="{max(end - left, 1):.0f}" height="{bar}" fill="{_COLOURS[row.peer]}"/>'
            )
            out.append(f'<text x="{end + 6:.0f}" y="{y + 12}">{cost:.0f}</text>')
            y += bar + 4
        y += 8
    out.append("</svg>")
    return "\n".join(out) + "\n"
