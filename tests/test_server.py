"""The engine `openai`, against a server on the loopback that misbehaves by plan, and against `transformers serve`."""

import collections
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from helpers import r1kit, read_data, read_info, start_r1kit, write_recipe
from servers import free_port, loopback_server, model_server, request_counts

from r1kit.completions import PromptBatch
from r1kit.errors import UserError
from r1kit.recipe import ModelConfig, PromptConfig, SamplingConfig
from r1kit.sampling.server import ServerSampler

FAST = {"backoff": 0.01, "timeout": 1.0}


def make_sampler(url: str, template: str = "r1-zero", samples: int = 1, **server) -> ServerSampler:
    settings = SamplingConfig(engine="openai", samples=samples, max_tokens=64, server={"urls": url, **FAST, **server})
    return ServerSampler(ModelConfig(path="loopback"), PromptConfig(template=template), settings)


def sample_all(engine: ServerSampler, prompts, group_size: int = 1, batch_size: int = 4):
    """Return the samples of each prompt, and close the engine."""
    batches = [PromptBatch(i, prompts[i : i + batch_size], i) for i in range(0, len(prompts), batch_size)]
    try:
        groups_by_batch = dict(engine.stream(batches, group_size))
    finally:
        engine.close()
    return [group for batch in batches for group in groups_by_batch[batch.index]]


def sum_question(n: int) -> str:
    return f"What is {n} + {n + 1}?"


def chat_question(n: int) -> list[dict]:
    return [{"role": "user", "content": sum_question(n)}]


def write_sums(folder: Path, count: int) -> dict:
    """Write `count` sums as problems, and return the source for a recipe."""
    rows = [{"prompt": sum_question(n), "answer": str(2 * n + 1), "checker": "math"} for n in range(100, 100 + count)]
    file = folder / f"sums-{count}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"path": str(file)}


def write_server_recipe(url, tmp_path, name="recipe.yaml", **changes):
    values = {
        "model": {"path": "loopback"},
        "data": {"train": [write_sums(tmp_path, 40)]},
        "sampling": {"engine": "openai", "samples": 4, "batch_size": 16, "server": {"urls": url, **FAST}},
        "rewards": [{"name": "accuracy"}, {"name": "format"}],
        **changes,
    }
    return write_recipe(tmp_path / name, **values)


def test_plain_prompts_are_completed(tmp_path):
    with loopback_server(tmp_path) as url:
        groups = sample_all(make_sampler(url), [sum_question(n) for n in range(10)], group_size=3)
        assert request_counts(url)["requests"] == 30
    assert [len(group) for group in groups] == [3] * 10
    for n, group in enumerate(groups):
        assert {s.text for s in group} == {f"<think> adding gives {2 * n + 1} .</think><answer> {2 * n + 1}</answer>"}
        assert all(s.finish_reason == "stop" and s.tokens > 0 and s.prompt_tokens == 5 for s in group)


@pytest.mark.parametrize("field", ["text", "reasoning", "reasoning_content"])
def test_separate_reasoning_is_put_back_into_the_text(tmp_path, field):
    with loopback_server(tmp_path, reasoning_field=field) as url:
        [[sample]] = sample_all(make_sampler(url, "chat"), [chat_question(3)])
    assert sample.text == "<think> adding gives 7 .</think><answer> 7</answer>"


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"message": {"content": "sum is 7</think>7"}, "finish_reason": "stop"}, "<think>sum is 7</think>7"),
        ({"message": {"content": None, "reasoning": "so far"}, "finish_reason": "length"}, "<think>so far"),
        ({"message": {"content": "7", "reasoning": None}, "finish_reason": "stop"}, "7"),
        ({"message": {"content": "a <think>b</think>c"}, "finish_reason": "stop"}, "a <think>b</think>c"),
        (
            {
                "message": {
                    "content": [
                        {"type": "thinking", "thinking": [{"type": "text", "text": "so"}]},
                        {"type": "text", "text": "7"},
                    ]
                },
                "finish_reason": "stop",
            },
            "<think>so</think>7",
        ),
    ],
)
def test_the_text_of_a_choice(tmp_path, choice, text):
    with loopback_server(tmp_path) as url:
        engine = make_sampler(url, "chat")
        [sample] = engine.request_format.parse_response(json.dumps({"choices": [choice]}).encode(), 1)
        assert sample.text == text
        apart = {"<think>so far": "<think>so far", "<think>so</think>7": "<think>so</think>"}
        assert text[: sample.separate_reasoning_chars] == apart.get(text, "")
        engine.close()


