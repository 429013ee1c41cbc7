"""Rows a second and peak memory of `r1kit generate` (client, checker, filters, writer) against a loopback server.

    python benchmarks/data_engine.py [--rows 20000 200000]

The server (tests/loopback.py) answers at once, in a process of its own on one of the cores, so that r1kit itself is
measured. Each row: one request, math verified, format and language scored, seven filters, two Parquet writes.
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
from servers import loopback_server  # noqa: E402


def write_problems(path: Path, count: int) -> None:
    """Write `count` different sums."""
    with open(path, "w") as file:
        for n in range(count):
            a, b = n % 1000 + 100, n // 1000 + 1000
            row = {"prompt": f"What is {a} + {b}? Think first.", "answer": str(a + b), "domain": "sums"}
            file.write(json.dumps(row) + "\n")


def write_recipe(folder: Path, url: str) -> Path:
    """Write the recipe, and return its path."""
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


def measure_generate(count: int) -> dict[str, float]:
    """Generate `count` rows and return the seconds and the peak memory in MiB."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_problems(folder / "problems.jsonl", count)
        with loopback_server(folder, counts_answers=False, wrong_fraction=0.1) as url:
            command = [sys.executable, "-m", "r1kit.cli", "generate", str(write_recipe(folder, url))]
            started = time.perf_counter()
            process = subprocess.Popen(command, env={**os.environ, "HF_DATASETS_CACHE": f"{name}/cache"})
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
    measurements = [measure_generate(count) for count in options.rows]
    print("| rows | kept | seconds | rows a second | CPU seconds | peak MiB | Parquet MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for row in measurements:
        columns = ("rows", "kept", "seconds", "rows_a_second", "cpu_seconds", "peak_mib", "parquet_mib")
        print("| " + " | ".join(f"{row[column]:.0f}" for column in columns) + " |")
    first, last = measurements[0], measurements[-1]
    row_ratio = last["rows"] / first["rows"]
    print(f"\npeak memory {last['peak_mib'] / first['peak_mib']:.2f} times at {row_ratio:g} times the rows")
    print(f"800,000 rows at the last rate: {800_000 / last['rows_a_second'] / 60:.0f} minutes")
    if options.output:
        options.output.write_text(json.dumps(measurements, indent=2) + "\n")


if __name__ == "__main__":
    main()
