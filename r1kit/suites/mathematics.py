"""Benchmarks of mathematics: AIME, MATH-500, AMC, GSM8K."""

from functools import partial

from r1kit.suites.benchmark import (
    BOXED,
    R1_MATH_PROMPT,
    R1_README_TABLE,
    R1_REPORT,
    Benchmark,
    Published,
    distilled_scores,
    r1_scores,
    stage_scores,
)

_SCORING = "The answer in the last box, or the stated one, is the same mathematics as the gold answer."
_R1_0528_CARD = "model card of deepseek-ai/DeepSeek-R1-0528, 64K tokens, 16 samples"
_LLAMA_3 = "arXiv 2407.21783, table 2, 8-shot with a chain of thought"
_QWEN_MATH = "arXiv 2409.12122, the table of instruction models in English, 0-shot with a chain of thought, greedy"
_AIME_PROTOCOL = (
    f"{R1_REPORT}: temperature 0.6, top_p 0.95, 32,768 tokens, k = 64, also for cons@k; prompt: {R1_MATH_PROMPT}"
)

_math_benchmark = partial(Benchmark, split="test", prompt=BOXED, checker="math", scoring=_SCORING)

MATHEMATICS = {
    "aime24": _math_benchmark(
        title="AIME 2024",
        path="HuggingFaceH4/aime_2024",
        split="train",
        samples=64,
        metrics=("pass@1", "cons@k"),
        protocol=_AIME_PROTOCOL,
        citation="MAA, American Invitational Mathematics Examination, February 2024",
        published=(
            r1_scores("pass@1", claude=16.0, gpt_4o=9.3, v3=39.2, o1_mini=63.6, o1=79.2, r1=79.8),
            stage_scores("pass@1", 77.9, 59.0, 74.0, 78.1),
            distilled_scores("pass@1", 28.9, 55.5, 69.7, 72.6, 50.4, 70.0),
            distilled_scores("cons@k", 52.7, 83.3, 80.0, 83.3, 80.0, 86.7),
            Published("cons@k", R1_README_TABLE, {"OpenAI-o1-mini": 80.0, "GPT-4o-0513": 13.4}),
            Published("pass@1", _R1_0528_CARD, {"DeepSeek-R1-0528": 91.4}),
        ),
    ),
    "aime25": _math_benchmark(
        title="AIME 2025",
        path="math-ai/aime25",
        samples=64,
        metrics=("pass@1", "cons@k"),
        protocol=f"as AIME 2024 in {_AIME_PROTOCOL}",
        citation="MAA, American Invitational Mathematics Examination, February 2025",
        published=(Published("pass@1", _R1_0528_CARD, {"DeepSeek-R1": 70.0, "DeepSeek-R1-0528": 87.5}),),
    ),
    "amc23": _math_benchmark(
        title="AMC 2023",
        path="math-ai/amc23",
        samples=16,
        protocol=f"as AIME 2024 in {_AIME_PROTOCOL}; 16 samples for 40 problems are r1kit's choice",
        citation="MAA, American Mathematics Competitions 12, 2023",
    ),
    "math500": _math_benchmark(
        title="MATH-500",
        path="HuggingFaceH4/MATH-500",
        samples=16,
        protocol=f"{R1_REPORT}: temperature 0.6, top_p 0.95, 32,768 tokens, k = 16; prompt: {R1_MATH_PROMPT}",
        citation=(
            "Hendrycks et al., Measuring Mathematical Problem Solving With the MATH Dataset (arXiv 2103.03874); the "
            "500 problems: Lightman et al., Let's Verify Step by Step (arXiv 2305.20050)"
        ),
        published=(
            r1_scores("pass@1", claude=78.3, gpt_4o=74.6, v3=90.2, o1_mini=90.0, o1=96.4, r1=97.3),
            stage_scores("pass@1", 95.9, 94.2, 95.9, 95.4),
            distilled_scores("pass@1", 83.9, 92.8, 93.9, 94.3, 89.1, 94.5),
        ),
    ),
    "gsm8k": _math_benchmark(
        title="GSM8K",
        path="openai/gsm8k",
        configs=("main",),
        samples=1,
        protocol=(
            f"sampling of {R1_REPORT}; no figure in the report; prompt: {R1_MATH_PROMPT}; one sample for "
            "1,319 problems is r1kit's choice. Published figures are by other protocols, which stand by their source"
        ),
        citation="Cobbe et al., Training Verifiers to Solve Math Word Problems (arXiv 2110.14168)",
        published=(
            Published(
                "pass@1", _LLAMA_3, {"Llama-3.1-8B-Instruct": 84.5, "Llama-3.1-70B-Instruct": 95.1, "GPT-4o": 96.1}
            ),
            Published("pass@1", _QWEN_MATH, {"Qwen2.5-Math-1.5B-Instruct": 84.8, "Qwen2.5-Math-7B-Instruct": 95.2}),
        ),
    ),
}