def test_thinking_that_a_template_opens_and_nothing_closes_is_no_answer(tmp_path):
    with loopback_server(tmp_path) as url:
        engine = make_sampler(url, "chat")

        def read(text, reason):
            body = {"choices": [{"message": {"content": text}, "finish_reason": reason}]}
            return engine.request_format.parse_response(json.dumps(body).encode(), 1)[0].text

        assert read("it is \\boxed{4}. Wait", "length") == "it is \\boxed{4}. Wait"
        assert read("so</think>7", "stop") == "<think>so</think>7"
        assert read("it is \\boxed{4}. Wait", "length") == "<think>it is \\boxed{4}. Wait"
        assert read("7", "stop") == "7"
        engine.close()


@pytest.mark.parametrize(
    ("server_reason", "finish_reason"),
    [("eos", "stop"), ("end_turn", "stop"), ("max_tokens", "length"), ("tool_calls", "tool_calls")],
)
def test_finish_reasons_by_other_names_are_translated(tmp_path, server_reason, finish_reason):
    with loopback_server(tmp_path) as url:
        engine = make_sampler(url)
        body = json.dumps({"choices": [{"text": "7", "finish_reason": server_reason}]}).encode()
        assert engine.request_format.parse_response(body, 1)[0].finish_reason == finish_reason
        with pytest.raises(ValueError, match="cut off: error"):
            engine.request_format.parse_response(body.replace(server_reason.encode(), b"error"), 1)
        engine.close()


def test_a_request_asks_for_several_samples_if_the_server_supports_n(tmp_path):
    with loopback_server(tmp_path) as url:
        groups = sample_all(
            make_sampler(url, samples=4, samples_per_request=3), [sum_question(n) for n in range(5)], group_size=4
        )
        assert request_counts(url)["requests"] == 10
    assert [len(group) for group in groups] == [4] * 5
    assert sum(s.prompt_tokens for s in groups[0]) == 10


def test_a_server_that_ignores_n_is_an_error(tmp_path):
    with (
        loopback_server(tmp_path, supports_n=False) as url,
        pytest.raises(UserError, match="it does not support n; set it to 1"),
    ):
        sample_all(make_sampler(url, samples=4, samples_per_request=4), [sum_question(1)], group_size=4)


def test_each_sample_has_a_seed_that_stays_the_same(tmp_path):
    with loopback_server(tmp_path, wrong_fraction=0.5) as url:
        prompts = [sum_question(n) for n in range(40)]
        first = sample_all(make_sampler(url), prompts, group_size=4)
        again = sample_all(make_sampler(url), prompts, group_size=4)
    assert first == again
    assert any(len({s.text for s in group}) > 1 for group in first)


def test_requests_at_once_are_limited_and_batches_are_taken_as_needed(tmp_path):
    taken = []

    def units():
        for i in range(200):
            taken.append(i)
            yield PromptBatch(i, [sum_question(i)] * 4, i)

    with loopback_server(tmp_path, answer_seconds=0.02) as url:
        engine = make_sampler(url, concurrency=8)
        stream = engine.stream(units(), 1)
        for _ in range(3):
            next(stream)
        time.sleep(0.3)  # whoever takes the samples is slow: nothing more is begun
        assert len(taken) <= 3 + 2 * 8 // 4 + 1
        assert request_counts(url)["most_at_once"] <= 8
        assert sum(1 for _ in stream) == 197
        engine.close()


