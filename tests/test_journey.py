"""Journeys: pairs, stitching, and the rewriting of kept rows, by a teacher on the loopback."""

import pyarrow.parquet as pq
import pytest
from helpers import r1kit, read_data, read_info, write_recipe
from servers import loopback_server, request_counts

from r1kit.answers.extract import parse_completion
from r1kit.data.journey import find_journey_pairs, split_steps, stitch_journey
from r1kit.recipe import RefineConfig
from r1kit.sampling.rewrite import format_reply, refine_tasks


def make_row(thinking, answer, correct, **changes):
    completion = f"<think> {thinking}</think><answer> {answer}</answer>"
    columns = {"id": "a", "prompt": "q", "completion": completion, "correct": correct, "finish_reason": "stop"}
    return {**columns, "target_language": "en", "thinking": True, **changes}


RIGHT = make_row("2 plus 3 is 5. 5 plus 4 is 9. 9 minus 1 is 8.", "8", True)
WRONG = make_row("2 plus 3 is 5. 5 plus 4 is 8. 8 minus 1 is 7.", "7", False)
FAR = make_row("2 minus 3 is 1. 1 plus 4 is 5.", "5", False)


def test_steps_are_sentences_or_lines():
    assert split_steps(" 2 plus 3 is 5. 5 is 1.5 more.\nSo: 6") == ["2 plus 3 is 5.", "5 is 1.5 more.", "So: 6"]
    assert split_steps("二加三是五。五加四是九。") == ["二加三是五。", "五加四是九。"]


def test_the_pair_that_goes_furthest_together_is_taken():
    [pair] = find_journey_pairs([FAR, WRONG, RIGHT], 1)
    assert (pair.wrong, pair.right, pair.common_steps) == (WRONG, RIGHT, 1)


@pytest.mark.parametrize(
    "group",
    [
        [RIGHT, RIGHT],
        [WRONG, FAR],
        [RIGHT, {**WRONG, "correct": None}],
        [RIGHT, {**WRONG, "finish_reason": "length"}],
        [RIGHT, make_row("", "7", False)],
        [RIGHT, make_row("2 plus 3 is 5. 5 plus 4 is 9.", "9", False)],  # it stops too early, at no wrong step
    ],
)
def test_without_a_step_that_went_wrong_there_is_no_journey(group):
    assert find_journey_pairs(group, 3) == []


def test_each_right_completion_makes_one_journey():
    other = make_row("3 plus 2 is 5. 5 plus 3 is 8.", "8", True)
    assert [p.right for p in find_journey_pairs([RIGHT, other, WRONG, FAR], 9)] == [RIGHT, other]


def test_a_journey_tries_notices_goes_back_and_succeeds():
    [pair] = find_journey_pairs([WRONG, RIGHT], 1)
    journey = stitch_journey(pair)
    assert journey == (
        "<think> 2 plus 3 is 5. 5 plus 4 is 8. 8 minus 1 is 7. Wait, that is not right. "
        "Let me go back to: 2 plus 3 is 5. 5 plus 4 is 9. 9 minus 1 is 8.</think><answer> 8</answer>"
    )
    assert parse_completion(journey).well_formed()
    assert "8 minus 1" not in stitch_journey(pair, max_wrong_steps=1)


def test_a_journey_that_parts_at_once_begins_again_in_its_language():
    [pair] = find_journey_pairs([FAR, {**RIGHT, "target_language": "fa"}], 1)
    thinking = parse_completion(stitch_journey(pair)).thinking
    assert "صبر کن" in thinking
    assert "از نو شروع می‌کنم" in thinking


REPLY = "<think>Long live the sum.</think><summary>It is 8.</summary><answer>8</answer>"


