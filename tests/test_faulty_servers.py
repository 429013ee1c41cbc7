"""Servers that answer rubbish: a failure of the server, which is retried, counted and said, and never a completion."""

import json
import threading

import pytest
from helpers import r1kit, read_data, read_info
from raw_servers import answer, http, raw_server
from test_server import FAST, make_sampler, sample_all, sum_question, write_server_recipe, write_sums

from r1kit.errors import UserError
from r1kit.recipe import PromptConfig, SamplingConfig
from r1kit.runs.warning_log import read_warnings
from r1kit.servers.requests import RequestFormat, UnusableResponse, read_retry_after

NESTED = b"[" * 200_000 + b"]" * 200_000
PLAIN = {"template": "r1-zero"}
GOOD = {"text": "7", "finish_reason": "stop"}


def make_format(template: str = "r1-zero") -> RequestFormat:
    settings = SamplingConfig(engine="openai", max_tokens=64)
    return RequestFormat("loopback", PromptConfig(template=template), settings, "sampling")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"7",
        b"[]",
        b'"ok"',
        b"<html>busy</html>",
        b"\xff\xfe\x00",
        json.dumps({"choices": [GOOD]}).encode("utf-16")[:-3],
        b'{"choices": [{"text": "\xe9", "finish_reason": "stop"}]}',  # Latin-1
        NESTED,
        b'{"choices": ' + NESTED + b"}",
        b'{"choices": null}',
        b'{"choices": {"0": 1}}',
        b'{"choices": "abc"}',
        b'{"choices": [null]}',
        b'{"choices": [[]]}',
        b'{"choices": [{}]}',
        b'{"choices": [{"text": null, "finish_reason": "stop"}]}',
        b'{"choices": [{"text": 7, "finish_reason": "stop"}]}',
        b'{"choices": [{"text": ["7"], "finish_reason": "stop"}]}',
        b'{"choices": [{"text": "7"}]}',
        b'{"choices": [{"text": "7", "finish_reason": {"a": 1}}]}',
        b'{"choices": [{"text": "7", "finish_reason": ["stop"]}]}',
        b'{"choices": [{"text": "7", "finish_reason": "error"}]}',
        b'{"error": {"message": "out of memory"}}',
        b'{"error": "no", "choices": [{"text": "7", "finish_reason": "stop"}]}',
        b'{"choices": [{"text": "7", "finish_reason": "stop", "index": ' + b"1" * 5000 + b"}]}",
    ],
)
def test_a_response_that_holds_no_completion_is_unusable(content):
    with pytest.raises(UnusableResponse):
        make_format().parse_response(content, 1)


@pytest.mark.parametrize(
    "message", [{}, None, 7, {"content": 7}, {"content": {"a": 1}}, {"content": "7", "reasoning": 5}, {"content": [7]}]
)
def test_a_chat_message_without_text_is_unusable(message):
    content = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    with pytest.raises(UnusableResponse):
        make_format("chat").parse_response(content, 1)


def test_the_error_in_a_response_of_status_200_is_told():
    with pytest.raises(UnusableResponse, match="it holds an error: out of memory"):
        make_format().parse_response(b'{"error": {"message": "out of memory", "code": 500}}', 1)


def test_a_choice_that_stands_twice_in_a_response_is_no_second_sample():
    twice = json.dumps({"choices": [{**GOOD, "index": 0}, {**GOOD, "index": 0}]}).encode()
    with pytest.raises(UnusableResponse, match="twice"):
        make_format().parse_response(twice, 2)
    distinct = json.dumps({"choices": [{**GOOD, "index": 0}, {**GOOD, "index": 1}]}).encode()
    assert len(make_format().parse_response(distinct, 2)) == 2


