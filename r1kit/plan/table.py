"""Print a plan, and the totals of a chain, as text."""

from collections.abc import Sequence

from r1kit.plan.result import StagePlan
from r1kit.plan.time import ERROR
from r1kit.tables import Cell, format_table

GIB = 2**30


def format_plan(plan: StagePlan) -> str:
    """Return the plan of one stage, several lines."""
    lines = [f"plan: {plan.stage}, {plan.name}"]
    if plan.model:
        lines.append(f"model: {plan.model}")
    if plan.launch:
        lines.append(f"hardware: {plan.hardware}, {plan.launch}")
    lines.append(f"work: {plan.work}")
    if plan.memory:
        lines += ["", *_memory_lines(plan)]
    facts = _fact_lines(plan)
    if facts:
        lines += ["", *facts]
    lines += [f"note: {note}" for note in plan.notes]
    return "\n".join(lines)


def describe_memory(plan: StagePlan) -> str:
    """Return the memory of a device in one line, what is largest first: `17.0 GiB at the peak = 8.0 weights + ...`."""
    sizes = sorted(plan.memory.items(), key=lambda item: -item[1])
    texts = [f"{_gib(value)} {name}" for name, value in sizes if value >= 0.005 * GIB]
    return f"{_gib(plan.peak)} GiB on each device at the peak, {plan.moment}" + (
        f" = {' + '.join(texts)}" if texts else ""
    )


def _gib(value: float) -> str:
    return f"{value / GIB:,.1f}" if value >= GIB else f"{value / GIB:,.2f}"


def _memory_lines(plan: StagePlan) -> list[str]:
    rows: list[list[Cell]] = []
    for name, value in plan.memory.items():
        if value >= 2**20:
            rows.append([name, _gib(value)])
    verdict = "fits" if plan.fits else "does not fit"
    rows.append(["peak", _gib(plan.peak)])
    table = format_table(["memory of a device", "GiB"], rows, right=["GiB"])
    memory = plan.hardware.device.memory
    limit = f"{plan.moment}, of {_gib(memory)} GiB, of which {_gib(plan.limit)} may be used: {verdict}"
    lines = [*table.splitlines(), limit]
    if plan.cache:
        lines.append(plan.cache)
    if plan.longest_sequences is not None and plan.longest_sequences < 1:
        lines.append("the cache does not hold one sequence of the largest length: does not fit")
    if plan.changes:
        lines.append("each of these makes it fit, the smallest change first:")
        lines += [f"    {change}" for change in plan.changes]
    elif not plan.fits:
        lines.append("no single setting makes it fit: take more or larger GPUs")
    return lines


def _fact_lines(plan: StagePlan) -> list[str]:
    lines = []
    if plan.host_memory:
        lines.append(f"host memory: {_gib(plan.host_memory)} GiB on each node, while the model is loaded")
    if plan.disk and sum(plan.disk.values()) >= 2**20:
        sizes = " + ".join(f"{_gib(value)} {name}" for name, value in plan.disk.items() if value >= 2**20)
        lines.append(f"disk: {_gib(sum(plan.disk.values()))} GiB = {sizes}")
    if plan.tokens:
        lines.append("tokens: " + ", ".join(f"{_count(value)} {name}" for name, value in plan.tokens.items()))
    if plan.seconds:
        low, high = plan.hours_range
        most = max(plan.most_seconds / 3600, plan.hours)
        lines.append(
            f"time: {format_hours(plan.hours)} ({format_hours(low)} to {format_hours(high)}: the formula is off by up "
            f"to {ERROR:.0%}); {format_hours(most)} if all are as long as they may be"
        )
        if len(plan.seconds) > 1:
            shares = ", ".join(f"{name} {format_hours(value / 3600)}" for name, value in plan.seconds.items())
            lines.append(f"hours by work: {shares}")
        lines.append(f"bottleneck: {plan.bottleneck}")
        if plan.price is not None:
            money = f"{plan.money(plan.hours):,.0f} ({plan.money(low):,.0f} to {plan.money(high):,.0f})"
            lines.append(f"money: {money} at {plan.price:g} an hour for each device")
    return lines


def _count(value: float) -> str:
    for size, name in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if value >= size:
            return f"{value / size:,.1f} {name}"
    return f"{value:,.0f}"


def format_hours(hours: float) -> str:
    """Return a time in the unit that suits it: 45 s, 12 min, 3.5 h or 4.2 days."""
    if hours < 1 / 30:
        return f"{hours * 3600:,.0f} s"
    if hours < 2:
        return f"{hours * 60:,.0f} min"
    return f"{hours:,.1f} h" if hours < 72 else f"{hours / 24:,.1f} days"


def format_chain(plans: Sequence[StagePlan]) -> str:
    """Return the table of all stages of a chain, with the totals in its last line."""
    has_price = any(plan.price is not None for plan in plans)
    headers = ["stage", "run", "peak GiB", "fits", "host GiB", "disk GiB", "tokens", "time"]
    headers += ["money"] if has_price else []
    rows: list[list[Cell]] = []
    for plan in plans:
        fits = ("yes" if plan.fits else "NO") if plan.memory else "-"
        tokens = _count(sum(plan.tokens.values())) if plan.tokens else "-"
        row: list[Cell] = [plan.stage, plan.name, _gib(plan.peak) if plan.memory else "-", fits]
        row += [_gib(plan.host_memory) if plan.host_memory else "-", _disk(plan), tokens]
        row.append(format_hours(plan.hours) if plan.seconds else "-")
        rows.append(row + ([f"{plan.money(plan.hours):,.0f}"] if has_price else []))
    low, high = (sum(plan.hours_range[index] for plan in plans) for index in (0, 1))
    hours = sum(plan.hours for plan in plans)
    total: list[Cell] = ["total", "", _gib(max((plan.peak for plan in plans), default=0.0))]
    total.append("yes" if all(plan.fits for plan in plans if plan.memory) else "NO")
    total.append(_gib(max((plan.host_memory for plan in plans), default=0.0)))
    total.append(f"{sum(sum(plan.disk.values()) for plan in plans) / GIB:,.1f}")
    total += [_count(sum(sum(plan.tokens.values()) for plan in plans)), format_hours(hours)]
    if has_price:
        total.append(f"{sum(plan.money(plan.hours) for plan in plans):,.0f}")
    rows.append(total)
    table = format_table(headers, rows, right=headers[2:])
    return f"{table}\n\ntime: {format_hours(hours)} in all, between {format_hours(low)} and {format_hours(high)}"


def _disk(plan: StagePlan) -> str:
    total = sum(plan.disk.values())
    return f"{total / GIB:,.1f}" if total >= GIB / 20 else "-"