def test_work_goes_to_all_servers(tmp_path):
    with loopback_server(tmp_path, answer_seconds=0.01) as one, loopback_server(tmp_path, answer_seconds=0.01) as two:
        engine = make_sampler(one)
        engine.close()
        settings = SamplingConfig(engine="openai", max_tokens=8, server={"urls": [one, two], "concurrency": 4, **FAST})
        sample_all(
            ServerSampler(ModelConfig(path="m"), PromptConfig(), settings), [sum_question(n) for n in range(100)]
        )
        share = request_counts(one)["requests"]
        assert share + request_counts(two)["requests"] == 100
        assert 30 < share < 70


def test_a_prompt_beyond_the_context_has_the_finish_reason_context(tmp_path):
    with loopback_server(tmp_path, max_prompt_chars=60) as url:
        prompts = [sum_question(1), sum_question(2) + " " * 100, sum_question(3)]
        groups = sample_all(make_sampler(url), prompts)
    assert [g[0].finish_reason for g in groups] == ["stop", "context", "stop"]
    assert groups[1][0].text == ""


def test_answers_without_choices_are_given_up_after_the_last_try_and_the_rest_goes_on(tmp_path):
    with loopback_server(tmp_path, faults={"empty": 0.3, "silent": 0.1}, seed=3) as url:
        engine = make_sampler(url, "chat", retries=1)
        groups = sample_all(engine, [chat_question(n) for n in range(60)])
    reasons = collections.Counter(g[0].finish_reason for g in groups)
    assert set(reasons) == {"stop", "failed"}
    assert engine.count_events()["failed"] == reasons["failed"]


def test_a_prompt_that_never_gets_an_answer_does_not_end_the_run(tmp_path):
    with loopback_server(tmp_path, error_text="7 + 8") as url:
        engine = make_sampler(url, retries=2)
        groups = sample_all(engine, [sum_question(n) for n in range(12)])  # the last ones are not alone, 7 is
        alone = make_sampler(url, retries=1)
        last = sample_all(alone, [sum_question(1), sum_question(7)], batch_size=1)
    assert [n for n, group in enumerate(groups) if group[0].finish_reason == "failed"] == [7]
    assert [group[0].finish_reason for group in last] == ["stop", "failed"]


def test_a_prompt_that_is_refused_does_not_end_the_run_however_many_samples_it_has(tmp_path):
    with loopback_server(tmp_path, refused_text="7 + 8", answer_seconds=0.3) as url:
        groups = sample_all(make_sampler(url, samples=16), [sum_question(7), sum_question(8)], group_size=16)
    assert [{s.finish_reason for s in group} for group in groups] == [{"refused"}, {"stop"}]
    with loopback_server(tmp_path, refused_text="7 + 8", faults={"429": 0.6}) as url:
        groups = sample_all(make_sampler(url, retries=30), [sum_question(n) for n in range(12)], batch_size=1)
    assert [n for n, group in enumerate(groups) if group[0].finish_reason == "refused"] == [7]


def test_a_resumed_run_with_only_refused_prompts_left_does_not_end_in_an_error(tmp_path):
    """Twenty bad prompts among those of an earlier session: what was answered then says that the server is well."""
    problems = [{"prompt": f"Bad thing {n}?", "answer": "1"} for n in range(20)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in problems))
    data = {"train": [str(tmp_path / "p.jsonl"), write_sums(tmp_path, 40)]}
    run = tmp_path / "run"
    with loopback_server(tmp_path, refused_text="Bad thing") as url:
        sampling = {"engine": "openai", "samples": 1, "batch_size": 1, "server": {"urls": url, **FAST}}
        file = write_server_recipe(url, tmp_path, data=data, sampling=sampling)
        r1kit("generate", file, f"output={run}")
        for shard in run.glob("samples/shard-*.parquet"):
            if read_rows(shard)[0]["finish_reason"] == "refused":
                shard.unlink()
        (run / "run.json").write_text(json.dumps({**read_info(run), "status": "interrupted"}))
        r1kit("generate", file, f"output={run}")
    reasons = collections.Counter(row["finish_reason"] for f in run.glob("samples/*.parquet") for row in read_rows(f))
    assert reasons == {"refused": 20, "stop": 40}


