"""Read results of lm-evaluation-harness and of Inspect as figures of benchmarks.

    read_results("results/model/results_2026-01-05T10-00-00.json")     of `lm_eval --output_path results`
    read_results("logs/2026-01-05_gsm8k.eval")                          of `inspect eval`, as .eval or .json

Both programs have names of their own for sets and metrics. Sets that r1kit knows get r1kit's name; metrics keep
theirs, with the filter by which lm-evaluation-harness read the answer, since their rules are not r1kit's.
"""

import json
import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.sampling.benchmarks import Figure, published_figures
from r1kit.sampling.statistics import NORMAL_QUANTILE
from r1kit.suites import BENCHMARKS

# How the two programs call the sets of r1kit's table, where it is not the same name with _ in place of -.
TASK_NAMES = {
    "aime2024": "aime24",
    "aime2025": "aime25",
    "gsm8k_cot": "gsm8k",
    "gsm8k_cot_llama": "gsm8k",
    "gsm8k_cot_zeroshot": "gsm8k",
    "hendrycks_math500": "math500",
    "minerva_math500": "math500",
    "math_500": "math500",
    "gpqa_diamond_zeroshot": "gpqa-diamond",
    "gpqa_diamond_n_shot": "gpqa-diamond",
    "gpqa_diamond_cot_zeroshot": "gpqa-diamond",
    "gpqa_diamond_cot_n_shot": "gpqa-diamond",
    "gpqa_diamond_generative_n_shot": "gpqa-diamond",
    "mmlu_0_shot": "mmlu",
    "mmlu_5_shot": "mmlu",
    "mmlu_generative": "mmlu",
    "mmlu_stem_generative": "mmlu-stem",
    "mmlu_redux_generative": "mmlu-redux",
    "ceval-valid": "ceval",
    "humaneval_instruct": "humaneval",
    "mbpp_instruct": "mbpp",
    "arc_challenge_chat": "arc-challenge",
}
IFEVAL_METRICS = {
    "prompt_level_strict_acc": "prompt strict",
    "prompt_level_loose_acc": "prompt loose",
    "inst_level_strict_acc": "instruction strict",
    "inst_level_loose_acc": "instruction loose",
}
_ZSTD = 93
"""The number of the compression zstd in ZIP archives."""
_LOCAL_HEADER_BYTES = 30
"""Length of what stands before the name of a member in a ZIP archive; the lengths of name and extra field end it."""
_ERROR_SUFFIX = "_stderr"
_REQUIREMENT = "must be a result file of lm-evaluation-harness (results_*.json) or of Inspect (*.json, *.eval)"


def read_results(file: str) -> list[Figure]:
    """Return the figures of a result file of another program. Raises UserError for any other file."""
    content = _read_content(file)
    try:
        if isinstance(content.get("results"), dict) and isinstance(content.get("eval"), dict):
            figures = list(_inspect_figures(content))
        elif isinstance(content.get("results"), dict):
            figures = list(_harness_figures(content))
        else:
            figures = []
    except (AttributeError, KeyError, TypeError, ValueError):
        figures = []
    if not figures:
        raise UserError("read", file, _REQUIREMENT, "use a file that has the results of a finished run")
    return figures


def _read_content(file: str) -> dict[str, Any]:
    """Return the JSON object of a result file; of Inspect's .eval, which is an archive, its header."""
    path = Path(file)
    try:
        if zipfile.is_zipfile(path):
            content = json.loads(_read_header(path))
        else:
            content = json.loads(path.read_text())
    except OSError as error:
        raise UserError("read", file, f"cannot be read: {str(error.strerror).lower()}", "check the path") from None
    except (NotImplementedError, KeyError, struct.error):
        action = "convert it: inspect log convert --to json --output-dir DIR FILE"
        raise UserError("read", file, "is an archive that Python cannot read", action) from None
    except (ValueError, RecursionError, zipfile.BadZipFile):
        raise UserError("read", file, _REQUIREMENT, "correct the path") from None
    return content if isinstance(content, dict) else {}


def _read_header(path: Path) -> bytes:
    """Return the file header.json of Inspect's archive, also if it is compressed by zstd, which zipfile cannot read."""
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("header.json")
        if member.compress_type != _ZSTD:
            return archive.read(member)
    with open(path, "rb") as file:
        file.seek(member.header_offset)
        fixed = file.read(_LOCAL_HEADER_BYTES)
        name_bytes, extra_bytes = struct.unpack("<HH", fixed[-4:])
        file.seek(name_bytes + extra_bytes, os.SEEK_CUR)
        compressed = file.read(member.compress_size)
    import pyarrow as pa

    return pa.Codec("zstd").decompress(compressed, decompressed_size=member.file_size, asbytes=True)


