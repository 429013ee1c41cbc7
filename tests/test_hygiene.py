"""Duplicates and contamination: what is dropped, what is not, and why."""

import json
import random

import pytest

from r1kit.data.hygiene import clean_problems
from r1kit.data.hygiene.contamination import BenchmarkNgrams, word_ngrams
from r1kit.data.hygiene.duplicates import jaccard_similarity, letter_shingles
from r1kit.data.hygiene.normalise import ngram_words, normalise_text
from r1kit.errors import UserError
from r1kit.recipe import HygieneConfig

datasets = pytest.importorskip("datasets")
RIVER = (
    "A boat goes up a river of ten miles in five hours and comes back down in two; how fast does the river run here?"
)


@pytest.fixture(autouse=True)
def _folder(here):
    pass


def clean(questions, answers=None, **settings):
    """The questions that stay, and the counts of the others."""
    rows = {"question": list(questions)}
    if answers is not None:
        rows["answer"] = list(answers)
    kept, report = clean_problems(datasets.Dataset.from_dict(rows), HygieneConfig(**settings))
    assert report["rows"] == len(rows["question"])
    assert report["kept"] + sum(report["dropped"].values()) == report["rows"]
    return kept["question"][:], report


def benchmark(*texts, column="problem"):
    with open("benchmark.jsonl", "w") as file:
        file.writelines(json.dumps({column: text}) + "\n" for text in texts)
    return "benchmark.jsonl"


def test_without_wishes_nothing_happens():
    assert clean(["a", "a"]) == (["a", "a"], {"rows": 2, "dropped": {}, "examples": {}, "kept": 2})


def test_exact_duplicates_differ_in_what_changes_no_problem():
    same = ["What is $x + 1$?", "what is  x + 1", "What is \\(x + 1\\) ?", "WHAT IS “x + 1”?"]
    different = ["What is $x - 1$?", "What is x + 1.5?", "What is 15 + x?", "What is 1.5 + x?"]
    kept, report = clean([*same, *different], exact=True)
    assert kept == [same[0], *different]
    assert report["dropped"] == {"exact_duplicate": 3}
    assert report["examples"]["exact_duplicate"][0] == {"prompt": same[1], "like": same[1]}


def test_what_changes_a_problem_is_no_duplicate():
    same = ["Janet\u2019s ducks can't swim.", "janet's 'ducks' can't swim"]
    assert clean(same, exact=True)[0] == same[:1]
    pairs = [("Find f(x).", "Find f'(x)."), ("Compute 5!", "Compute 5."), ("x² = 4", "x2 = 4"), ("(n+1)!", "(n+1)")]
    for pair in pairs:
        assert clean(pair, exact=True)[0] == list(pair)
    assert clean(["a b", "A b."], answers=["1", "2"], exact=True)[0] == ["a b", "A b."]
    assert clean(["a b", "A b.", "a  b"], answers=["1", None, "1"], exact=True)[0] == ["a b"]


def test_many_rows_like_one_are_said(capsys):
    questions = [f"Tell me a story about a {w}, please, and mind that it is a long one." for w in ("cat", "dog", "fox")]
    clean(questions * 20, near=0.7)
    assert "59 rows are near duplicates of one row, which may be a template: Tell me a story" in capsys.readouterr().err


def test_jaccard_of_shingles_by_hand():
    assert letter_shingles("abcdef") == {"abcde", "bcdef"}
    assert letter_shingles("ab") == {"ab"}
    assert jaccard_similarity(letter_shingles("abcdef"), letter_shingles("abcdeg")) == pytest.approx(1 / 3)


def test_near_duplicates_are_like_an_earlier_one():
    reworded = RIVER.replace("how fast does", "with what speed does")
    different = "A train goes up a hill of ten miles in an hour; what does the ticket for its way back cost in the end?"
    kept, report = clean([RIVER, reworded, different], near=0.7)
    assert kept == [RIVER, different]
    assert report["examples"]["near_duplicate"] == [{"prompt": reworded, "like": normalise_text(RIVER)}]
    assert clean([RIVER, reworded, different], near=0.98)[0] == [RIVER, reworded, different]


def test_the_same_words_with_other_numbers_are_another_problem():
    questions = [f"{RIVER} Its width is {n} feet." for n in (30, 30, 31)]
    assert clean(questions, near=0.7)[0] == [questions[0], questions[2]]
    assert clean(questions, answers=["1", "1", "2"], near=0.7)[0] == [questions[0], questions[2]]
    assert clean(questions, answers=["1", "1", "1"], near=0.7)[0] == [questions[0], questions[2]]
    assert clean(questions[:2], answers=["1", "2"], near=0.7)[0] == questions[:2]
    assert clean(questions[:2], answers=["1", None], near=0.7)[0] == questions[:1]


def test_rows_with_completions_are_duplicates_where_both_are():
    rows = datasets.Dataset.from_dict({"question": ["a", "a", "a"], "_completion": ["x", "y", "x"]})
    kept, _ = clean_problems(rows, HygieneConfig(exact=True))
    assert kept["_completion"][:] == ["x", "y"]


def test_words_of_a_text():
    assert ngram_words("If $x^2+1 = \\frac{3}{4}$, Find X.") == [
        "if",
        "x",
        "^",
        "2",
        "+",
        "1",
        "=",
        "frac",
        "3",
        "4",
        "find",
        "x",
    ]
    assert ngram_words("求和abc") == ["求", "和", "abc"]
    assert word_ngrams(["a", "b", "c"], 2) == [("a", "b"), ("b", "c")]


