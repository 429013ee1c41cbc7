"""Count on held-out questions how often a model calls the calculator, and with the expression of the question.

    r1kit sft recipes/tiny/calculator_sft.yaml && r1kit rl recipes/tiny/calculator.yaml
    python benchmarks/calculator.py runs/tiny/calculator_sft runs/tiny/calculator

Each question is answered `--samples` times at temperature 1, up to the end of the first turn. A call with the
question's expression is right, since the box computes it; so is a right answer without a call.
"""

import argparse
import re
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from r1kit.data.world.calculator import PYTHON_TOOL, calculator_problems
from r1kit.scaling.estimators import bootstrap_interval

EXPRESSION = re.compile(r"\d [-+*] \d")
LONGEST_TURN = 96  # tokens
MOST_QUESTIONS = 1000  # more than the split has


def first_turns(model_dir: Path, prompts: list[str], samples: int) -> list[list[str]]:
    """Return for each prompt the texts of `samples` first turns, sampled at temperature 1."""
    tokenizer = AutoTokenizer.from_pretrained(model_dir, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(model_dir)
    rendered = []
    for prompt in prompts:
        messages = [{"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(messages, tools=[PYTHON_TOOL], add_generation_prompt=True, tokenize=False)
        rendered.append(text)
    inputs = tokenizer(rendered, return_tensors="pt", padding=True, add_special_tokens=False)
    torch.manual_seed(0)
    output_ids = model.generate(
        **inputs, do_sample=True, temperature=1.0, top_k=0, max_new_tokens=LONGEST_TURN, num_return_sequences=samples
    )
    texts = tokenizer.batch_decode(output_ids[:, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    return [texts[start : start + samples] for start in range(0, len(texts), samples)]


def main() -> None:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--samples", type=int, default=16)
    options = parser.parse_args()
    problems = list(calculator_problems("test", MOST_QUESTIONS, 0))
    print("| run | questions | calls | right (95% interval over questions) |", "| --- | --- | --- | --- |", sep="\n")
    for run in options.runs:
        calls, right_shares = 0, []
        turns = first_turns(run / "model", [problem["prompt"] for problem in problems], options.samples)
        for problem, texts in zip(problems, turns, strict=True):
            expression = EXPRESSION.search(problem["prompt"]).group()
            right = 0
            for text in texts:
                calls += "<tool>" in text
                right += f"print({expression})" in text or f"<answer> {problem['answer']}</answer>" in text
            right_shares.append(right / len(texts))
        low, high = bootstrap_interval(right_shares)
        mean = sum(right_shares) / len(right_shares)
        call_share = calls / (len(problems) * options.samples)
        print(f"| {run} | {len(problems)} | {call_share:.1%} | {mean:.1%} ({low:.1%} to {high:.1%}) |")


if __name__ == "__main__":
    main()
