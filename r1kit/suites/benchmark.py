"""What one benchmark of the table is: where its problems are, how they are asked and scored, and what others scored.

Benchmark(title="GSM8K", path="openai/gsm8k", config="main", split="test", prompt=BOXED, ...)
"""

from dataclasses import dataclass
from typing import Literal

PUBLISHED_TEMPERATURE = 0.6
PUBLISHED_TOP_P = 0.95
PUBLISHED_MAX_TOKENS = 32_768
"""The sampling of the R1 report for all of its benchmarks (arXiv 2501.12948v2, appendix D.1)."""

R1_REPORT = "DeepSeek-AI, DeepSeek-R1 (arXiv 2501.12948v2), appendix D.1"
R1_TABLE = "arXiv 2501.12948v2, table 8"
R1_DISTILL_TABLE = "arXiv 2501.12948v2, table 15"
R1_STAGES_TABLE = "Nature s41586-025-09422-z, table 2"
R1_README_TABLE = "README of github.com/deepseek-ai/DeepSeek-R1, distilled model evaluation"
R1_MATH_PROMPT = (
    "README of github.com/deepseek-ai/DeepSeek-R1, usage recommendations, and table 32 of the report, which shows it "
    "for AIME, MATH and CNMO"
)
SIMPLE_EVALS = "github.com/openai/simple-evals, which the R1 report names for this set"

BOXED = "{question}\nPlease reason step by step, and put your final answer within \\boxed{}."
"""The instruction of DeepSeek-R1's usage recommendations for mathematics."""
CHOICE = (
    "Answer the following multiple choice question. The last line of your response should be of the following format: "
    "'Answer: $LETTER' (without quotes) where LETTER is one of {letters}. Think step by step before answering.\n\n"
    "{question}"
)
"""The instruction of simple-evals for multiple choice.

Choices are written as "A. ...", as the R1 report shows them for MMLU (table 18); simple-evals writes "A) ...".
"""

Metric = Literal["pass@1", "cons@k", "prompt strict", "prompt loose", "instruction strict", "instruction loose", "F1"]
"""A figure of a benchmark.

    pass@1                the mean over questions of the fraction of correct samples
    cons@k                the fraction of questions whose most frequent answer among k samples is correct
    prompt, instruction   IFEval: the fraction of prompts, all of whose instructions are followed, or of instructions;
                          `strict` judges the reply as it is, `loose` also without its first or last line or asterisks
    F1                    DROP: the mean overlap of the words of the answer with those of the gold answer
"""


@dataclass(frozen=True)
class Published:
    """Figures of one metric that a report has for several models."""

    metric: Metric
    source: str
    """Where the figures stand: a report and its table."""
    scores: dict[str, float]
    """Percent by the name of the model."""


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: a set of problems with the protocol by which a paper asks and scores them."""

    title: str
    path: str
    """Hub id of the set."""
    split: str
    prompt: str
    """What the model is asked: a text with {question} in it; {letters} are those of the choices, such as ABCD."""
    checker: str
    """How an answer is judged: a value of the column `checker` (r1kit/rows.py)."""
    samples: int
    """Completions of each problem: k of the R1 report, for the sets of which it names one."""
    scoring: str
    """How a completion is scored, in a sentence."""
    protocol: str
    """Where the protocol comes from: the report or repository of its prompt, and of what is r1kit's own choice."""
    citation: str
    """The paper of the set."""
    departures: str = ""
    """Where the scoring departs from that of the set's own program, as a sentence; empty where nothing is known."""
    configs: tuple[str, ...] = ()
    """Configurations of the set on the hub, all of which are read; empty if it has only one."""
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Rows of the set on the hub that belong to the benchmark, as (column, allowed values)."""
    dates: tuple[str, str] | None = None
    """First and last day of the contests whose problems belong to the benchmark, by the column `contest_date`."""
    function_prompt: str = ""
    """What is asked in place of `prompt` for a programming problem with starter code: {question}, {starter_code}."""
    temperature: float = PUBLISHED_TEMPERATURE
    top_p: float = PUBLISHED_TOP_P
    max_tokens: int = PUBLISHED_MAX_TOKENS
    metrics: tuple[Metric, ...] = ("pass@1",)
    """The figures of the benchmark; the first one is the headline."""
    published: tuple[Published, ...] = ()


def r1_scores(
    metric: Metric, claude: float, gpt_4o: float, v3: float, o1_mini: float, o1: float | None, r1: float
) -> Published:
    """Return a row of the R1 report's table of models, in its order; None where the report has no figure."""
    scores = {
        "DeepSeek-R1": r1,
        "OpenAI-o1-1217": o1,
        "OpenAI-o1-mini": o1_mini,
        "DeepSeek-V3": v3,
        "GPT-4o-0513": gpt_4o,
        "Claude-3.5-Sonnet-1022": claude,
    }
    return Published(metric, R1_TABLE, {name: score for name, score in scores.items() if score is not None})


STAGES = ("DeepSeek-R1-Zero", "DeepSeek-R1-Dev1", "DeepSeek-R1-Dev2", "DeepSeek-R1-Dev3")
DISTILLED = (
    "DeepSeek-R1-Distill-Qwen-1.5B",
    "DeepSeek-R1-Distill-Qwen-7B",
    "DeepSeek-R1-Distill-Qwen-14B",
    "DeepSeek-R1-Distill-Qwen-32B",
    "DeepSeek-R1-Distill-Llama-8B",
    "DeepSeek-R1-Distill-Llama-70B",
)


def stage_scores(metric: Metric, *scores: float) -> Published:
    """Return the figures of the stages before R1: R1-Zero, Dev1, Dev2 and Dev3."""
    return Published(metric, R1_STAGES_TABLE, dict(zip(STAGES, scores, strict=True)))


def distilled_scores(metric: Metric, *scores: float) -> Published:
    """Return the figures of the six distilled models, in the order of the report."""
    return Published(metric, R1_DISTILL_TABLE, dict(zip(DISTILLED, scores, strict=True)))
