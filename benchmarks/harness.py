"""Ask one server the same set through lm-evaluation-harness and through r1kit, and explain each row where they differ.

    python benchmarks/harness.py gsm8k_test.jsonl gsm8k_train.jsonl [--rows 1319]

Needs an environment that has both r1kit and lm-eval (`pip install lm-eval`). The server on the loopback gives the same
completion for a question whoever asks; completions take turns through the forms below, so that it is known of each row
by which rule a program may judge it differently. A row that differs for another reason fails the script.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lm_eval
import pyarrow.parquet as pq
import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from helpers import r1kit  # noqa: E402
from servers import loopback_server  # noqa: E402

from r1kit.suites.benchmark import BOXED  # noqa: E402

# A completion by its gold answer, and whether a person takes its answer for right.
FORMS = {
    "#### 18": ("Step by step we get {gold}.\n#### {gold}", True),
    "box": ("So the total is \\boxed{{{gold}}}.", True),
    "phrase": ("Adding up, the answer is {gold}.", True),
    "dollars and cents": ("The answer is ${gold}.00.", True),
    "a number behind the answer": ("The answer is {gold}. I needed 3 steps.", True),
    "an equation at the end": ("The answer is {gold} = 2 * {half}.", True),
    "in words alone": ("I cannot tell.", False),
    "wrong": ("Step by step we get -77777.\n#### -77777", False),
    "taken back": ("#### {gold}\nWait, that is wrong. The answer is -77777.", False),
}
# Why one of lm-evaluation-harness's two filters judges a form differently from r1kit.
REASONS = {
    ("box", "strict-match"): "strict-match reads only `#### N`",
    ("phrase", "strict-match"): "strict-match reads only `#### N`",
    ("dollars and cents", "strict-match"): "strict-match reads only `#### N`",
    ("dollars and cents", "flexible-extract"): "texts are compared: 18.00 is not 18",
    ("a number behind the answer", "strict-match"): "strict-match reads only `#### N`",
    ("a number behind the answer", "flexible-extract"): "flexible-extract takes the last number of the text",
    ("an equation at the end", "strict-match"): "strict-match reads only `#### N`",
    ("an equation at the end", "flexible-extract"): "flexible-extract takes the last number of the text",
    ("taken back", "strict-match"): "strict-match takes the first `#### N`, though the reply takes it back",
}
FILTERS = ("strict-match", "flexible-extract")


def write_script(rows: list[dict[str, Any]], file: Path) -> dict[str, str]:
    """Write the server's completions, and return the form of each question's."""
    script, form_of_question = {}, {}
    for number, row in enumerate(rows):
        form = list(FORMS)[number % len(FORMS)]
        gold = row["answer"].rsplit("####", 1)[1].strip().replace(",", "")
        half = float(gold) / 2
        script[row["question"]] = [FORMS[form][0].format(gold=gold, half=half)]
        form_of_question[row["question"]] = form
    file.write_text(json.dumps(script))
    return form_of_question


def write_task(folder: Path, test: Path, train: Path) -> None:
    """Write lm-evaluation-harness's own task gsm8k with the local files in the place of the set on the hub."""
    task = yaml.safe_load((Path(lm_eval.__file__).parent / "tasks/gsm8k/gsm8k.yaml").read_text())
    task |= {"task": "gsm8k", "dataset_path": "json", "dataset_name": None, "tag": None}
    task["dataset_kwargs"] = {"data_files": {"train": str(train), "test": str(test)}}
    (folder / "gsm8k.yaml").write_text(yaml.safe_dump(task))


def run_harness(folder: Path, url: str) -> tuple[Path, dict[str, dict[str, float]]]:
    """Return the result file of lm-evaluation-harness, and the verdict of each filter on each question."""
    arguments = f"model=scripted,base_url={url}/completions,num_concurrent=16,tokenizer_backend=None"
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "local-completions", "--model_args", arguments]
    command += ["--tasks", "gsm8k", "--include_path", str(folder), "--output_path", str(folder / "results")]
    subprocess.run([*command, "--log_samples"], check=True, stdout=sys.stderr)
    result_file = next((folder / "results").rglob("results_*.json"))
    verdicts: dict[str, dict[str, float]] = {name: {} for name in FILTERS}
    sample_file = next((folder / "results").rglob("samples_*.jsonl"))
    for line in sample_file.read_text().strip().split("\n"):  # texts have separators that splitlines would take
        sample = json.loads(line)
        verdicts[sample["filter"]][sample["doc"]["question"]] = sample["exact_match"]
    return result_file, verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("test", type=Path)
    parser.add_argument("train", type=Path)
    parser.add_argument("--rows", type=int, help="use this many rows of the test set; default: all")
    options = parser.parse_args()
    lines = options.test.read_text().strip().split("\n")[: options.rows]
    rows = [json.loads(line) for line in lines]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        test = folder / "test.jsonl"
        test.write_text("\n".join(lines) + "\n")
        form_of_question = write_script(rows, folder / "script.json")
        write_task(folder, test, options.train.resolve())
        with loopback_server(folder, script=str(folder / "script.json"), counts_answers=False) as url:
            result_file, harness = run_harness(folder, url)
            settings = ["sampling.engine=openai", f"sampling.server.urls={url}", "sampling.server.endpoint=completions"]
            settings += ["prompt.template={prompt}", "sampling.temperature=0", "sampling.top_p=1"]
            run = folder / "run"
            read = ["--read", result_file]
            _, text = r1kit("eval", "scripted", "--suite", f"gsm8k={test}", *read, "--output", run, *settings)
        own = read_verdicts(run, form_of_question)
        compare(form_of_question, own, harness)
        print("\n".join(line for line in text.splitlines() if line.startswith(("benchmark", "gsm8k"))))


def read_verdicts(run: Path, questions: dict[str, str]) -> dict[str, bool]:
    """Return r1kit's verdict on each question."""
    question_of_text = {question.strip(): question for question in questions}
    verdicts = {}
    for file in sorted((run / "samples").rglob("*.parquet")):
        for row in pq.read_table(file).to_pylist():
            verdicts[question_of_text[row["prompt"].removesuffix(BOXED.replace("{question}", ""))]] = row["correct"]
    return verdicts


def compare(forms: dict[str, str], own: dict[str, bool], harness: dict[str, dict[str, float]]) -> None:
    """Print how many rows of each form the programs judge alike, and why others differ. Fails for another reason."""
    print(f"lm-eval {version('lm-eval')}, {len(forms)} questions, one completion each, the same for both programs")
    wrong = sum(own[question] != FORMS[form][1] for question, form in forms.items())
    print(f"r1kit judges {len(forms) - wrong} of {len(forms)} as a person does")
    for filter_name in FILTERS:
        verdicts = harness[filter_name]
        differing = [question for question in forms if bool(verdicts[question]) != own[question]]
        print(f"{filter_name}: {len(forms) - len(differing)} alike, {len(differing)} differ")
        counts = Counter(forms[question] for question in differing)
        for form, count in counts.items():
            reason = REASONS.get((form, filter_name))
            assert reason is not None, f"{form}, {filter_name}: {count} rows differ for no known reason"
            print(f"  {count} of the form {form!r}: {reason}")


if __name__ == "__main__":
    main()
