"""Compare a model served by vLLM, through the OpenAI client, with `r1kit eval` of the same model, both at T 0.

    .venv-vllm/bin/python benchmarks/served.py runs/smollm2/r1 recipes/smollm2-135m/ladder.yaml [--rows 100]

The recipe holds the problems and the prompt. Needs the environment of `make env-vllm`. Both sides compute in float32;
if two tokens have nearly equal logits, their kernels may choose differently.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import yaml
from openai import OpenAI

from r1kit.answers.extract import parse_completion
from r1kit.prompts import fill_template
from r1kit.runs.paths import resolve_model_path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from engines import read_rows, vllm_server  # noqa: E402
from helpers import r1kit, write_recipe  # noqa: E402
from servers import free_port, model_server  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--rows", type=int, default=100, help="of each task")
    options = parser.parse_args()
    values = yaml.safe_load(options.recipe.read_text())
    values["data"]["eval"] = [{**source, "rows": options.rows} for source in values["data"]["eval"]]
    values["sampling"] |= {"temperature": 0, "top_p": 1.0, "samples": 1}
    values["models"] = {"it": options.model}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        r1kit("eval", write_recipe(folder / "eval.yaml", **values), f"output={folder / 'eval'}")
        rows = [row for file in sorted((folder / "eval/samples").rglob("*.parquet")) for row in read_rows(file)]
        model, port = resolve_model_path(options.model), free_port()
        with model_server(vllm_server(model, port), port, folder / "log", VLLM_CPU_KVCACHE_SPACE="2") as url:
            client = OpenAI(base_url=url, api_key="none")
            texts = [
                client.completions.create(
                    model=model,
                    prompt=fill_template(values["prompt"]["template"], row["prompt"]),
                    temperature=0,
                    max_tokens=values["sampling"]["max_tokens"],
                )
                .choices[0]
                .text
                for row in rows
            ]
    same_text = sum(text == row["completion"] for text, row in zip(texts, rows, strict=True))
    same_answer = sum(
        parse_completion(text).answer == parse_completion(row["completion"]).answer
        for text, row in zip(texts, rows, strict=True)
    )
    correct = sum(bool(row["correct"]) for row in rows)
    print(
        f"{len(rows)} problems, {correct} right by r1kit eval; the same text {same_text}, the same answer {same_answer}"
    )
    for text, row in zip(texts, rows, strict=True):
        if text != row["completion"]:
            print(f"- eval: {row['completion']!r}\n  vLLM: {text!r}")


if __name__ == "__main__":
    main()
