"""Results of lm-evaluation-harness and Inspect in r1kit's table, from files as these programs write them."""

import json
import struct
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from helpers import r1kit

from r1kit.errors import UserError
from r1kit.sampling.other_programs import benchmark_name, read_results

HARNESS = {
    "results": {
        "gsm8k": {
            "alias": "gsm8k",
            "exact_match,strict-match": 0.5,
            "exact_match_stderr,strict-match": 0.01,
            "exact_match,flexible-extract": 0.75,
            "exact_match_stderr,flexible-extract": 0.02,
        },
        "ifeval": {
            "alias": "ifeval",
            "prompt_level_strict_acc,none": 0.4,
            "prompt_level_strict_acc_stderr,none": "N/A",
        },
        "mmlu": {"acc,none": 0.6, "acc_stderr,none": 0.004, "alias": "mmlu"},
        "mmlu_stem": {"acc,none": 0.55, "acc_stderr,none": 0.01, "alias": " - stem"},
        "mmlu_anatomy": {"acc,none": 0.5, "acc_stderr,none": 0.04, "alias": "  - anatomy"},
    },
    "group_subtasks": {"mmlu": ["mmlu_stem"], "mmlu_stem": ["mmlu_anatomy"], "gsm8k": []},
    "n-samples": {"gsm8k": {"original": 1319, "effective": 100}, "mmlu_anatomy": {"original": 135, "effective": 135}},
    "config": {"model": "local-completions", "model_args": {"model": "served", "base_url": "http://localhost:8000"}},
    "lm_eval_version": "0.4.13",
    "model_name": "served",
}
INSPECT = {
    "version": 2,
    "status": "success",
    "eval": {
        "task": "inspect_evals/gpqa_diamond",
        "model": "openai-api/local/served",
        "dataset": {"name": "gpqa", "samples": 198},
        "config": {"epochs": 4},
        "packages": {"inspect_ai": "0.3.285"},
    },
    "results": {
        "total_samples": 792,
        "scores": [
            {
                "name": "choice",
                "scorer": "choice",
                "metrics": {
                    "accuracy": {"name": "accuracy", "value": 0.7},
                    "stderr": {"name": "stderr", "value": 0.03},
                },
            }
        ],
    },
}


def write_json(file: Path, content) -> str:
    file.write_text(json.dumps(content))
    return str(file)


def test_results_of_the_harness_are_figures(tmp_path):
    figures = read_results(write_json(tmp_path / "results.json", HARNESS))
    assert {figure.program for figure in figures} == {"lm-eval 0.4.13"}
    assert {figure.model for figure in figures} == {"served"}
    by_name = {(figure.benchmark, figure.metric): figure for figure in figures}
    assert set(by_name) == {
        ("gsm8k", "exact_match, strict-match"),
        ("gsm8k", "exact_match, flexible-extract"),
        ("ifeval", "prompt strict"),
        ("mmlu", "acc"),
        ("mmlu-stem", "acc"),
    }
    strict = by_name["gsm8k", "exact_match, strict-match"]
    assert (strict.score, strict.interval, strict.questions) == (0.5, pytest.approx(1.96 * 0.01), 100)
    assert by_name["mmlu", "acc"].questions == 135
    assert by_name["ifeval", "prompt strict"].interval is None
    assert by_name["ifeval", "prompt strict"].published["DeepSeek-R1"] == 83.3


def write_zstd_archive(file: Path, text: str) -> None:
    """Write an archive whose file header.json is compressed by zstd, as Inspect does it and zipfile does not."""
    data = pa.Codec("zstd").compress(text.encode(), asbytes=True)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("header.json", data)
    content = bytearray(file.read_bytes())
    directory = content.index(b"PK\x01\x02")
    for method_offset, size_offset in ((8, 22), (directory + 10, directory + 24)):
        struct.pack_into("<H", content, method_offset, 93)
        struct.pack_into("<I", content, size_offset, len(text.encode()))
    file.write_bytes(content)


@pytest.mark.parametrize("form", ["json", "eval", "zstd"])
def test_logs_of_inspect_are_figures(tmp_path, form):
    file = tmp_path / f"log.{form}"
    if form == "json":
        write_json(file, INSPECT)
    elif form == "zstd":
        write_zstd_archive(file, json.dumps(INSPECT))
    else:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("header.json", json.dumps(INSPECT))
    [figure] = read_results(str(file))
    assert (figure.benchmark, figure.metric, figure.model) == ("gpqa-diamond", "accuracy, choice", "served")
    assert (figure.score, figure.questions, figure.samples, figure.program) == (0.7, 198, 4, "inspect 0.3.285")
    assert figure.interval == pytest.approx(1.96 * 0.03)
    assert figure.published["DeepSeek-R1"] == 71.5


def test_names_of_other_programs_become_those_of_the_table():
    assert benchmark_name("inspect_evals/mmlu_pro") == "mmlu-pro"
    assert benchmark_name("minerva_math500") == "math500"
    assert benchmark_name("hellaswag") == "hellaswag"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ("no JSON", "must be a result file"),
        ("[1]", "must be a result file"),
        ('{"results": {}}', "must be a result file"),
        ('{"results": {"a": 3}}', "must be a result file"),
        ('{"eval": {}, "results": {"scores": [{}]}}', "must be a result file"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, content, words):
    file = tmp_path / "file.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=words):
        read_results(str(file))


def test_results_alone_are_a_run_with_a_table(here):
    file = write_json(here / "results.json", HARNESS)
    log = write_json(here / "log.json", INSPECT)
    out, err = r1kit("eval", "--read", file, "--read", log)
    assert out.strip() == "runs/read-results"
    [line] = [line for line in err.splitlines() if line.startswith("gpqa-diamond")]
    assert "70.0 ±5.9" in line
    assert "DeepSeek-R1 71.5" in line
    assert "served by lm-eval 0.4.13" in err
    content = json.loads((here / out.strip() / "eval.json").read_text())
    assert len(content["suite"]) == 6
    # Other files are shown by the same command.
    _, err = r1kit("eval", "--read", file)
    assert "gpqa-diamond" not in err
    _, err = r1kit("eval", "tiny:base", "--read", file, code=2)
    assert "read" in err
    assert "add --suite" in err
    r1kit("report", out.strip())
