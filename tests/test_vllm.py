"""vLLM on the CPU, in process and as a server, with the scale model: `make test-vllm`."""

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from helpers import r1kit, read_info, write_recipe
from servers import free_port, model_server
from test_lora import save_adapter

pytestmark = pytest.mark.vllm

CAPITALS = {
    "data": {"train": [{"path": "world:facts", "rows": 24}]},
    "prompt": {"template": "tiny", "prefill": "<answer>"},
    "keep": {"format": False},
}


@pytest.fixture(scope="module")
def base_model_path() -> str:
    from r1kit.runs.paths import SHIPPED_MODELS

    return str(SHIPPED_MODELS["tiny:base"])


def sampled_rows(run: Path) -> list[dict]:
    return [row for file in sorted((run / "samples").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def test_both_local_engines_give_the_same_completions_at_temperature_0(tmp_path, base_model_path):
    greedy = {"temperature": 0, "samples": 1, "max_tokens": 24, "batch_size": 12}
    completions = {}
    for engine in ("transformers", "vllm"):
        values = {**CAPITALS, "model": {"path": base_model_path}, "sampling": {**greedy, "engine": engine}}
        r1kit("generate", write_recipe(tmp_path / f"{engine}.yaml", **values), f"output={tmp_path / engine}")
        completions[engine] = {
            r["id"]: (r["completion"], r["tokens"], r["finish_reason"]) for r in sampled_rows(tmp_path / engine)
        }
    assert len(completions["vllm"]) == 24
    same = sum(completions["vllm"][name] == completions["transformers"][name] for name in completions["vllm"])
    assert same >= 22  # two tokens of equal logits may part them


def test_vllm_in_process_resumes_in_the_same_rows(tmp_path, base_model_path):
    values = {
        **CAPITALS,
        "model": {"path": base_model_path},
        "sampling": {"engine": "vllm", "samples": 4, "temperature": 0.7, "max_tokens": 16, "batch_size": 16},
    }
    run = tmp_path / "run"
    r1kit("generate", write_recipe(tmp_path / "r.yaml", **values), f"output={run}")
    uninterrupted = sampled_rows(run)
    assert len(uninterrupted) == 96
    assert read_info(run)["rows"] == sum(r["correct"] and r["finish_reason"] == "stop" for r in uninterrupted) > 48
    for number in (1, 3):
        (run / f"samples/shard-{number:06d}.parquet").unlink()
    state = {**read_info(run), "status": "interrupted"}
    (run / "run.json").write_text(json.dumps(state))
    r1kit("generate", tmp_path / "r.yaml", f"output={run}")
    assert sampled_rows(run) == uninterrupted


def test_requests_to_a_vllm_server_have_seeds(tmp_path, base_model_path):
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        base_model_path,
        "--port",
        str(port),
    ]
    command += ["--dtype", "float32", "--enforce-eager", "--no-enable-chunked-prefill"]
    with model_server(command, port, tmp_path / "log", VLLM_CPU_KVCACHE_SPACE="1") as url:
        server = {"urls": url, "concurrency": 8, "samples_per_request": 2}
        sampling = {"engine": "openai", "samples": 4, "temperature": 0.7, "max_tokens": 16, "server": server}
        values = {**CAPITALS, "model": {"path": base_model_path}, "sampling": sampling}
        for name in ("one", "two"):
            r1kit("generate", write_recipe(tmp_path / "r.yaml", **values), f"output={tmp_path / name}")
        long = {**values, "data": {"train": "long.jsonl"}}
        (tmp_path / "long.jsonl").write_text(json.dumps({"prompt": "word " * 9000, "answer": "1"}) + "\n")
        long["data"] = {"train": [str(tmp_path / "long.jsonl"), {"path": "world:facts", "rows": 4}]}
        r1kit("generate", write_recipe(tmp_path / "long.yaml", **long), f"output={tmp_path / 'long'}")
    key = lambda row: (row["id"], row["sample"])  # noqa: E731
    one, two = (sorted(sampled_rows(tmp_path / name), key=key) for name in ("one", "two"))
    assert len(one) == 96
    assert sum(a["completion"] == b["completion"] for a, b in zip(one, two, strict=True)) > 90
    reasons = [row["finish_reason"] for row in sampled_rows(tmp_path / "long") if row["answer"] == "1"]
    assert reasons == ["context"] * 4


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"sampling": {"engine": "vllm", "vllm": {"no_such_thing": 1}}},
            "sampling.vllm = {no_such_thing: 1}; must be",
        ),
        ({"model": {"path": "nothing/here"}}, "model.path = nothing/here; "),
        (
            {"sampling": {"engine": "vllm", "vllm": {"kv_cache_memory_bytes": 10**15}}},
            "model.path = tiny:base; vLLM does not start: Engine core initialization failed",
        ),
    ],
)
def test_errors_of_vllm_are_one_line(tmp_path, changes, line):
    values = {**CAPITALS, "model": {"path": "tiny:base"}, "sampling": {"engine": "vllm"}, **changes}
    _, err = r1kit("generate", write_recipe(tmp_path / "r.yaml", **values), f"output={tmp_path / 'run'}", code=2)
    assert any(shown.startswith(f"error: {line}") for shown in err.splitlines())  # a dying process warns after it


