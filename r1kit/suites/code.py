"""Benchmarks of programming: LiveCodeBench, HumanEval, MBPP. Programs run in r1kit's sandbox."""

from functools import partial

from r1kit.suites.benchmark import (
    R1_REPORT,
    SIMPLE_EVALS,
    Benchmark,
    Published,
    distilled_scores,
    r1_scores,
    stage_scores,
)

_SCORING = (
    "The program in the last fenced block passes all tests of the problem, at most 64 of them, evenly drawn, each "
    "within 3 seconds (`seconds` of the reward `accuracy`)."
)
_LIVECODEBENCH_DEPARTURES = (
    "LiveCodeBench's own program (lcb_runner/evaluation) gives each test 6 seconds and runs all tests of a problem; "
    "r1kit gives each test 3 seconds and runs at most 64 of them, so that a slow program may fail here and a program "
    "that fails few of many tests may pass"
)
_LLAMA_3 = "arXiv 2407.21783, table 2, 0-shot"
_LIVECODEBENCH_START = (
    "You will be given a question (problem specification) and will generate a correct Python program that matches the "
    "specification and passes all tests.\n\n### Question:\n{question}\n\n### Format: "
)
_LIVECODEBENCH_END = "\n\n### Answer: (use the provided format with backticks)\n"

_code_benchmark = partial(Benchmark, split="test", checker="code", scoring=_SCORING)

CODE = {
    "livecodebench": _code_benchmark(
        title="LiveCodeBench, August 2024 to January 2025",
        path="lighteval/code_generation_lite",
        configs=("release_v5",),
        dates=("2024-08-01", "2025-01-31"),
        prompt=(
            f"{_LIVECODEBENCH_START}Read the inputs from stdin solve the problem and write the answer to stdout (do "
            "not directly test on the sample inputs). Enclose your code within delimiters as follows. Ensure that when "
            "the python program runs, it reads the inputs, runs the algorithm and writes output to STDOUT.\n"
            f"```python\n# YOUR CODE HERE\n```{_LIVECODEBENCH_END}"
        ),
        function_prompt=(
            f"{_LIVECODEBENCH_START}You will use the following starter code to write the solution to the problem and "
            f"enclose your code within delimiters.\n```python\n{{starter_code}}\n```{_LIVECODEBENCH_END}"
        ),
        samples=8,
        protocol=(
            f"{R1_REPORT}: problems of August 2024 to January 2025, with a chain of thought, temperature 0.6, top_p "
            "0.95, 32,768 tokens, k = 8; prompt: github.com/LiveCodeBench/LiveCodeBench, "
            "lcb_runner/prompts/code_generation.py, the generic one, with the second sentence of the system message "
            "before the question. The report shows a shorter prompt (table 20), and none for starter code"
        ),
        citation=(
            "Jain et al., LiveCodeBench: Holistic and Contamination Free Evaluation of Large Language Models for Code "
            "(arXiv 2403.07974)"
        ),
        departures=_LIVECODEBENCH_DEPARTURES,
        published=(
            r1_scores("pass@1", claude=38.9, gpt_4o=32.9, v3=36.2, o1_mini=53.8, o1=63.4, r1=65.9),
            stage_scores("pass@1", 50.0, 57.5, 63.5, 64.6),
            distilled_scores("pass@1", 16.9, 37.6, 53.1, 57.2, 39.6, 57.5),
        ),
    ),
    "humaneval": _code_benchmark(
        title="HumanEval",
        path="openai/openai_humaneval",
        prompt=(
            "Read the following function signature and docstring, and fully implement the function described. Your "
            "response should only contain the code for this function.\n\n```python\n{question}\n```"
        ),
        samples=8,
        protocol=(
            f"sampling of {R1_REPORT}; the report names HumanEval-Mul alone; 8 samples for 164 problems are "
            f"r1kit's choice; prompt: {SIMPLE_EVALS.partition(',')[0]}, with the function in a fenced block"
        ),
        citation="Chen et al., Evaluating Large Language Models Trained on Code (arXiv 2107.03374)",
        published=(Published("pass@1", _LLAMA_3, {"Llama-3.1-8B-Instruct": 72.6, "Llama-3.1-70B-Instruct": 80.5}),),
    ),
    "mbpp": _code_benchmark(
        title="MBPP",
        path="google-research-datasets/mbpp",
        configs=("full",),
        prompt="You are an expert Python programmer, and here is your task: {question}",
        samples=4,
        protocol=(
            f"sampling of {R1_REPORT}; no figure in the report; 4 samples for 500 problems are r1kit's "
            "choice; prompt: README of the set (google-research, mbpp), without its examples and with one test of the "
            "problem"
        ),
        citation="Austin et al., Program Synthesis with Large Language Models (arXiv 2108.07732)",
    ),
}
