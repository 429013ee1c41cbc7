"""The ladder over several training seeds: runs recipes/tiny/run.sh for each and writes the README's table.

    python benchmarks/ladder.py --seeds 0 1 2        (about 15 minutes a seed on 2 cores)

Every figure is the mean over the seeds and, after it, the range from the least to the greatest; times are the
fastest seed's, since others may have shared the machine with something else. A run that is there already is
not made again. The table goes between the marks in recipes/tiny/README.md and README.md.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = (ROOT / "recipes/tiny/README.md", ROOT / "README.md")
BEGIN, END = "<!-- ladder -->", "<!-- /ladder -->"


def figure(values: list[float], percent: bool = True) -> str:
    """Return "mean (least-greatest)" of the seeds' values, of one seed the value."""
    if any(v is None for v in values):
        return "-"
    scale, digits = (100, 1) if percent else (1, 1)
    if len(values) == 1:
        return f"{scale * values[0]:.{digits}f}"
    mean, low, high = (scale * v for v in (sum(values) / len(values), min(values), max(values)))
    return f"{mean:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def markdown(ladders: list[list[dict]], minutes: list[float]) -> str:
    """Return the table over the seeds' ladders, with the machine and the sizes."""
    titles = "| model | arithmetic | facts | code | thinking | format | language | tokens | tokens, facts | seconds |"
    lines = [titles, "|" + " --- |" * 10]
    for rungs in zip(*ladders, strict=True):
        cells = [rungs[0]["model"]]
        cells += [figure([r["accuracy"][d] for r in rungs]) for d in ("arithmetic", "facts", "code")]
        cells += [figure([r[k] for r in rungs]) for k in ("thinking", "format", "language_consistency")]
        cells.append(figure([r["tokens"] for r in rungs], percent=False))
        cells.append(figure([r["statistics"]["domains"]["facts"]["tokens"] for r in rungs], percent=False))
        seconds = [r["seconds"] for r in rungs]
        cells.append("-" if None in seconds else f"{min(seconds):.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    questions = ladders[0][0]["statistics"]["questions"]
    samples = ladders[0][0]["statistics"]["samples"]
    note = (
        f"{len(ladders)} training seed(s) from the shipped bases: mean (least-greatest). "
        f"{questions} held-out questions, {samples} answers a model, T 0.6; shares in percent. "
        f"Seconds are the fastest seed's; the whole chain took {min(minutes):.1f} minutes then, on {processor()}, "
        f"{os.cpu_count()} cores, no GPU. Made by `python benchmarks/ladder.py`."
    )
    return "\n".join([*lines, "", note])


def with_r1kit() -> dict[str, str]:
    """Return the environment in which scripts find the `r1kit` of this Python."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def processor() -> str:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", default="runs/seeds")
    options = parser.parse_args()
    ladders, minutes = [], []
    for seed in options.seeds:
        out = Path(options.output) / str(seed)
        clock = out / "minutes"
        if not clock.exists():
            started = time.time()
            script = ["bash", str(ROOT / "recipes/tiny/run.sh"), str(out), str(seed)]
            subprocess.run(script, check=True, env=with_r1kit())
            clock.write_text(f"{(time.time() - started) / 60:.2f}")
        minutes.append(float(clock.read_text()))
        ladders.append(json.loads((out / "ladder.json").read_text())["models"])
    table = markdown(ladders, minutes)
    print(table)
    for file in FILES:
        text = file.read_text()
        head, _, rest = text.partition(BEGIN)
        _, _, tail = rest.partition(END)
        file.write_text(f"{head}{BEGIN}\n\n{table}\n\n{END}{tail}")


if __name__ == "__main__":
    main()