@pytest.mark.parametrize(
    ("reply", "checker", "summary", "answer"),
    [
        (REPLY, "math", True, "It is 8.\n\n\\boxed{8}"),
        (REPLY, "math", False, "8"),
        (REPLY, "exact", True, "8"),
        (REPLY.replace("<answer>8", "<answer>\\boxed{8}"), "math", True, "It is 8.\n\n\\boxed{8}"),
        (REPLY, "code", True, "It is 8.\n\n```python\n8\n```"),
        ("<think>I must rewrite this.</think>" + REPLY, "math", False, "8"),
    ],
)
def test_a_reply_becomes_a_completion_of_the_exact_form(reply, checker, summary, answer):
    completion = format_reply(reply, {"checker": checker}, summary)
    assert completion == f"<think>\nLong live the sum.\n</think>\n<answer>\n{answer}\n</answer>"
    assert parse_completion(completion).well_formed()


@pytest.mark.parametrize("part", ["think", "summary", "answer"])
def test_a_reply_that_lacks_a_part_is_none(part):
    assert format_reply(REPLY.replace(f"</{part}>", ""), {"checker": "math"}, True) is None


def test_braces_in_a_row_stay_as_they_are():
    [task] = refine_tasks(
        [make_row("{answer} and {x}", "{prompt}", True)], RefineConfig(template="{prompt}|{thinking}|{answer}")
    )
    assert task.question == "q|{answer} and {x}|{prompt}"


GYM = {"path": "reasoning_gym:chain_sum", "rows": 30, "settings": {"min_digits": 3}, "values": {"checker": "math"}}


def recipe_values(url, **changes):
    server = {"engine": "openai", "server": {"urls": url, "backoff": 0.01}}
    return {
        "model": {"path": "loopback"},
        "data": {"train": [GYM]},
        "sampling": {**server, "samples": 4, "batch_size": 16},
        "keep": {"format": False, "per_prompt": 1},
        "rewards": [{"name": "accuracy"}, {"name": "format"}],
        **changes,
    }


def test_kept_rows_are_rewritten_by_a_teacher_and_verified_again(tmp_path):
    """The teacher is wrong now and then: what it gets wrong is not kept."""
    with loopback_server(tmp_path) as url, loopback_server(tmp_path, style="teacher", wrong_fraction=0.5) as teacher:
        refine = {
            "model": {"path": "teacher"},
            "sampling": {"engine": "openai", "server": {"urls": teacher}},
            "template": "{thinking} {prompt}",
            "tries": 2,
        }
        file = write_recipe(tmp_path / "r.yaml", **recipe_values(url, refine=refine))
        r1kit("generate", file, f"output={tmp_path / 'run'}")
    rows, drops = read_data(tmp_path / "run/data"), read_json(tmp_path / "run/drops.json")
    assert drops["dropped"]["not_held"] > 0
    assert len(rows) == drops["kept"] == 30 - drops["dropped"]["not_held"]
    for r in rows:
        assert r["completion"].startswith("<think>\nWe add the numbers one after the other")
        assert f"The total is {r['answer']}.\n\n\\boxed{{{r['answer']}}}" in r["completion"]
        assert (r["correct"], r["teacher"], r["model"]) == (True, "teacher", "loopback")
        assert r["original"] == f"<think> adding gives {r['answer']} .</think><answer> {r['answer']}</answer>"
    assert ("teacher", "teacher") in [(p["role"], p["path"]) for p in read_info(tmp_path / "run")["parents"]]
    assert "| teacher | teacher |" in (tmp_path / "run/README.md").read_text()


def test_rows_whose_rewriting_fails_stay_unchanged_on_request(tmp_path):
    with loopback_server(tmp_path) as url:  # asked for a rewriting, it answers something of another form
        refine = {"sampling": {"engine": "openai", "server": {"urls": url}}, "otherwise": "keep"}
        file = write_recipe(tmp_path / "r.yaml", **recipe_values(url, refine=refine))
        r1kit("generate", file, f"output={tmp_path / 'run'}")
    rows = read_data(tmp_path / "run/data")
    assert len(rows) == 30
    assert all(r["completion"].startswith("<think> adding") for r in rows)
    assert "not_held" not in read_json(tmp_path / "run/drops.json")["dropped"]