def test_a_prompt_beyond_the_context_has_the_finish_reason_context(tmp_path, base_model_path):
    (tmp_path / "long.jsonl").write_text(json.dumps({"prompt": "word " * 9000, "answer": "1"}) + "\n")
    for engine in ("transformers", "vllm"):
        values = {
            **CAPITALS,
            "model": {"path": base_model_path},
            "sampling": {"engine": engine, "samples": 2, "max_tokens": 8},
        }
        values["data"] = {"train": [str(tmp_path / "long.jsonl"), {"path": "world:facts", "rows": 4}]}
        run = tmp_path / engine
        r1kit("generate", write_recipe(tmp_path / "r.yaml", **values), f"output={run}")
        assert [r["finish_reason"] for r in sampled_rows(run) if r["answer"] == "1"] == ["context"] * 2
        assert len(sampled_rows(run)) == 10


@pytest.fixture(scope="module")
def adapter_path(base_model_path, tmp_path_factory) -> str:
    """Return an adapter of the scale model with random weights, which change what it says."""
    folder = tmp_path_factory.mktemp("adapter")
    save_adapter(folder, base_model_path, target_modules=["q_proj", "v_proj", "down_proj"])
    return str(folder)


def sample_greedily(tmp_path, name: str, path: str, **sampling) -> dict[str, dict]:
    """Return a greedy completion of each question, with its row, by the row's id."""
    greedy = {"temperature": 0, "samples": 1, "max_tokens": 24, "batch_size": 12}
    values = {**CAPITALS, "model": {"path": path}, "sampling": {**greedy, **sampling}}
    r1kit("generate", write_recipe(tmp_path / f"{name}.yaml", **values), f"output={tmp_path / name}")
    return {row["id"]: row for row in sampled_rows(tmp_path / name)}


def count_same(rows: dict[str, dict], others: dict[str, dict]) -> int:
    return sum(row["completion"] == others[name]["completion"] for name, row in rows.items())


def test_vllm_samples_with_an_adapter_as_the_merged_model_does(tmp_path, base_model_path, adapter_path):
    merged = sample_greedily(tmp_path, "merged", adapter_path)
    by_vllm = sample_greedily(tmp_path, "vllm", adapter_path, engine="vllm")
    base = sample_greedily(tmp_path, "base", base_model_path)
    assert count_same(by_vllm, merged) >= 22  # two tokens of equal logits may part them
    assert count_same(by_vllm, base) < 12


def test_a_vllm_server_gives_log_probabilities_and_samples_with_an_adapter(tmp_path, base_model_path, adapter_path):
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", base_model_path]
    command += ["--port", str(port), "--dtype", "float32", "--enforce-eager", "--no-enable-chunked-prefill"]
    command += ["--enable-lora", "--lora-modules", f"mine={adapter_path}"]
    with model_server(command, port, tmp_path / "log", VLLM_CPU_KVCACHE_SPACE="1") as url:
        server = {"urls": [url], "concurrency": 8, "models": "mine"}
        by_server = sample_greedily(tmp_path, "server", adapter_path, engine="openai", server=server)
    merged = sample_greedily(tmp_path, "merged", adapter_path)
    by_vllm = sample_greedily(tmp_path, "vllm", adapter_path, engine="vllm")
    assert count_same(by_server, merged) >= 22
    same = [name for name in by_server if by_server[name]["completion"] == by_vllm[name]["completion"]]
    assert len(same) >= 22
    for name in same:
        assert by_server[name]["logprob"] == pytest.approx(by_vllm[name]["logprob"], abs=1e-3)
        assert by_server[name]["logprob"] < 0
