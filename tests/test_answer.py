"""`r1kit answer`: new questions by the method that was measured, with what each answer cost, and its errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import r1kit

from r1kit.commands.answer import ANSWER_COLUMNS
from r1kit.errors import UserError
from r1kit.scaling.answering import count_votes
from r1kit.scaling.choice import MeasuredModel, MethodChoice, parse_method

SCALING = {
    "model": {"path": "tiny:base"},
    "data": {"eval": [{"path": "world:arithmetic", "rows": 20, "split": "test"}]},
    "prompt": {"template": "tiny", "prefill": "<think>"},
    "sampling": {"samples": 4, "max_tokens": 32, "batch_size": 80, "temperature": 1.0, "top_p": 1.0},
    "scaling": {"sure": [0.6]},
}


def write_questions(path, count=6):
    rows = [{"prompt": f"What is {n} + 4?", "answer": str(n + 4), "mine": n} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def read_rows(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def scaling_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answer")
    (folder / "scaling.yaml").write_text(json.dumps(SCALING))
    before = os.getcwd()
    os.chdir(folder)
    try:
        r1kit("eval", "scaling.yaml", "output=runs/scaling")
    finally:
        os.chdir(before)
    return folder


def test_questions_are_answered_by_the_method_that_was_recommended(scaling_run, monkeypatch):
    monkeypatch.chdir(scaling_run)
    questions = write_questions(scaling_run / "questions.jsonl")
    [model] = json.loads((scaling_run / "runs/scaling/scaling.json").read_text())["models"]
    out, err = r1kit("answer", "tiny:base", "questions.jsonl")
    rows = read_rows(out)
    best = model["recommended"][-1]
    assert f"method {best['method']}: {best['tokens']:.1f} tokens a question" in err
    assert [row["mine"] for row in rows] == [row["mine"] for row in questions]
    assert [row["answer"] for row in rows] == [row["answer"] for row in questions]  # the gold answers stay
    assert all(row["method"] == best["method"] and set(ANSWER_COLUMNS) < row.keys() for row in rows)
    assert f"{sum(row['tokens'] for row in rows) / 6:.1f} tokens each" in err

    # Within a budget, the best of those that cost no more; below the cheapest, an error that names it.
    cheapest = model["recommended"][0]
    out, _ = r1kit("answer", "tiny:base", "questions.jsonl", "--budget", str(cheapest["tokens"]))
    assert {row["method"] for row in read_rows(out)} == {cheapest["method"]}
    _, err = r1kit("answer", "tiny:base", "questions.jsonl", "--budget", "1", code=2)
    assert f"the cheapest method, {cheapest['method']}, takes {cheapest['tokens']:.1f} tokens a question" in err


@pytest.mark.parametrize(
    ("method", "samples"),
    [
        ("greedy", 1),
        ("sample", 1),
        ("vote@3", 3),
        ("vote@3,by=logprob", 3),
        ("best@3,by=shortness", 3),
        ("stop@4,sure=0.6", None),
        ("direct@2,sure=0.6", None),
        ("budget@6", 1),
        ("wait@1", 1),
    ],
)
def test_each_method_answers_with_its_samples(scaling_run, monkeypatch, method, samples):
    monkeypatch.chdir(scaling_run)
    write_questions(scaling_run / "questions.jsonl")
    out, _ = r1kit("answer", "tiny:base", "questions.jsonl", "--method", method)
    rows = read_rows(out)
    assert len(rows) == 6
    for row in rows:
        assert row["method"] == method
        assert row["tokens"] > 0
        assert row["parsed_answer"] is None or row["parsed_answer"] in row["completion"]
        if samples:
            assert row["samples"] == samples
    if method.startswith("stop"):
        assert all(1 <= row["samples"] <= 4 for row in rows)
        # Two equal answers of two are 2/3 of all weights, and stop; a single one is 1/2, and does not.
        assert all(row["samples"] >= 2 for row in rows)
        assert any(row["samples"] == 2 for row in rows)
        sure = [row["confidence"] for row in rows if row["samples"] < 4]
        assert all(confidence >= 0.6 for confidence in sure)


def test_the_same_command_goes_on_and_then_prints_the_path(scaling_run, monkeypatch):
    monkeypatch.chdir(scaling_run)
    questions = write_questions(scaling_run / "many.jsonl")
    command = ("answer", "tiny:base", "many.jsonl", "--method", "vote@2", "sampling.batch_size=4", "-o", "many.out")
    out, _ = r1kit(*command)
    assert out == "many.out\n"
    first = (scaling_run / "many.out").read_bytes()
    shards = sorted((scaling_run / "many.out.samples/samples").glob("*.parquet"))
    assert len(shards) == 3
    # A finished command does nothing: its samples could not be read.
    kept = shards[0].read_bytes()
    shards[0].write_bytes(b"")
    assert r1kit(*command)[0] == "many.out\n"
    shards[0].write_bytes(kept)
    # An interrupted one samples the missing shard alone, and ends in the same rows.
    work = scaling_run / "many.out.samples/answer.json"
    work.write_text(json.dumps({**json.loads(work.read_text()), "finished": False}))
    shards[1].unlink()
    times = [shard.stat().st_mtime_ns for shard in (shards[0], shards[2])]
    r1kit(*command)
    assert (scaling_run / "many.out").read_bytes() == first
    assert [shard.stat().st_mtime_ns for shard in (shards[0], shards[2])] == times
    # Other questions or another method do not go into the same samples.
    _, err = r1kit("answer", "tiny:base", "many.jsonl", "--method", "vote@3", "-o", "many.out", code=2)
    assert "holds samples of another method" in err
    (scaling_run / "many.jsonl").write_text(json.dumps(questions[0]) + "\n")
    _, err = r1kit(*command, code=2)
    assert "holds samples of other questions" in err


def test_text_stdin_csv_and_repeated_questions(here, monkeypatch):
    (here / "q.txt").write_text("What is 3 + 4?\n\nWhat is 5 + 4?\nWhat is 3 + 4?\n")
    asked = ("prompt.template=tiny", "prompt.prefill=<think>", "sampling.max_tokens=32")
    out, err = r1kit("answer", "tiny:base", "q.txt", *asked)
    rows = read_rows(out)
    assert [row["prompt"] for row in rows] == ["What is 3 + 4?", "What is 5 + 4?", "What is 3 + 4?"]
    assert rows[0] == rows[2]
    assert "no eval run with scaling has measured tiny:base, so each question gets the greedy answer" in err
    (here / "q.csv").write_text("question,license\nWhat is 3 + 4?,MIT\n")
    [row] = read_rows(r1kit("answer", "tiny:base", "q.csv", *asked)[0])
    assert (row["license"], row["completion"]) == ("MIT", rows[0]["completion"])
    command = [Path(sys.executable).with_name("r1kit"), "answer", "tiny:base", "-", "-o", "-", *asked]
    done = subprocess.run(command, input="What is 3 + 4?\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert read_rows(done.stdout)[0]["completion"] == rows[0]["completion"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--budget", "50"], "error: --budget = 50.0; no eval run with scaling has measured tiny:base; measure"),
        (["--method", "vote"], "error: --method = vote; needs a number after vote@; write it as greedy"),
        (["--method", "votes@4"], "error: --method = votes@4; no such method; did you mean"),
        (["--method", "best@4"], "error: --method = best@4; best needs what the best is chosen by; add"),
        (["--method", "vote@4,by=beauty"], "nothing scores by beauty"),
        (["--method", "vote@4,by=verifier"], "is guided by a verifier; name its run by --verifier RUN"),
        (["--method", "vote@4,by=verifier", "--verifier", "none"], "error: --verifier = none; has no verifier"),
        (["--method", "stop@4,sure=2"], "sure must be above 0 and at most 1"),
        (["--method", "greedy", "--budget", "5"], "sets already how each question is answered; use one of the two"),
        (["--scaling", "nowhere"], "error: --scaling = nowhere; is no eval run with a scaling.json"),
        (["rewards=[]"], "only model, prompt, sampling, answers, seed can be set here"),
    ],
)
def test_what_cannot_be_done_is_one_line(here, arguments, line):
    (here / "q.txt").write_text("What is 3 + 4?\n")
    out, err = r1kit("answer", "tiny:base", "q.txt", *arguments, code=2)
    assert out == ""
    assert line in err
    assert len([text for text in err.splitlines() if text.startswith("error:")]) == 1


def test_questions_that_cannot_be_read(here):
    for name, text, line in (
        ("none.jsonl", None, "QUESTIONS = none.jsonl; no such file; check the path, or pipe questions to -"),
        ("empty.txt", "\n", "has no questions"),
        ("no.jsonl", '{"text_of_it": 1}\n', "needs a column prompt"),
    ):
        if text is not None:
            (here / name).write_text(text)
        _, err = r1kit("answer", "tiny:base", name, "prompt.template=tiny", code=2)
        assert line in err


def test_votes_by_hand():
    def row(answer, logprob=None):
        completion = f"<think>x</think><answer>{answer}</answer>" if answer else "<think>"
        return {"completion": completion, "checker": "math", "logprob": logprob}

    group = [row("4"), row("5"), row("5.0"), row("")]
    [plain] = count_votes([group], [[1, 1, 1, 1]], "any")
    assert (plain.answer, plain.agreement, plain.weight_share) == ("5", 0.5, 2 / 3)
    [weighted] = count_votes([group], [[0.9, 0.1, 0.3, 1]], "any")
    assert (weighted.answer, weighted.agreement, weighted.greatest_weight) == ("4", 0.25, 0.9)
    [later] = count_votes([group], [[0.1, 0.1, 0.3, 1]], "any")
    assert later.row is group[2]
    [nobody] = count_votes([[row(""), row("")]], [[1, 1]], "any")
    assert (nobody.answer, nobody.agreement) == (None, 0.0)


@pytest.mark.parametrize(
    "option", ["greedy", "sample", "vote@4", "best@8,by=verifier", "stop@16,by=verifier,sure=0.95", "budget@512"]
)
def test_a_method_is_read_as_it_is_written(option):
    assert parse_method(option).option == option


def test_the_best_method_within_the_budget_is_taken(tmp_path):
    recommended = []
    for tokens, method in ((20.5, "greedy"), (80.0, "vote@4"), (320.0, "best@16,by=verifier")):
        recommended.append({"method": method, "tokens": tokens})
    measured = MeasuredModel(tmp_path, "m", "m", recommended, [])
    assert measured.choose(100) == MethodChoice("vote", 4)
    assert measured.choose(None) == MethodChoice("best", 16, "verifier")
    assert measured.choose(20.5) == MethodChoice("greedy")
    with pytest.raises(UserError, match=r"raise it to at least 20\.5"):
        measured.choose(20)
