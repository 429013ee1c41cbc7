"""The reward `judge` on a real language model: how often its verdict can be read, and how often it is right.

    python recipes/smollm2-135m/fetch.py runs/smollm2
    python benchmarks/judge.py runs/smollm2 [--questions 12]

`transformers serve` serves the model on this machine. Each question is about a capital, and has the right answer and a
wrong one; the judge grades both in each mode. A coin orders half of the pairs rightly.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from servers import free_port, model_server  # noqa: E402

from r1kit.errors import UserError  # noqa: E402
from r1kit.rewards import FAULT, judge  # noqa: E402

CAPITALS = {
    "France": "Paris",
    "Italy": "Rome",
    "Spain": "Madrid",
    "Germany": "Berlin",
    "Japan": "Tokyo",
    "China": "Beijing",
    "Egypt": "Cairo",
    "Greece": "Athens",
    "Russia": "Moscow",
    "Poland": "Warsaw",
    "Austria": "Vienna",
    "Ireland": "Dublin",
}
RUBRIC = "The right answer gets the highest score, a wrong answer the lowest."
MODES = ("pointwise", "pairwise", "groupwise")


def main() -> None:
    """Print a line for each mode."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--questions", type=int, default=len(CAPITALS))
    arguments = parser.parse_args()
    port = free_port()
    command = [str(Path(sys.executable).parent / "transformers"), "serve", "--port", str(port), "--device", "cpu"]
    with (
        tempfile.TemporaryDirectory() as folder,
        model_server([*command, arguments.model], port, Path(folder) / "log") as url,
    ):
        for mode in MODES:
            measure_mode(mode, arguments.model, url, arguments.questions)


def measure_mode(mode: str, model: str, url: str, count: int) -> None:
    """Have the judge grade the right and a wrong answer to each question, and print what came of it."""
    countries = list(CAPITALS)[:count]
    prompts, completions = [], []
    for i, country in enumerate(countries):
        prompts += [f"What is the capital of {country}?"] * 2
        wrong = CAPITALS[countries[(i + 1) % len(countries)]]
        completions += [f"The capital of {country} is {CAPITALS[country]}.", f"The capital of {country} is {wrong}."]
    started = time.perf_counter()
    server = {"urls": url, "concurrency": 4}
    try:
        rewards = judge(completions, prompts, model=model, rubric=RUBRIC, mode=mode, server=server, max_tokens=64)
    except UserError as error:  # not one verdict in three calls
        print(f"{mode}: {error}")
        return
    seconds = time.perf_counter() - started
    with_verdict = sum(reward != FAULT for reward in rewards)
    pairs = [pair for pair in zip(rewards[::2], rewards[1::2], strict=True) if FAULT not in pair]
    right, ties = sum(better > worse for better, worse in pairs), sum(better == worse for better, worse in pairs)
    print(
        f"{mode}: {with_verdict} of {len(rewards)} completions have a verdict; of {len(pairs)} pairs {right} are "
        f"ordered rightly, {ties} are ties; {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
