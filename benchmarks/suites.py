"""Run four public benchmarks whole, by name, against a server on the loopback whose answers are known beforehand.

    python benchmarks/suites.py DATA_FOLDER [--only gsm8k]

DATA_FOLDER has math500.jsonl, aime24.jsonl, gsm8k_test.jsonl and mmlu_stem.jsonl as their publishers have them. Every
third question of a set is answered wrongly, of AIME every third sample too, so that each figure is known as a
fraction; the script fails if `r1kit eval --suite` reports another one, and prints what each set took.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from helpers import r1kit  # noqa: E402
from servers import loopback_server  # noqa: E402

FILES = {
    "math500": "math500.jsonl",
    "aime24": "aime24.jsonl",
    "gsm8k": "gsm8k_test.jsonl",
    "mmlu-stem": "mmlu_stem.jsonl",
}
AIME_SAMPLES = 64
LETTERS = "ABCDEFGHIJ"
WRONG_NUMBER = "\\boxed{-77777}"


def read_questions(name: str, file: Path) -> list[tuple[str, str, str]]:
    """Return of each row the text that its prompt has, a right completion and a wrong one."""
    questions = []
    for line in file.read_text().strip().split("\n"):
        row = json.loads(line)
        if name == "mmlu-stem":
            choices = [f"{letter}. {text.strip()}" for letter, text in zip(LETTERS, row["choices"], strict=False)]
            text = "\n".join([row["question"].strip(), "", *choices])
            wrong = (row["answer"] + 1) % len(choices)
            questions.append((text, f"Answer: {LETTERS[row['answer']]}", f"Answer: {LETTERS[wrong]}"))
        else:
            gold = row["answer"].rsplit("####", 1)[-1].strip()
            text = row["question"] if name == "gsm8k" else row["problem"]
            questions.append((text.strip(), f"So it is \\boxed{{{gold}}}.", f"So it is {WRONG_NUMBER}."))
    return questions


def write_script(name: str, questions: list[tuple[str, str, str]], file: Path) -> dict[str, float]:
    """Write the server's answers, and return the figures that they make: of each metric its fraction."""
    script: dict[str, list[str]] = defaultdict(list)
    right = 0
    for number, (text, right_text, wrong_text) in enumerate(questions):
        if name == "aime24":
            # One sample in three is wrong, of every third question two in three: its vote is wrong, too.
            wrong_remainders = (0, 1) if number % 3 == 0 else (0,)
            samples = [wrong_text if i % 3 in wrong_remainders else right_text for i in range(AIME_SAMPLES)]
        else:
            samples = [wrong_text if number % 3 == 0 else right_text]
        script[text] += samples
        right += samples.count(right_text)
    file.write_text(json.dumps(script))
    is_aime = name == "aime24"
    figures = {"pass@1": right / len(questions) / (AIME_SAMPLES if is_aime else 1)}
    if is_aime:
        figures["cons@k"] = sum(number % 3 != 0 for number in range(len(questions))) / len(questions)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=FILES, help="run this set alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for benchmark, file in FILES.items():
            if options.only not in (None, benchmark):
                continue
            questions = read_questions(benchmark, options.data / file)
            expected = write_script(benchmark, questions, folder / "script.json")
            started = time.perf_counter()
            with loopback_server(folder, script=str(folder / "script.json"), counts_answers=False) as url:
                run = folder / benchmark
                suite = f"{benchmark}={options.data / file}"
                settings = ["sampling.engine=openai", f"sampling.server.urls={url}", "sampling.server.retries=0"]
                r1kit("eval", "scripted", "--suite", suite, "--output", run, *settings)
            seconds = time.perf_counter() - started
            figures = {figure["metric"]: figure for figure in json.loads((run / "eval.json").read_text())["suite"]}
            for metric, score in expected.items():
                measured = figures[metric]["score"]
                questions_and_k = f"{figures[metric]['questions']} questions x {figures[metric]['samples']}"
                print(f"{benchmark} {metric}: {measured:.6f}, expected {score:.6f}; {questions_and_k}, {seconds:.1f} s")
                assert abs(measured - score) < 1e-12, f"{benchmark} {metric} differs"


if __name__ == "__main__":
    main()