@pytest.mark.parametrize(
    "count",
    [-1, "many", "12", 10**9, 1e400, float("nan"), True, [3], {"n": 3}, 10**30],
)
def test_a_count_of_tokens_that_cannot_be_is_told_once_and_not_taken(count, capsys):
    request_format = make_format()
    body = {"choices": [{"text": "one two three", "finish_reason": "stop"}]}
    body["usage"] = {"prompt_tokens": count, "completion_tokens": count}
    for _ in range(2):
        [sample] = request_format.parse_response(json.dumps(body).encode(), 1)
        assert sample.tokens == 3
        assert sample.prompt_tokens in (0, 10**9)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: the server counts tokens that cannot be (")
    assert len(line) < 200


@pytest.mark.parametrize("usage", [None, [], "none", 7, {}, {"completion_tokens": None}])
def test_without_a_count_of_tokens_words_are_counted(usage):
    body = {"choices": [{"text": "one two three", "finish_reason": "stop"}], "usage": usage}
    assert make_format().parse_response(json.dumps(body).encode(), 1)[0].tokens == 3


def test_a_server_that_answers_as_another_model_is_told_once(capsys):
    request_format = make_format()
    for name in ("loopback", "org/loopback", "loopback-2026-01-01", "", None, 7, "gpt-2", "gpt-3"):
        request_format.parse_response(json.dumps({"choices": [GOOD], "model": name}).encode(), 1)
    assert capsys.readouterr().err == "warning: the server answers as the model gpt-2, not as loopback\n"


BROKEN = {
    "truncated": (http('{"choices": [{"te', length=500), "retried connection"),
    "nothing": (b"", "retried connection"),
    "no http": (b"SSH-2.0-OpenSSH_9.2\r\n", "retried connection"),
    "half a header": (b"HTTP/1.1 200 OK\r\nContent-Le", "retried connection"),
    "long header": (http("{}", X=("y" * 100_000)), "retried connection"),
    "no gzip": (http('{"choices": []}', Content_Encoding="gzip"), "retried connection"),
    "bad chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "retried connection"),
    "bad length": (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}", "retried connection"),
    "html": (http("<html>hello</html>", Content_Type="text/html"), "retried body"),
    "charset": (http("é".encode("latin-1"), Content_Type="application/json; charset=latin-1"), "retried body"),
    "nested": (http(NESTED), "retried body"),
    "error": (http('{"error": {"message": "overloaded"}}'), "retried body"),
    "no content": (http("", "204 No Content"), "retried body"),
    "nested error": (http(NESTED, "500 Internal Server Error"), "retried 500"),
    "silence": (None, "retried timeout"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_counted_and_asked_for_again(name):
    broken, event = BROKEN[name]
    with raw_server(lambda number, body: broken if number == 1 else answer()) as url:
        sampler = make_sampler(url, concurrency=1, timeout=0.5)
        groups = sample_all(sampler, [sum_question(n) for n in range(3)])
    assert [[sample.finish_reason for sample in group] for group in groups] == [["stop"]] * 3
    assert sampler.count_events()[event] == 1


def test_a_response_without_end_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr("r1kit.servers.endpoints.MAX_RESPONSE_BYTES", 1000)
    with raw_server(lambda number, body: http("x" * 5000) if number == 1 else answer()) as url:
        sampler = make_sampler(url, concurrency=1)
        groups = sample_all(sampler, [sum_question(n) for n in range(3)])
    assert all(group[0].finish_reason == "stop" for group in groups)
    assert sampler.count_events()["retried body"] == 1


def test_prompts_are_not_sent_to_where_a_server_redirects():
    received = []
    with raw_server(lambda number, body: received.append(body) or answer()) as elsewhere:
        moved = http("", "307 Temporary Redirect", Location=f"{elsewhere}/completions")
        with raw_server(lambda number, body: moved) as url, pytest.raises(UserError) as caught:
            sample_all(make_sampler(url), [sum_question(1)])
    assert f"answers 307: it is redirected to {elsewhere}/completions; check the address" in str(caught.value)
    assert received == []


def test_a_long_wait_that_a_server_asks_for_is_said_and_bounded(monkeypatch, capsys):
    assert read_retry_after("100000") == 100000
    monkeypatch.setattr("r1kit.servers.endpoints.SILENT_PAUSE", 0.1)
    monkeypatch.setattr("r1kit.servers.endpoints.MAX_RETRY_AFTER", 0.2)
    busy = http('{"error": {"message": "slow down"}}', "429 Too Many Requests", Retry_After="100000")
    with raw_server(lambda number, body: busy if number < 3 else answer()) as url:
        groups = sample_all(make_sampler(url, concurrency=4), [sum_question(n) for n in range(4)])
    assert all(group[0].finish_reason == "stop" for group in groups)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"warning: {url} asks to wait 100000 s (Retry-After); it is asked again after 0.2 s"
    assert len(lines) < 3


def test_a_request_that_one_of_two_servers_fails_goes_to_the_other():
    counts = {"rubbish": 0, "good": 0}
    lock = threading.Lock()

    def count(name: str, response: bytes) -> bytes:
        with lock:
            counts[name] += 1
        return response

    with (
        raw_server(lambda number, body: count("rubbish", http("{}"))) as rubbish,
        raw_server(lambda number, body: count("good", answer())) as good,
    ):
        sampler = make_sampler([rubbish, good], concurrency=2, retries=1)
        groups = sample_all(sampler, [sum_question(n) for n in range(40)])
    assert all(group[0].finish_reason == "stop" for group in groups)
    assert counts["good"] == 40


def test_a_server_that_turns_to_rubbish_ends_the_run_and_the_same_command_mends_it(tmp_path):
    run = tmp_path / "run"
    sampling = {"engine": "openai", "samples": 1, "batch_size": 4}
    with raw_server(lambda number, body: answer() if number < 17 else http('{"choices": []}')) as url:
        server = {"urls": url, **FAST, "retries": 1, "concurrency": 2}
        values = {"sampling": {**sampling, "server": server}, "keep": {"correct": False}, "prompt": PLAIN}
        file = write_server_recipe(url, tmp_path, **values)
        out, err = r1kit("generate", file, f"output={run}", code=2)
    assert out == ""
    line = err.strip().splitlines()[-1]
    assert line.startswith(
        f"error: sampling.server.urls = {url}; no longer gives answers that make sense (the answer mak"
    )
    assert line.endswith("repair the server, then run the same command again: finished work is kept")
    assert list(run.glob("samples/shard-*.parquet"))
    assert not list(run.glob("samples/*.failed"))
    with raw_server(lambda number, body: answer()) as url:
        r1kit("generate", file, f"output={run}", f"sampling.server.urls={url}")
    rows = read_data(run / "data")
    assert (len(rows), {row["finish_reason"] for row in rows}) == (40, {"stop"})


def test_samples_that_failed_are_asked_for_again_by_the_same_command(tmp_path):
    run = tmp_path / "run"
    sampling = {"engine": "openai", "samples": 1, "batch_size": 1}
    rubbish = http('{"choices": []}')

    def is_bad(body: dict) -> bool:
        return any(sum_question(n) in body["prompt"] for n in range(110, 114))

    with raw_server(lambda number, body: rubbish if is_bad(body) else answer()) as url:
        values = {
            "sampling": {**sampling, "server": {"urls": url, **FAST, "retries": 1}},
            "keep": {"correct": False},
            "prompt": PLAIN,
        }
        file = write_server_recipe(url, tmp_path, **values)
        _, err = r1kit("generate", file, f"output={run}")
    assert read_info(run)["rows"] == 36
    assert "samples have no completion, since the server gave none; the same command asks for these batches" in err
    texts = [warning["text"] for warning in read_warnings(run)]
    assert any(text.startswith("generate: in 4 of 40 batches, samples have no completion") for text in texts)
    asked = []
    with raw_server(lambda number, body: asked.append(body) or answer()) as url:
        r1kit("generate", file, f"output={run}", f"sampling.server.urls={url}")
        assert read_info(run)["rows"] == 40
        assert len(asked) < 10
        _, err = r1kit("generate", file, f"output={run}", f"sampling.server.urls={url}")
    assert "done already" in err


def test_a_run_without_any_answer_blames_the_server_and_not_the_filters(tmp_path):
    run = tmp_path / "run"
    data = {"train": [write_sums(tmp_path, 3)]}
    sampling = {"engine": "openai", "samples": 1, "batch_size": 4}
    with raw_server(lambda number, body: http('{"choices": []}')) as url:
        values = {
            "sampling": {**sampling, "server": {"urls": url, **FAST, "retries": 1}},
            "data": data,
            "prompt": PLAIN,
        }
        file = write_server_recipe(url, tmp_path, **values)
        _, err = r1kit("generate", file, f"output={run}", code=2)
    assert f"error: sampling.server.urls = {url}; gave no completion for 3 of 3 samples; repair the server" in err
    with raw_server(lambda number, body: answer()) as url:
        r1kit("generate", file, f"output={run}", f"sampling.server.urls={url}", "keep.correct=false")
    assert read_info(run)["rows"] == 3
