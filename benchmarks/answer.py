"""Compare what `r1kit eval` promises of each method with what `r1kit answer` gives on new questions.

    python benchmarks/answer.py runs/tiny/distill [--folder runs/answers] [--questions 100]

It trains a verifier of the model and measures inference-time scaling on 300 questions, as recipes/tiny/verifier.yaml
and recipes/tiny/scaling.yaml do. Then it answers questions that none of these had, once for each recommended method
(by its budget of tokens), scores the answers with `r1kit rewards`, and prints accuracy and tokens beside those that
were promised. `--json FILE` keeps the figures.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from r1kit.data.world.questions import world_rows
from r1kit.scaling.estimators import bootstrap_interval

RECIPES = Path(__file__).parent.parent / "recipes" / "tiny"
NEW_QUESTIONS_SEED = 2026
DRAWS_PER_QUESTION = 20
"""Questions drawn for each that is needed, since the test split is small and most were in the measurement."""


def run_r1kit(*arguments: str) -> str:
    """Run a command of r1kit in this environment, and return its stdout."""
    command = [str(Path(sys.executable).with_name("r1kit")), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def measure(model: str, folder: Path) -> Path:
    """Train a verifier and measure inference-time scaling; return the eval run. Finished runs are not repeated."""
    words = (f"model.path={model}", f"output={folder / 'verifier'}")
    verifier = run_r1kit("verifier", str(RECIPES / "verifier.yaml"), *words)
    words = (f"model.path={model}", f"output={folder / 'scaling'}", f"scaling.verifier={verifier}")
    return Path(run_r1kit("eval", str(RECIPES / "scaling.yaml"), *words))


def write_new_questions(scaling_run: Path, folder: Path, count: int) -> Path:
    """Write held-out questions that the measurement did not have, with their gold answers for the scoring."""
    import pyarrow.parquet as pq

    measured: set[str] = set()
    for file in scaling_run.glob("samples/*/shard-*.parquet"):
        measured.update(pq.read_table(file, columns=["prompt"]).column("prompt").to_pylist())
    questions = {}
    for row in world_rows("arithmetic", "test", count * DRAWS_PER_QUESTION, NEW_QUESTIONS_SEED):
        if row["prompt"] not in measured:
            questions[row["prompt"]] = {"prompt": row["prompt"], "answer": row["answer"], "checker": "math"}
    chosen = list(questions.values())[:count]
    file = folder / "questions.jsonl"
    file.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in chosen))
    return file


def answer(model: str, questions: Path, scaling_run: Path, promise: dict[str, Any]) -> dict[str, Any]:
    """Answer the questions within the tokens that a method was measured at; return accuracy and tokens."""
    output = questions.with_name(f"{promise['method']}.jsonl")
    # The budget is written with all digits: a method costs exactly as much as was measured of it.
    options = ("--budget", repr(promise["tokens"]), "--scaling", str(scaling_run), "-o", str(output))
    run_r1kit("answer", model, str(questions), *options)
    scored = output.with_suffix(".scored.jsonl")
    run_r1kit("rewards", str(output), "--rewards", "accuracy", "-o", str(scored))
    rows = [json.loads(line) for line in scored.read_text().splitlines()]
    assert {row["method"] for row in rows} == {promise["method"]}
    correct = np.array([row["accuracy"] for row in rows], float)
    low, high = bootstrap_interval(correct)
    tokens = float(np.mean([row["tokens"] for row in rows]))
    return {"accuracy": float(correct.mean()), "low": low, "high": high, "tokens": tokens, "questions": len(rows)}


def percent(figures: dict[str, Any]) -> str:
    """Return an accuracy with its interval, in percent."""
    return f"{100 * figures['accuracy']:.1f} ({100 * figures['low']:.1f} to {100 * figures['high']:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--folder", type=Path, default=Path("runs/answers"))
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    scaling_run = measure(options.model, options.folder)
    questions = write_new_questions(scaling_run, options.folder, options.questions)
    [model] = json.loads((scaling_run / "scaling.json").read_text())["models"]
    results = []
    print("| method | promised, % | answered, % | tokens promised | tokens spent |")
    print("| --- | --- | --- | --- | --- |")
    for promise in model["recommended"]:
        answered = answer(options.model, questions, scaling_run, promise)
        results.append({"promised": promise, "answered": answered})
        cells = (promise["method"], percent(promise), percent(answered))
        print(f"| {' | '.join(cells)} | {promise['tokens']:.1f} | {answered['tokens']:.1f} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