def test_a_server_that_stays_busy_ends_the_run_and_makes_no_failed_rows(tmp_path):
    with (
        loopback_server(tmp_path, busy_text="7 + 8") as url,
        pytest.raises(UserError, match=r"stopped answering \(status 429"),
    ):
        sample_all(make_sampler(url, retries=2), [sum_question(n) for n in range(12)])


def test_identical_samples_are_noted(tmp_path):
    for wrong_fraction, is_noted in ((0.0, True), (0.5, False)):
        with loopback_server(tmp_path, wrong_fraction=wrong_fraction) as url:
            _, err = r1kit(
                "generate", write_server_recipe(url, tmp_path), f"output={tmp_path / f'run{wrong_fraction}'}"
            )
        assert ("the 4 samples of each prompt are identical at temperature 1.0" in err) is is_noted


def test_a_response_with_empty_text_is_a_completion(tmp_path):
    with loopback_server(tmp_path) as url:
        engine = make_sampler(url, "chat")
        empty = {"message": {"content": None, "reasoning_content": None}, "finish_reason": "stop"}
        assert engine.request_format.parse_response(json.dumps({"choices": [empty]}).encode(), 1)[0].text == ""
        engine.close()


def test_a_budget_allows_as_many_batches_as_the_mean_cost_of_finished_ones():
    from r1kit.completions import SampledCompletion
    from r1kit.recipe import BudgetConfig
    from r1kit.sampling.budget import BudgetMeter

    meter = BudgetMeter(BudgetConfig(tokens=1000))
    assert meter.can_start_batch()
    meter.start_batch()
    assert not meter.can_start_batch()  # until the cost of the first is known, one at a time
    meter.finish_batch([[SampledCompletion("", 200, "stop")]])
    for _ in range(4):
        assert meter.can_start_batch()
        meter.start_batch()
    assert not meter.can_start_batch()  # five of 200
    for _ in range(4):
        meter.finish_batch([[SampledCompletion("", 195, "stop")]])
    assert meter.tokens == 980
    assert not meter.can_start_batch()


@pytest.mark.parametrize(
    ("unpaid_status", "field"), [(402, "model.path = loopback"), (400, "sampling.server.urls = http")]
)
def test_an_empty_account_ends_the_run_and_makes_no_failed_rows(tmp_path, unpaid_status, field):
    run = tmp_path / "run"
    with loopback_server(tmp_path, paid_requests=60, unpaid_status=unpaid_status) as url:
        sampling = {"engine": "openai", "samples": 2, "batch_size": 4, "server": {"urls": url, **FAST}}
        file = write_server_recipe(url, tmp_path, sampling=sampling)
        _, err = r1kit("generate", file, f"output={run}", "sampling.server.concurrency=2", code=2)
    assert err.strip().splitlines()[-1].startswith(f"error: {field}")
    rows = [row for file in run.glob("samples/*.parquet") for row in read_rows(file)]
    assert 30 < len(rows) < 80
    assert {row["finish_reason"] for row in rows} == {"stop"}
    with loopback_server(tmp_path) as url:
        r1kit("generate", file, f"output={run}", f"sampling.server.urls={url}")
    assert read_info(run)["rows"] == 80


def test_half_a_surrogate_pair_becomes_a_replacement_character(tmp_path):
    with loopback_server(tmp_path) as url:
        engine = make_sampler(url)
        body = b'{"choices": [{"text": "a \\ud83d b \\ud83d\\ude00", "finish_reason": "stop"}]}'
        assert engine.request_format.parse_response(body, 1)[0].text == "a \ufffd b \U0001f600"
        engine.close()


