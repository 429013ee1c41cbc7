"""The statistics of samples, against figures worked out by hand."""

import pytest

from r1kit.sampling.statistics import mean_or_none, summarise_samples, vote_accuracies


def make_row(question, answer, correct, **changes):
    row = {
        "id": question,
        "domain": "math",
        "completion": f"<think>so</think><answer>{answer}</answer>",
        "correct": correct,
        "format": 1.0,
        "language": 1.0,
        "thinking": True,
        "thinks": True,
        "tokens": 10,
        "finish_reason": "stop",
    }
    return {**row, **changes}


def make_rows(**marks):
    """Return rows from marks by question: `a="110"` is a question with two right samples and a wrong one."""
    return [make_row(q, "4" if m == "1" else "5", m == "1") for q, ms in marks.items() for m in ms]


def test_pass_at_1_is_the_mean_over_questions():
    # shares 4/4, 2/4, 0/4, 2/4
    stats = summarise_samples(make_rows(a="1111", b="1100", c="0000", d="0101"))
    assert (stats["questions"], stats["samples"]) == (4, 16)
    assert stats["pass@1"] == pytest.approx(0.5)
    # sum of squares 0.25 + 0 + 0.25 + 0 over 3 is 1/6; over 4 questions 1/24; 1.96 times its root
    assert stats["interval"] == pytest.approx(0.400083, abs=1e-6)


def test_a_question_weighs_the_same_with_fewer_samples():
    # shares 1/1 and 1/4: mean 0.625; both 0.375 away: 2 x 0.140625 / 1 / 2 = 0.140625, whose root is 0.375
    stats = summarise_samples(make_rows(a="1", b="1000"))
    assert stats["pass@1"] == pytest.approx(0.625)
    assert stats["interval"] == pytest.approx(1.96 * 0.375)


def test_one_question_has_no_interval_and_equal_pass_rates_have_one_of_width_0():
    assert summarise_samples(make_rows(a="10"))["interval"] is None
    assert summarise_samples(make_rows(a="1", b="1", c="1"))["interval"] == 0


def majority_is_correct(group):
    [accuracy] = vote_accuracies(group).values()
    assert accuracy in (0, 1)
    return bool(accuracy)


def test_equivalent_answers_are_one_vote():
    half = [make_row("a", x, x != "1", checker="math") for x in ("1", "1/2", "1", "0.5", "\\frac{1}{2}")]
    assert majority_is_correct(half)
    assert not majority_is_correct([{**row, "checker": "exact"} for row in half])


def test_majority_is_the_answer_given_most_often():
    assert majority_is_correct([make_row("a", x, x == "4") for x in ("4", "5", "4")])
    assert not majority_is_correct([make_row("a", x, x == "4") for x in ("4", "5", "5")])
    assert majority_is_correct([make_row("a", x, x == "4") for x in ("5", "4", "6", "4")])


def test_answers_share_a_tie():
    for answers in (("4", "5", "5", "4"), ("5", "4", "4", "5"), ("6", "5", "4", "5", "4")):
        assert vote_accuracies([make_row("a", x, x == "4") for x in answers]) == {"a": 0.5}


def test_samples_without_an_answer_do_not_vote():
    silent = {"completion": "<think>so"}
    assert majority_is_correct(
        [make_row("a", "", False, **silent), make_row("a", "", False, **silent), make_row("a", "4", True)]
    )
    assert not majority_is_correct([make_row("a", "", False, **silent)] * 3)


def test_space_around_an_answer_does_not_split_the_vote():
    assert majority_is_correct([make_row("a", "5", False), make_row("a", " 4", True), make_row("a", "4\n", True)])


def test_vote_at_k_is_over_questions():
    # a: 4 twice of three; b: 5 twice of three; c: 4 always
    assert summarise_samples(make_rows(a="110", b="100", c="111"))["vote@k"] == pytest.approx(2 / 3)


def test_rows_without_a_verdict_count_for_the_rest_only():
    stats = summarise_samples([*make_rows(a="11", b="00"), make_row("c", "4", None), make_row("c", "4", None)])
    assert (stats["questions"], stats["samples"]) == (3, 6)
    assert (stats["pass@1"], stats["vote@k"]) == (0.5, 0.5)
    only = summarise_samples([make_row("c", "4", None)])
    assert (only["pass@1"], only["vote@k"], only["interval"]) == (None, None, None)


def test_form_language_and_length():
    stats = summarise_samples(
        [
            make_row("a", "4", True, format=1.0, language=1.0, tokens=10),
            make_row("a", "4", True, format=0.0, language=0.5, tokens=20),
            make_row("a", "4", True, format=0.0, language=0.0, tokens=30, thinks=False, finish_reason="length"),
            make_row("b", "4", True, format=1.0, language=None, tokens=40, thinking=False, thinks=False),
        ]
    )
    assert stats["format"] == pytest.approx(0.5)
    assert stats["thinking"] == pytest.approx(2 / 3)  # of the three that were to think
    assert stats["language_consistency"] == pytest.approx(0.75)  # of the two that did
    assert stats["thinks"] == pytest.approx(0.5)
    assert stats["tokens"] == pytest.approx(25)
    assert stats["truncated"] == pytest.approx(0.25)


def test_domains_are_counted_apart():
    rows = [
        *make_rows(a="11", b="10"),
        make_row("c", "Paris", False, domain="facts"),
        make_row("d", "Rome", True, domain="facts"),
    ]
    stats = summarise_samples(rows)
    assert list(stats["domains"]) == ["facts", "math"]
    assert stats["domains"]["math"]["pass@1"] == pytest.approx(0.75)
    assert stats["domains"]["facts"]["pass@1"] == pytest.approx(0.5)
    assert stats["domains"]["facts"]["samples"] == 2
    assert stats["pass@1"] == pytest.approx(2.5 / 4)


def test_rewards_that_the_recipe_lacks_are_none():
    rows = [{k: v for k, v in r.items() if k not in ("format", "language")} for r in make_rows(a="10")]
    assert (summarise_samples(rows)["format"], summarise_samples(rows)["language_consistency"]) == (None, None)


def test_nothing_has_no_mean():
    assert mean_or_none([]) is None
    assert mean_or_none([1, 2, 6]) == 3
    assert summarise_samples([])["pass@1"] is None


def test_faults_are_counted_and_left_out_of_pass_at_1():
    rows = [*make_rows(a="11"), make_row("a", "4", None, fault=True), make_row("b", "4", None, fault=True)]
    stats = summarise_samples(rows)
    assert (stats["faults"], stats["samples"], stats["pass@1"]) == (2, 4, 1.0)


def test_a_sample_that_a_server_did_not_answer_is_a_fault_and_not_wrong():
    from r1kit.completions import SampledCompletion
    from r1kit.recipe import ModelConfig, RewardConfig
    from r1kit.rewards.binding import bind_reward
    from r1kit.sampling.scoring import score_samples

    unit = {"id": ["a"], "prompt": ["2 + 2?"], "answer": ["4"], "domain": [""], "thinking": [True], "language": ["en"]}
    right = SampledCompletion("<think>so</think><answer>4</answer>", 9, "stop")
    groups = [[right, *(SampledCompletion("", 0, reason) for reason in ("failed", "refused", "context"))]]
    rows = score_samples(
        unit, ["2 + 2?"], groups, [bind_reward(RewardConfig(name="accuracy"))], ModelConfig(path="m"), 0
    )
    assert [row["correct"] for row in rows] == [True, None, None, False]
    stats = summarise_samples([{"format": None, "language": None, **row} for row in rows])
    assert (stats["pass@1"], stats["faults"]) == (0.5, 2)