def test_journeys_by_stitching_are_verified(tmp_path):
    with loopback_server(tmp_path, wrong_fraction=0.5) as url:
        file = write_recipe(tmp_path / "r.yaml", **recipe_values(url, journey={"method": "stitch"}))
        r1kit("generate", file, f"output={tmp_path / 'run'}")
    rows = read_data(tmp_path / "run/data")
    assert 20 < len(rows) <= 30
    for r in rows:
        assert "Wait, that is not right." in r["completion"]
        assert r["correct"]
        assert (
            parse_completion(r["completion"]).answer.strip()
            == parse_completion(r["original"]).answer.strip()
            == r["answer"]
        )


def test_journeys_by_a_teacher_are_verified(tmp_path):
    with (
        loopback_server(tmp_path, wrong_fraction=0.5) as url,
        loopback_server(tmp_path, style="teacher", wrong_fraction=0.3) as teacher,
    ):
        sampling = {"engine": "openai", "server": {"urls": teacher}}
        journey = {"method": "teacher", "model": {"path": "teacher"}, "sampling": sampling}
        journey["template"] = "{wrong} {right} {prompt}"
        file = write_recipe(tmp_path / "r.yaml", **recipe_values(url, journey=journey))
        r1kit("generate", file, f"output={tmp_path / 'run'}")
    rows = read_data(tmp_path / "run/data")
    assert 5 < len(rows) < 30
    assert all(r["completion"].startswith("<think>\nWe add") and r["correct"] for r in rows)


def test_separate_reasoning_of_the_teacher_is_not_a_part_of_its_reply():
    """A teacher that thinks aloud, and then leaves the rewritten thoughts out."""
    from r1kit.completions import SampledCompletion
    from r1kit.recipe import FiltersConfig, RewardConfig
    from r1kit.sampling.rewrite import choose_rewrites
    from r1kit.sampling.scoring import bind_rewards

    old = make_row("adding gives 7.", "7", True, checker="math")
    reply = "<summary>It is 7.</summary><answer>7</answer>"
    private = "<think>The user wants it rewritten in English, so the sum of both is 7.</think>"
    problems = {old["id"]: {"id": old["id"], "prompt": "What is 3 + 4?", "answer": "7", "checker": "math"}}
    for text, held in (
        (private + reply, False),
        (private + "<think>We add three and four, which is 7 in the end.</think>" + reply, True),
    ):
        sample = SampledCompletion(text, 40, "stop", separate_reasoning_chars=len(private), prompt_tokens=9)
        tasks, judged = refine_tasks([old], RefineConfig()), bind_rewards([RewardConfig(name="accuracy")])
        [new] = choose_rewrites(tasks, [[sample] * 2], problems, judged, FiltersConfig(), "teacher")
        assert new["held"] is held
        assert (new["teacher_tokens"], new["teacher_prompt_tokens"]) == (80, 18)


def recipe_values_with_teacher(url, teacher, **changes):
    refine = {
        "model": {"path": "teacher"},
        "sampling": {"engine": "openai", "server": {"urls": teacher, "backoff": 0.01, "concurrency": 2}},
        "template": "{thinking} {prompt}",
    }
    refine["sampling"]["budget"] = {"output_price": 1e6, "input_price": 2e6}
    return recipe_values(url, refine=refine, **changes)