@pytest.mark.parametrize(
    ("server_settings", "client_settings", "message"),
    [
        (
            {"refuses_all": True},
            {},
            "sampling.server.body = {}; the server refuses every request with 400: unknown field",
        ),
        (
            {"max_tokens_limit": 63},
            {},
            "sampling.max_tokens = 64; no prompt leaves room for 64 tokens: max_tokens is too large",
        ),
        (
            {"faults": {"empty": 1.0}},
            {"retries": 0},
            "sampling.server.body = {}; the server gives no answer that makes",
        ),
        ({"key": "secret"}, {}, "model.path = loopback; http://127.0.0.1:"),
        ({"faults": {"500": 1.0}}, {"retries": 2}, "sampling.server.urls = http://127.0.0.1:"),
        ({"faults": {"timeout": 1.0}}, {"retries": 0, "timeout": 0.2}, "sampling.server.urls = http://127.0.0.1:"),
        ({}, {"key": "R1KIT_NO_SUCH_KEY"}, "sampling.server.key = R1KIT_NO_SUCH_KEY; names an environment variable"),
    ],
)
def test_what_no_further_attempt_can_repair_is_an_error(tmp_path, server_settings, client_settings, message):
    with loopback_server(tmp_path, **server_settings) as url, pytest.raises(UserError) as caught:
        sample_all(make_sampler(url, **client_settings), [sum_question(n) for n in range(20)])
    assert str(caught.value).startswith(message)


def test_the_api_key_is_sent(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret")
    with loopback_server(tmp_path, key="secret") as url:
        [[sample]] = sample_all(make_sampler(url, key="MY_KEY"), [sum_question(1)])
    assert sample.finish_reason == "stop"


def test_a_server_that_is_down_is_an_error_at_once():
    port = free_port()
    started = time.time()
    with pytest.raises(UserError) as caught:
        make_sampler(f"http://127.0.0.1:{port}/v1")
    assert time.time() - started < 2
    assert str(caught.value).startswith(f"sampling.server.urls.0 = http://127.0.0.1:{port}/v1; no server answers there")


def test_a_server_that_misbehaves_loses_and_doubles_nothing(tmp_path):
    """5% each of 429, 500, time-out, cut connection and malformed body."""
    faults = dict.fromkeys(("429", "500", "timeout", "cut", "malformed"), 0.05)
    count = int(os.environ.get("R1KIT_PROMPTS", "500"))
    hard = {"min_terms": 4, "max_terms": 6, "min_digits": 4}
    data = {"train": [{"path": "reasoning_gym:chain_sum", "rows": count, "settings": hard}]}
    with loopback_server(tmp_path, faults=faults, fault_seconds=1.5) as url:
        sampling = {"engine": "openai", "samples": 1, "batch_size": 50, "server": {"urls": url, **FAST}}
        file = write_server_recipe(url, tmp_path, data=data, sampling=sampling)
        _, err = r1kit("generate", file, f"output={tmp_path / 'run'}")
        seen = request_counts(url)
    rows = read_data(tmp_path / "run/data")
    assert len(rows) == len({r["id"] for r in rows}) == count
    assert all(r["correct"] for r in rows)
    assert all(seen[fault] > 0.02 * count for fault in faults)
    assert seen["different"] == count
    assert "retried 429" in err


def test_a_server_that_dies_keeps_what_is_done_and_the_same_command_goes_on(tmp_path):
    run, port = tmp_path / "run", free_port()
    data = {"train": [write_sums(tmp_path, 200)]}
    values = {"retries": 3, "backoff": 0.02, "timeout": 5, "concurrency": 4}
    url = f"http://127.0.0.1:{port}/v1"
    sampling = {"engine": "openai", "samples": 1, "batch_size": 4, "server": {"urls": url, **values}}
    file = write_server_recipe(url, tmp_path, data=data, sampling=sampling)
    with loopback_server(tmp_path, port=port, answer_seconds=0.05):
        process = start_r1kit("generate", file, f"output={run}")
        while len(list(run.glob("samples/*.parquet"))) < 5:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, ""), err
    line = err.strip().splitlines()[-1]
    assert line.startswith(f"error: sampling.server.urls = {url}; stopped answering (")
    assert line.endswith("repair the server, then run the same command again: finished work is kept")
    kept = {p.name: p.stat().st_mtime_ns for p in run.glob("samples/*.parquet")}
    assert kept
    with loopback_server(tmp_path) as moved:  # on another port, which is no other recipe
        out, _ = r1kit("generate", file, f"output={run}", f"sampling.server.urls={moved}")
    assert out == f"{run}\n"
    assert len({r["id"] for r in read_data(run / "data")}) == 200
    now = {p.name: p.stat().st_mtime_ns for p in run.glob("samples/*.parquet")}
    assert all(now[name] == at for name, at in kept.items())