def test_a_shared_run_of_words_is_contamination():
    held = (
        "Let n be the smallest positive integer that is divisible by four and nine, and whose digits are four or nine"
    )
    questions = [
        f"Please solve this problem for me. {held.upper()}! Answer:",
        "Let n be the smallest positive integer that fits",
    ]
    kept, report = clean(questions, decontaminate=benchmark(held))
    assert kept == [questions[1]]
    assert report["examples"]["contaminated"] == [{"prompt": questions[0], "like": held}]


def test_short_problems_are_compared_whole():
    held = ["What is 2 + 2?", "What is the capital of France?"]
    questions = [
        "what is 2 + 2",
        "What is 2 - 2?",
        "What is 2 + 22?",
        "Answer now: what is the capital of France? Say it.",
    ]
    assert clean(questions, decontaminate=benchmark(*held))[0] == questions[1:3]


def test_what_many_problems_of_a_benchmark_share_says_nothing():
    boiler = "can be written as m over n where m and n are relatively prime positive integers find m plus n"
    held = [
        f"The area of {shape} with side {i} {boiler}" for i, shape in enumerate(("a square", "a cube", "a disc"), 3)
    ]
    questions = [f"The weight of my cat in pounds {boiler}", held[1]]
    assert clean(questions, decontaminate=benchmark(*held))[0] == [questions[0]]
    ngrams = BenchmarkNgrams(10)
    ngrams.add(held[:2])  # two are not many
    ngrams.build()
    assert ngrams.find(questions[0]) in held


def test_a_benchmark_that_stands_twice_is_no_boilerplate():
    held = "A farmer has twelve sheep and sells all but seven of them to his neighbour in spring"
    assert clean([held + " again"], decontaminate=benchmark(held, held, held, held))[0] == []


def test_versions_of_one_problem_are_no_boilerplate():
    held = RIVER.lower()
    versions = [held, held + " Say it.", "Hear: " + held, held.replace("boat", "ship")]
    assert clean([held + " My cat wants to know."], decontaminate=benchmark(*versions))[0] == []


def test_benchmarks_are_read_as_they_are():
    """An adapter would leave out a proof, whose answer nothing can check."""
    with open("numina.jsonl", "w") as file:
        row = {"problem": RIVER, "solution": "Let us see.", "source": "x", "messages": []}
        file.write(json.dumps(row) + "\n")
    with open("talk.jsonl", "w") as file:
        file.write(json.dumps({"conversations": [{"from": "human", "value": RIVER}, {"from": "gpt", "value": "y"}]}))
    for name in ("numina.jsonl", "talk.jsonl"):
        assert clean(["Look: " + RIVER], decontaminate=name)[0] == []


@pytest.mark.parametrize(
    ("row", "question"),
    [
        ({"Body": RIVER, "Question": "How far is that?", "Answer": 5.0, "Type": "Sum", "ID": "c-1"}, RIVER),
        ({"input": RIVER, "target": 5.0, "type": "singleeq"}, RIVER),
        ({"instruction": "Say it.", "input": RIVER, "output": "ok"}, RIVER),
        ({"question": "Choose.", "choices": ["red", "blue"], "answer": 1}, "Choose.\n\nA. red\nB. blue"),
    ],
)
def test_a_benchmark_is_read_by_the_form_of_its_rows(row, question):
    with open("form.jsonl", "w") as file:
        file.write(json.dumps(row) + "\n")
    other = "How far is that?"
    instruction = "\n\nAnswer with the letter of the correct choice."
    assert clean([question, question + instruction, other], decontaminate="form.jsonl")[0] == [other]


def test_chinese_is_compared_letter_by_letter():
    held = "一个农夫有十二只羊，他把除了七只以外的都卖给了邻居，还剩几只？"
    assert clean(["请回答：" + held + "谢谢", "一个农夫有几只羊？"], decontaminate=benchmark(held))[0] == [
        "一个农夫有几只羊？"
    ]


def test_a_benchmark_without_problems_is_told():
    with pytest.raises(
        UserError, match=r"hygiene\.decontaminate\.0 = benchmark\.jsonl; needs a column prompt; it has deep"
    ):
        clean(["a"], decontaminate=benchmark("a", column="deep"))


def test_planted_near_duplicates_are_found_and_nothing_else():
    """Texts of 40 words; a tenth of the words of the planted ones is changed."""
    rng = random.Random(1)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    vocabulary = [a + b for a in syllables for b in rng.sample(syllables, 10)]
    fresh = [" ".join(rng.choices(vocabulary, k=40)) for _ in range(150)]
    planted = []
    for text in fresh[:40]:
        texts = text.split()
        for position in rng.sample(range(40), 4):
            texts[position] = rng.choice(vocabulary)
        planted.append(" ".join(texts))
    kept, _ = clean([*fresh, *planted], near=0.5)
    assert kept == fresh


def test_a_benchmark_in_a_form_that_holds_no_problem_is_refused():
    turns = [{"prompt": ["Look here.", RIVER]}]
    with open("turns.jsonl", "w") as file:
        file.write(json.dumps(turns[0]) + "\n")
    assert clean(["Look: " + RIVER], decontaminate="turns.jsonl")[0] == []
    for value in ({"text": RIVER}, [{"role": "agent", "content": RIVER}]):
        with open("odd.jsonl", "w") as file:
            file.write(json.dumps({"prompt": value}) + "\n")
        with pytest.raises(UserError, match="its column prompt"):
            clean([RIVER], decontaminate="odd.jsonl")
