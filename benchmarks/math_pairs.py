r"""r1kit's math verdicts beside TRL's `accuracy_reward`, over tests/data/math_pairs.jsonl.

    python benchmarks/math_pairs.py [--pairs FILE] [--limit 20]

Both sides get the same pairs. TRL gets them in the form that it expects: the gold answer in $ signs and the answer in
\boxed{}, except for a sentence that has a box or $ signs of its own. Each side runs in a process of its own, once in
the main thread and once in another. A pair that takes a side more than --limit seconds is killed and counts as wrong.
Choices have no counterpart in TRL and are counted apart. Where TRL returns None (a gold answer that it cannot parse),
that is not right. Times are those of the slowest pair that ended.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

PAIRS = Path(__file__).parent.parent / "tests/data/math_pairs.jsonl"


def r1kit() -> Callable[[str, str], bool]:
    from r1kit.answers.workers import verify_answer

    return lambda gold, answer: verify_answer(gold, answer).value == "right"


def trl() -> Callable[[str, str], bool]:
    from trl.rewards import accuracy_reward

    def is_right(gold: str, answer: str) -> bool:
        gold = gold if "$" in gold else f"${gold}$"
        bare = answer.strip().removeprefix("$").removesuffix("$") if answer.count("$") == 2 else answer
        completion = answer if "\\boxed" in bare or "$" in bare else f"\\boxed{{{bare}}}"
        return accuracy_reward([[{"role": "assistant", "content": completion}]], [gold])[0] == 1.0

    return is_right


SIDES = {"r1kit": r1kit, "trl": trl}


def serve(side: str, thread: str) -> None:
    """Answer (gold, answer) lines on stdin with [right, seconds] lines on stdout."""
    is_right = SIDES[side]()
    is_right("x+1", "1+x")
    out, sys.stdout = sys.stdout, sys.stderr

    def loop() -> None:
        print("ready", file=out, flush=True)
        for line in sys.stdin:
            start = time.perf_counter()
            verdict = is_right(*json.loads(line))
            print(json.dumps([verdict, time.perf_counter() - start]), file=out, flush=True)

    if thread == "main":
        loop()
    else:
        thread_of_loop = threading.Thread(target=loop)
        thread_of_loop.start()
        thread_of_loop.join()


class Side:
    """A process that judges pairs, one at a time; it is started again after it was killed."""

    def __init__(self, side: str, thread: str):
        self.command = [sys.executable, __file__, "--serve", side, "--thread", thread]
        self.process: subprocess.Popen[str] | None = None

    def judge(self, gold: str, answer: str, limit: float) -> tuple[bool, float | None]:
        """Return whether the side calls a pair right, and its seconds; None where it was killed or died."""
        if self.process is None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
            self.process = subprocess.Popen(self.command, text=True, **pipes)  # type: ignore[call-overload]
            assert self.process.stdout.readline() == "ready\n"
        process = self.process
        process.stdin.write(json.dumps([gold, answer]) + "\n")
        process.stdin.flush()
        killer = threading.Timer(limit, process.kill)
        killer.start()
        line = process.stdout.readline()
        killer.cancel()
        if not line:
            process.wait()
            self.process = None
            return False, None
        is_right, seconds = json.loads(line)
        return is_right, seconds

    def close(self) -> None:
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()


def measure(side: str, thread: str, rows: list[dict], limit: float) -> list[tuple[bool, float | None]]:
    """Return a side's verdict on each row, and how long it took."""
    judge = Side(side, thread)
    verdicts = [judge.judge(row["gold"], row["answer"], limit) for row in rows]
    judge.close()
    return verdicts


def format_line(name: str, rows: list[dict], verdicts: list[tuple[bool, float | None]]) -> str:
    """Return a side's row of the table."""
    agreed = sum(right == row["expected"] for row, (right, _) in zip(rows, verdicts, strict=True))
    false_right = sum(right and not row["expected"] for row, (right, _) in zip(rows, verdicts, strict=True))
    false_wrong = sum(row["expected"] and not right for row, (right, _) in zip(rows, verdicts, strict=True))
    times = [seconds for _, seconds in verdicts if seconds is not None]
    slowest = max(range(len(rows)), key=lambda i: verdicts[i][1] or 0)
    pair = f"`{rows[slowest]['gold'][:30]}` / `{rows[slowest]['answer'][:40]}`"
    return (
        f"| {name} | {agreed}/{len(rows)} ({100 * agreed / len(rows):.1f}%) | {false_right} | {false_wrong} | "
        f"{len(verdicts) - len(times)} | {sum(times):.0f} | {max(times):.2f} {pair} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, default=PAIRS)
    parser.add_argument("--limit", type=float, default=20.0)
    parser.add_argument("--show", action="store_true", help="print each disagreement of r1kit's")
    parser.add_argument("--serve", choices=SIDES)
    parser.add_argument("--thread", choices=["main", "other"], default="main")
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve, options.thread)
    rows = [json.loads(text) for text in options.pairs.read_text().splitlines()]
    math = [row for row in rows if row["checker"] == "math"]
    print("| side, thread | agreement | wrong called right | right called wrong | killed | seconds | slowest pair |")
    print("|" + " --- |" * 7)
    for side in SIDES:
        for thread in ("main", "other"):
            verdicts = measure(side, thread, math, options.limit)
            print(format_line(f"{side}, {thread}", math, verdicts), flush=True)
            for row, (right, _) in zip(math, verdicts, strict=True):
                if options.show and side == "r1kit" and right != row["expected"]:
                    print(f"  {row}")
    from r1kit.answers.text_match import same_choice

    choices = [row for row in rows if row["checker"] == "choice"]
    agreed = sum(same_choice(row["gold"], row["answer"]) == row["expected"] for row in choices)
    print(f"\nr1kit's choices: {agreed}/{len(choices)}")


if __name__ == "__main__":
    main()