def test_a_budget_ends_the_run_with_what_it_has_and_a_larger_one_goes_on(tmp_path):
    run = tmp_path / "run"
    with loopback_server(tmp_path, answer_seconds=0.005) as url:
        sampling = {"engine": "openai", "samples": 1, "batch_size": 4, "server": {"urls": url, "concurrency": 4}}
        data = {"train": [write_sums(tmp_path, 100)]}
        file = write_server_recipe(url, tmp_path, data=data, sampling=sampling)
        prices = ["sampling.budget.input_price=1000000", "sampling.budget.output_price=2000000"]
        _, err = r1kit("generate", file, f"output={run}", "sampling.budget.cost=900", *prices)
        first = read_info(run)
        assert 0 < first["rows"] < 100
        assert first["cost"] == first["prompt_tokens"] + 2 * first["tokens"]
        assert 500 < first["cost"] < 1000
        assert "the budget is spent" in err
        again, err = r1kit("generate", file, f"output={run}", "sampling.budget.cost=900", *prices)
        assert again == f"{run}\n"
        assert err.startswith("done already: generate, ")
        r1kit("generate", file, f"output={run}", "sampling.budget.cost=100000", *prices)
        assert read_info(run)["rows"] == 100
        assert request_counts(url)["repeated"] == 0


def test_kill_9_at_any_moment_ends_in_the_same_rows(tmp_path):
    import random

    data = {"train": [write_sums(tmp_path, 150)]}
    with loopback_server(tmp_path, wrong_fraction=0.3, answer_seconds=0.02) as url:
        sampling = {"engine": "openai", "samples": 2, "batch_size": 8, "server": {"urls": url, "concurrency": 8}}
        file = write_server_recipe(url, tmp_path, data=data, sampling=sampling)
        r1kit("generate", file, f"output={tmp_path / 'whole'}")
        rng, killed = random.Random(5), tmp_path / "killed"
        for _ in range(int(os.environ.get("R1KIT_KILLS", "1")) + 1):
            process = start_r1kit("generate", file, f"output={killed}")
            wanted = len(list(killed.glob("samples/*.parquet"))) + rng.randint(1, 12)
            while len(list(killed.glob("samples/*.parquet"))) < wanted and process.poll() is None:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        r1kit("generate", file, f"output={killed}")
    key = lambda row: (row["id"], row["sample"])  # noqa: E731
    assert sorted(read_data(tmp_path / "whole/data"), key=key) == sorted(read_data(killed / "data"), key=key)


@pytest.mark.slow
def test_transformers_serve_is_asked_one_request_a_sample(tmp_path):
    """The real server of transformers, with the scale model."""
    from r1kit.runs.paths import SHIPPED_MODELS

    port, model = free_port(), str(SHIPPED_MODELS["tiny:base"])
    command = [str(Path(sys.executable).parent / "transformers"), "serve", "--port", str(port), "--device", "cpu"]
    with model_server([*command, model], port, tmp_path / "log") as url:
        values = {
            "model": {"path": model},
            "data": {"train": [{"path": "world:facts", "rows": 12}]},
            "prompt": {"template": "tiny", "prefill": "<answer>"},
            "sampling": {
                "engine": "openai",
                "samples": 2,
                "max_tokens": 16,
                "temperature": 0.7,
                "batch_size": 8,
                "server": {"urls": url, "concurrency": 2},
            },
            "keep": {"format": False},
        }
        r1kit("generate", write_recipe(tmp_path / "r.yaml", **values), f"output={tmp_path / 'run'}")
    rows = [row for file in sorted((tmp_path / "run/samples").glob("*.parquet")) for row in read_rows(file)]
    assert len(rows) == 24
    assert sum(r["correct"] for r in rows) > 12  # the base knows its capitals
    assert all(r["completion"].startswith("<answer>") for r in rows)


def read_rows(file: Path) -> list[dict]:
    import pyarrow.parquet as pq

    return pq.read_table(file).to_pylist()
