"""Rows a second and peak memory of `r1kit generate`: client, verifier, filters and writer, against a loopback server.

    python benchmarks/data_engine.py [--rows 20000 200000]

The server (tests/loopback.py) answers at once, in a process of its own on one of the cores, so that everything else is
what is measured. Each row: one request, math verified, format and language scored, seven filters, two Parquet writes.
Memory is the peak of the r1kit process; it must not grow with the rows.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from servers import loopback  # noqa: E402


def problems(path: Path, count: int) -> None:
    """Write `count` different sums."""
    with open(path, "w") as file:
        for n in range(count):
            a, b = n % 1000 + 100, n // 1000 + 1000
            row = {"prompt": f"What is {a} + {b}? Think first.", "answer": str(a + b), "domain": "sums"}
            file.write(json.dumps(row) + "\n")


def recipe(folder: Path, url: str) -> Path:
    """Write the recipe."""
    path = folder / "recipe.yaml"
    path.write_text(
        f"""
        output: {folder}/run
        model: {{path: loopback}}
        data: {{train: {folder}/problems.jsonl}}
        sampling: {{engine: openai, samples: 1, batch_size: 500, server: {{urls: {url}, concurrency: 64}}}}
        keep: {{language: 0.5, max_repetition: 0.9, max_paragraph: 2000, code_blocks: false, max_tokens: 1000}}
        """
    )
    return path


def measure(count: int) -> dict[str, float]:
    """Generate `count` rows and return the seconds and the peak memory in MiB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        problems(folder / "problems.jsonl", count)
        with loopback(folder, count=False, wrong=0.1) as url:
            line = [sys.executable, "-m", "r1kit.cli", "generate", str(recipe(folder, url))]
            started = time.perf_counter()
            process = subprocess.Popen(line, env={**os.environ, "HF_DATASETS_CACHE": f"{name}/cache"})
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
        assert status == 0
        info = json.loads((folder / "run/run.json").read_text())
        size = sum(p.stat().st_size for p in (folder / "run").rglob("*.parquet")) / 2**20
        return {
            "rows": count,
            "seconds": seconds,
            "rows_a_second": count / seconds,
            "peak_mib": usage.ru_maxrss / 1024,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "kept": info["rows"],
            "parquet_mib": size,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    found = [measure(count) for count in options.rows]
    print("| rows | kept | seconds | rows a second | CPU seconds | peak MiB | Parquet MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for f in found:
        print(f"| {f['rows']} | {f['kept']} | {f['seconds']:.0f} | {f['rows_a_second']:.0f} | {f['cpu_seconds']:.0f} "
              f"| {f['peak_mib']:.0f} | {f['parquet_mib']:.0f} |")  # fmt: skip
    first, last = found[0], found[-1]
    times = last["rows"] / first["rows"]
    print(f"\npeak memory {last['peak_mib'] / first['peak_mib']:.2f} times at {times:g} times the rows")
    print(f"800,000 rows at the last rate: {800_000 / last['rows_a_second'] / 60:.0f} minutes")
    if options.output:
        options.output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