def benchmark_name(task: str) -> str:
    """Return r1kit's name of a task of another program, or the task's own name.

    benchmark_name("inspect_evals/gpqa_diamond")     "gpqa-diamond"
    """
    name = task.rpartition("/")[2]
    r1kit_name = TASK_NAMES.get(name, name.replace("_", "-"))
    return r1kit_name if r1kit_name in BENCHMARKS else task


def _harness_figures(content: dict[str, Any]) -> Iterator[Figure]:
    """Yield the figures of lm-evaluation-harness; of a group of tasks, those of the whole and of sets of the table."""
    version = str(content.get("lm_eval_version") or "").strip()
    program = f"lm-eval {version}".strip()
    groups = content.get("group_subtasks") or {}
    members = {member for names in groups.values() for member in names}
    for task, values in content["results"].items():
        if task in members and benchmark_name(task) not in BENCHMARKS:
            continue
        questions = _count_questions(task, groups, content.get("n-samples") or {})
        for key, value in values.items():
            name, _, metric_filter = key.partition(",")
            if name.endswith(_ERROR_SUFFIX) or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if name in ("sample_len", "sample_count"):
                continue
            is_better_higher = ((content.get("higher_is_better") or {}).get(task) or {}).get(name, True)
            if not is_better_higher or not _is_fraction(value):
                logger.info(f"{task}: {key} = {value:g} is left out, since it is no fraction of right answers")
                continue
            error = values.get(f"{name}{_ERROR_SUFFIX},{metric_filter}")
            metric = IFEVAL_METRICS.get(name, name)
            if metric_filter not in ("", "none"):
                metric += f", {metric_filter}"
            yield _figure(
                model=str(content.get("model_name") or _model_argument(content) or "model"),
                task=task,
                metric=metric,
                score=float(value),
                error=error,
                questions=questions,
                program=program,
            )


def _is_fraction(value: float) -> bool:
    """Return whether a figure can be shown in percent, unlike a perplexity or ROUGE from 0 to 100."""
    return 0 <= value <= 1


def _count_questions(task: str, groups: dict[str, list[str]], counts: dict[str, dict[str, int]]) -> int | None:
    """Return how many questions of a task, or of all tasks of a group, were asked; None if the file does not say."""
    if task in counts:
        return counts[task].get("effective")
    of_members = [_count_questions(member, groups, counts) for member in groups.get(task, [])]
    stated_counts = [count for count in of_members if count is not None]
    return sum(stated_counts) if stated_counts else None


def _model_argument(content: dict[str, Any]) -> str:
    """Return the model that a served model's arguments name: "model=it,base_url=..." or the same as a mapping."""
    arguments = (content.get("config") or {}).get("model_args")
    if isinstance(arguments, str):
        arguments = dict(pair.partition("=")[::2] for pair in arguments.split(","))
    arguments = arguments if isinstance(arguments, dict) else {}
    return str(arguments.get("model") or arguments.get("pretrained") or "")


def _inspect_figures(content: dict[str, Any]) -> Iterator[Figure]:
    """Yield the figures of Inspect's log: each metric of each scorer but the standard errors."""
    evaluation, results = content["eval"], content["results"]
    version = str((evaluation.get("packages") or {}).get("inspect_ai") or "")
    for scorer in results["scores"]:
        metrics = scorer["metrics"]
        error = (metrics.get("stderr") or {}).get("value")
        for name, metric in metrics.items():
            if "stderr" in name or not isinstance(metric.get("value"), int | float):
                continue
            if not _is_fraction(metric["value"]):
                logger.info(f"{evaluation['task']}: {name} = {metric['value']:g} is left out, since it is no fraction")
                continue
            yield _figure(
                model=str(evaluation["model"]).rpartition("/")[2],
                task=str(evaluation["task"]),
                metric=IFEVAL_METRICS.get(name, f"{name}, {scorer['name']}"),
                score=float(metric["value"]),
                error=error if name in ("accuracy", "mean") else None,
                questions=(evaluation.get("dataset") or {}).get("samples"),
                program=f"inspect {version}".strip(),
                samples=(evaluation.get("config") or {}).get("epochs") or 1,
            )


def _figure(
    model: str,
    task: str,
    metric: str,
    score: float,
    error: Any,
    questions: Any,
    program: str,
    samples: int | None = None,
) -> Figure:
    """Return a figure of another program, beside what is published for the headline of its benchmark."""
    name = benchmark_name(task)
    published: dict[str, float] = {}
    sources: list[str] = []
    if name in BENCHMARKS:
        benchmark = BENCHMARKS[name]
        own = metric if any(report.metric == metric for report in benchmark.published) else benchmark.metrics[0]
        published, sources = published_figures(benchmark, own)
    has_error = isinstance(error, int | float) and not isinstance(error, bool)
    return Figure(
        model,
        name,
        metric,
        score,
        NORMAL_QUANTILE * float(error) if has_error else None,
        questions if isinstance(questions, int) else None,
        samples,
        program,
        published,
        sources,
    )
