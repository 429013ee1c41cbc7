"""Benchmarks of knowledge and reasoning by multiple choice: GPQA, MMLU and its relatives, C-Eval, ARC."""

from functools import partial

from r1kit.suites.benchmark import (
    CHOICE,
    R1_REPORT,
    SIMPLE_EVALS,
    Benchmark,
    Published,
    distilled_scores,
    r1_scores,
    stage_scores,
)
from r1kit.suites.subjects import CEVAL_SUBJECTS, MMLU_STEM_SUBJECTS, MMLU_SUBJECTS

_SCORING = "The chosen letter is that of the right choice."
_SAMPLING = f"{R1_REPORT}: temperature 0.6, top_p 0.95, 32,768 tokens"
_FOUR = CHOICE.replace("{letters}", "ABCD")
_TEN = (
    "The following is a multiple choice question. Think step by step and then output the answer in the format of "
    '"The answer is (X)" at the end.\n\n{question}'
)
_CHINESE = (
    "以下是一道单项选择题。请一步一步思考，并在最后一行用“答案：$LETTER”的格式写出答案（不含引号），"
    "其中 LETTER 是 A、B、C、D 之一。\n\n{question}"
)
_MMLU_CITATION = "Hendrycks et al., Measuring Massive Multitask Language Understanding (arXiv 2009.03300)"
_LLAMA_3 = "arXiv 2407.21783, table 2, 0-shot"

_choice_benchmark = partial(Benchmark, split="test", prompt=_FOUR, checker="choice", samples=1, scoring=_SCORING)

KNOWLEDGE = {
    "gpqa-diamond": _choice_benchmark(
        title="GPQA Diamond",
        path="Idavidrein/gpqa",
        configs=("gpqa_diamond",),
        split="train",
        samples=64,
        scoring=f"{_SCORING} The choices are shuffled by the seed of the set and the question.",
        protocol=f"{_SAMPLING}, k = 64; prompt: {SIMPLE_EVALS}",
        citation="Rein et al., GPQA: A Graduate-Level Google-Proof Q&A Benchmark (arXiv 2311.12022)",
        published=(
            r1_scores("pass@1", claude=65.0, gpt_4o=49.9, v3=59.1, o1_mini=60.0, o1=75.7, r1=71.5),
            stage_scores("pass@1", 75.8, 66.1, 70.7, 71.2),
            distilled_scores("pass@1", 33.8, 49.1, 59.1, 62.1, 49.0, 65.2),
        ),
    ),
    "mmlu": _choice_benchmark(
        title="MMLU",
        path="cais/mmlu",
        configs=("all",),
        protocol=f"{_SAMPLING}; one sample for 14,042 questions is r1kit's choice; prompt: {SIMPLE_EVALS}",
        citation=_MMLU_CITATION,
        published=(
            r1_scores("pass@1", claude=88.3, gpt_4o=87.2, v3=88.5, o1_mini=85.2, o1=91.8, r1=90.8),
            stage_scores("pass@1", 88.8, 89.1, 91.2, 91.0),
        ),
    ),
    "mmlu-stem": _choice_benchmark(
        title="MMLU, its subjects of science, technology, engineering and mathematics",
        path="cais/mmlu",
        configs=("all",),
        where=(("subject", MMLU_STEM_SUBJECTS),),
        protocol=(
            f"{_SAMPLING}; prompt: {SIMPLE_EVALS.replace('this set', 'MMLU')}; one sample is r1kit's choice; the "
            "subjects are those that github.com/hendrycks/test, categories.py, groups as STEM"
        ),
        citation=_MMLU_CITATION,
    ),
    "mmlu-redux": _choice_benchmark(
        title="MMLU-Redux 2.0",
        path="edinburgh-dawg/mmlu-redux-2.0",
        configs=MMLU_SUBJECTS,
        where=(("error_type", ("ok",)),),
        scoring=f"{_SCORING} Questions that the set marks as faulty are left out.",
        protocol=(
            f"{_SAMPLING}; the report asks in the format of Zero-Eval, without examples (table 19), and here the "
            f"prompt is that of {SIMPLE_EVALS.replace('this set', 'MMLU')}; one sample is r1kit's choice"
        ),
        citation="Gema et al., Are We Done with MMLU? (arXiv 2406.04127)",
        published=(
            r1_scores("pass@1", claude=88.9, gpt_4o=88.0, v3=89.1, o1_mini=86.7, o1=None, r1=92.9),
            stage_scores("pass@1", 85.6, 90.0, 93.0, 93.1),
        ),
    ),
    "mmlu-pro": _choice_benchmark(
        title="MMLU-Pro",
        path="TIGER-Lab/MMLU-Pro",
        prompt=_TEN,
        protocol=(
            f"{_SAMPLING}; prompt: table 21 of the report and evaluate_from_api.py of "
            "github.com/TIGER-AI-Lab/MMLU-Pro, without the subject and, as the report says, without examples; one "
            "sample for 12,032 questions is r1kit's choice"
        ),
        citation=(
            "Wang et al., MMLU-Pro: A More Robust and Challenging Multi-Task Language Understanding Benchmark "
            "(arXiv 2406.01574)"
        ),
        published=(
            r1_scores("pass@1", claude=78.0, gpt_4o=72.6, v3=75.9, o1_mini=80.3, o1=None, r1=84.0),
            stage_scores("pass@1", 68.9, 74.1, 83.8, 83.1),
        ),
    ),
    "ceval": _choice_benchmark(
        title="C-Eval",
        path="ceval/ceval-exam",
        configs=CEVAL_SUBJECTS,
        split="val",
        prompt=_CHINESE,
        protocol=(
            f"{_SAMPLING}, zero-shot; the prompt, one sample and the split `val` are r1kit's choice, since the answers "
            "of `test` are not public"
        ),
        citation=(
            "Huang et al., C-Eval: A Multi-Level Multi-Discipline Chinese Evaluation Suite for Foundation Models "
            "(arXiv 2305.08322)"
        ),
        published=(
            r1_scores("pass@1", claude=76.7, gpt_4o=76.0, v3=86.5, o1_mini=68.9, o1=None, r1=91.8),
            stage_scores("pass@1", 92.8, 85.7, 91.9, 86.4),
        ),
    ),
    "arc-challenge": _choice_benchmark(
        title="ARC, the challenge set",
        path="allenai/ai2_arc",
        configs=("ARC-Challenge",),
        protocol=f"sampling of {R1_REPORT}; no figure in the report; prompt of MMLU; one sample is r1kit's choice",
        citation=(
            "Clark et al., Think you have Solved Question Answering? Try ARC, the AI2 Reasoning Challenge "
            "(arXiv 1803.05457)"
        ),
        published=(Published("pass@1", _LLAMA_3, {"Llama-3.1-8B-Instruct": 83.4, "Llama-3.1-70B-Instruct": 94.8}),),
    ),
}