def test_a_teacher_s_budget_ends_the_rewriting_and_a_larger_one_goes_on(tmp_path):
    run = tmp_path / "run"
    with loopback_server(tmp_path) as url, loopback_server(tmp_path, style="teacher") as teacher:
        file = write_recipe(tmp_path / "r.yaml", **recipe_values_with_teacher(url, teacher))
        _, err = r1kit("generate", file, f"output={run}", "refine.sampling.budget.cost=500")
        some = read_data(run / "data")
        assert 0 < len(some) < 30
        assert read_json(run / "drops.json")["dropped"]["not_rewritten"] == 30 - len(some)
        assert "batches were not rewritten, since the teacher's budget is spent" in err
        keeping = ["refine.sampling.budget.cost=600", "refine.tries=2"]
        line = r1kit("generate", file, f"output={run}", *keeping, code=2)[1].strip().splitlines()[-1]
        assert line.startswith(
            f"error: output = {run}/refine; holds shards that were made with other settings; restore the settings, or"
        )
        r1kit("generate", file, f"output={run}", "refine.sampling.budget.cost=100000")
    rows, run_info = read_data(run / "data"), read_info(run)
    assert len(rows) == 30
    assert {r["id"]: r for r in some}.items() <= {r["id"]: r for r in rows}.items()
    second = [r for file in sorted((run / "refine").glob("*.parquet")) for r in pq.read_table(file).to_pylist()]
    first = [r for file in sorted((run / "samples").glob("*.parquet")) for r in pq.read_table(file).to_pylist()]
    spent = {name: sum(r[f"teacher_{name}"] for r in second) for name in ("tokens", "prompt_tokens")}
    assert run_info["cost"] == spent["tokens"] + 2 * spent["prompt_tokens"] > 0
    assert run_info["tokens"] == spent["tokens"] + sum(r["tokens"] for r in first)


def test_a_raised_budget_samples_more_and_rewrites_that_too(tmp_path):
    run = tmp_path / "run"
    with loopback_server(tmp_path) as url, loopback_server(tmp_path, style="teacher") as teacher:
        file = write_recipe(tmp_path / "r.yaml", **recipe_values_with_teacher(url, teacher))
        r1kit("generate", file, f"output={run}", "sampling.budget.tokens=900", "sampling.server.concurrency=2")
        assert 0 < read_info(run)["rows"] < 30
        done = len(list((run / "refine").glob("*.parquet")))
        assert done == len(list((run / "samples").glob("*.parquet"))) < 8
        r1kit("generate", file, f"output={run}", "sampling.server.concurrency=2")
    assert len({r["id"] for r in read_data(run / "data")}) == 30
    assert all(r["teacher"] for r in read_data(run / "data"))


def test_filters_may_change_without_sampling_again(tmp_path):
    run = tmp_path / "run"
    with loopback_server(tmp_path, wrong_fraction=0.5) as url:
        file = write_recipe(tmp_path / "r.yaml", **recipe_values(url))
        r1kit("generate", file, f"output={run}")
        few, requests = len(read_data(run / "data")), request_counts(url)["requests"]
        r1kit("generate", file, f"output={run}", "keep.per_prompt=null")
        more = read_data(run / "data")
        r1kit("generate", file, f"output={run}", "keep.pass_rate=[0.4,0.6]", "keep.per_prompt=null")
        hard = read_data(run / "data")
        r1kit("generate", file, f"output={run}", "journey.method=stitch", "keep.pass_rate=[0.4,0.6]")
        assert request_counts(url)["requests"] == requests
    assert few < len(more)
    assert {r["id"] for r in hard} < {r["id"] for r in more}
    assert {r["id"] for r in read_data(run / "data")} == {r["id"] for r in hard}  # of those, journeys
    assert read_json(run / "drops.json")["dropped"]["pass_rate"] > 0


def test_rows_have_the_same_columns_whether_the_first_was_rewritten_or_not(tmp_path):
    """A first shard whose rows the teacher spoils must not take the others' columns away."""
    run = tmp_path / "run"
    with loopback_server(tmp_path) as url, loopback_server(tmp_path, style="teacher", error_text="0") as teacher:
        changed = recipe_values_with_teacher(url, teacher)
        changed["refine"]["otherwise"] = "keep"
        changed["refine"]["sampling"]["server"]["retries"] = 0
        changed["sampling"]["batch_size"] = 4
        r1kit("generate", write_recipe(tmp_path / "r.yaml", **changed), f"output={run}")
    rows = read_data(run / "data")
    assert len(rows) == 30
    assert {"original", "teacher"} <= set(rows[0])
    assert {r["original"] is None for r in rows} == {True, False}
    assert not {"held", "teacher_tokens", "teacher_prompt_tokens"} & set(rows[0])


def read_json(file):
    import json

    return json.loads(file.read_text())
