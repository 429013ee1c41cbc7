import pytest
from helpers import GENERATE, r1kit, write_recipe

from r1kit.data.filters import build_filters, filter_rows, repeated_ngram_fraction
from r1kit.errors import UserError
from r1kit.recipe import FiltersConfig, check_recipe, parse_recipe
from r1kit.runs.paths import resolve_data_path
from r1kit.runs.run import Run

OFF = {"correct": False, "format": False, "finished": False}


def sample_row(completion="<think>so it is</think><answer>4</answer>", **changes):
    defaults = {
        "id": "a",
        "prompt": "2 + 2?",
        "completion": completion,
        "correct": True,
        "thinking": True,
        "target_language": "en",
        "tokens": 10,
        "finish_reason": "stop",
    }
    return {**defaults, **changes}


def thinking_row(text, **changes):
    return sample_row(f"<think>{text}</think><answer>4</answer>", **changes)


def filter_with(rows, **keep):
    """What `select` keeps with these filters alone, the report checked."""
    chosen, report = filter_rows(rows, FiltersConfig(**{**OFF, **keep}))
    assert report["sampled"] == len(rows)
    assert report["kept"] == len(chosen)
    assert report["kept"] + sum(report["dropped"].values()) == report["sampled"]
    return chosen


def test_without_filters_all_is_kept():
    rows = [sample_row(correct=False, finish_reason="length"), sample_row("nonsense"), sample_row(), sample_row()]
    assert filter_with(rows) == rows
    assert build_filters(FiltersConfig(**OFF)) == {}


def test_correct():
    right, wrong, unknown = sample_row(), sample_row(correct=False), sample_row(correct=None)
    assert filter_with([right, wrong, unknown], correct=True) == [right]


def test_finished():
    done, cut = sample_row(), sample_row(finish_reason="length")
    assert filter_with([done, cut], finished=True) == [done]


def test_format_follows_thinking():
    rows = [
        sample_row(),
        sample_row("4"),
        sample_row("<answer>4</answer>"),
        sample_row("<answer>4</answer>", thinking=False),
        sample_row(thinking=False),
    ]
    assert filter_with(rows, format=True) == [rows[0], rows[3]]


def test_language_counts_the_thinking_only():
    rows = [
        thinking_row("one two three four"),
        thinking_row("one two three چهار"),
        thinking_row("one two سه چهار"),
        thinking_row("یک دو سه چهار"),
        thinking_row("یک دو سه چهار", target_language="fa"),
        sample_row("<think>one two</think><answer>چهار</answer>"),
        sample_row("<answer>چهار</answer>", thinking=False),
    ]
    assert filter_with(rows, language=1.0) == [rows[i] for i in (0, 4, 5, 6)]
    assert filter_with(rows, language=0.75) == [rows[i] for i in (0, 1, 4, 5, 6)]
    assert filter_with(rows, language=0.5) == [rows[i] for i in (0, 1, 2, 4, 5, 6)]


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0.0),
        ("one two three", 0.0),
        ("one two three four", 0.0),
        ("one two three four one two three four", 1 / 5),  # 5 windows, the last like the first
        ("go go go go go go go", 3 / 4),  # 4 windows, all alike
        ("a, a, a, a,", 3 / 5),  # signs count as words: 5 windows, two kinds
    ],
)
def test_repetition_is_the_share_of_4_grams_seen_before(text, share):
    assert repeated_ngram_fraction(text) == pytest.approx(share)


def test_max_repetition():
    once, often = thinking_row("one two three four five"), thinking_row("go " * 100)
    assert filter_with([once, often], max_repetition=0.5) == [once]
    assert filter_with([once, often], max_repetition=1.0) == [once, often]


def test_max_paragraph_counts_characters_of_the_thinking():
    rows = [
        thinking_row("aaaa\nbbbb"),
        thinking_row("aaaa\nbbbbb"),
        sample_row("<think>a</think><answer>bbbbbbbb</answer>"),
    ]
    assert filter_with(rows, max_paragraph=4) == [rows[0], rows[2]]


def test_code_blocks():
    rows = [
        thinking_row("```python\nx\n```"),
        thinking_row("`x`"),
        sample_row("<think>a</think><answer>```python\nx\n```</answer>"),
    ]
    assert filter_with(rows, code_blocks=False) == [rows[1], rows[2]]
    assert filter_with(rows, code_blocks=True) == rows


def test_pass_rate_counts_all_samples_of_a_prompt():
    rows = [
        sample_row(id=i, correct=c == "1")
        for i, marks in (("a", "0000"), ("b", "0001"), ("c", "0011"), ("d", "1111"))
        for c in marks
    ]
    assert {r["id"] for r in filter_with(rows, pass_rate=(0.25, 0.5))} == {"b", "c"}
    assert {r["id"] for r in filter_with(rows, pass_rate=(0.0, 0.9))} == {"a", "b", "c"}
    assert {r["id"] for r in filter_with(rows, pass_rate=(0.3, 1.0))} == {"c", "d"}
    # the rate is that of the samples, not of what other filters left
    assert [r["id"] for r in filter_with(rows, pass_rate=(0.25, 0.5), correct=True)] == ["b", "c", "c"]


def test_per_prompt_takes_the_first_different_ones():
    rows = [
        sample_row("one", id="a"),
        sample_row("one", id="a"),
        sample_row("two", id="a"),
        sample_row("three", id="a"),
        sample_row("one", id="b"),
    ]
    assert filter_with(rows, per_prompt=1) == [rows[0], rows[4]]
    assert filter_with(rows, per_prompt=2) == [rows[0], rows[2], rows[4]]
    assert filter_with(rows, per_prompt=9) == [rows[0], rows[2], rows[3], rows[4]]


def test_per_prompt_may_take_the_shortest():
    rows = [sample_row(f"{n} tokens", tokens=n) for n in (30, 10, 20, 10)] + [sample_row("b", id="b", tokens=99)]
    assert [r["tokens"] for r in filter_with(rows, per_prompt=1, prefer="shortest")] == [10, 99]
    assert [r["tokens"] for r in filter_with(rows, per_prompt=2, prefer="shortest")] == [10, 20, 99]


def test_per_prompt_counts_what_the_other_filters_left():
    rows = [sample_row("wrong", correct=False), sample_row("right one"), sample_row("right two")]
    assert filter_with(rows, per_prompt=1, correct=True) == [rows[1]]


def test_the_report_names_each_filter_with_an_example():
    rows = [
        sample_row(),
        sample_row(correct=False, prompt="3 + 3?"),
        sample_row(correct=False),
        sample_row("4"),
        sample_row(finish_reason="length"),
    ]
    chosen, report = filter_rows(rows, FiltersConfig(per_prompt=1))
    assert chosen == [rows[0]]
    assert report["dropped"] == {"truncated": 1, "incorrect": 2, "format": 1, "per_prompt": 0}
    assert report["examples"]["incorrect"] == [
        {"prompt": "3 + 3?", "completion": rows[1]["completion"], "answer": None, "parsed_answer": "4"},
        {"prompt": "2 + 2?", "completion": rows[2]["completion"], "answer": None, "parsed_answer": "4"},
    ]
    assert "per_prompt" not in report["examples"]


def test_a_row_counts_for_the_first_filter_that_drops_it():
    _, report = filter_rows([sample_row("4", correct=False, finish_reason="length")], FiltersConfig())
    assert sum(report["dropped"].values()) == 1


def test_nothing_sampled_is_nothing_kept():
    assert filter_with([], correct=True, per_prompt=1, pass_rate=(0.1, 0.9)) == []


def test_a_sample_without_a_verdict_is_dropped_as_a_fault_and_says_nothing_of_its_prompt():
    faulty = sample_row(correct=None, fault=True)
    rows = [sample_row(fault=False), faulty, faulty, sample_row(id="b", fault=False)]
    assert filter_with(rows, pass_rate=(1.0, 1.0)) == [rows[0], rows[3]]
    assert filter_rows(rows, FiltersConfig(**OFF))[1]["dropped"] == {"fault": 2}


def test_a_reward_may_choose_which_completions_are_kept():
    rows = [thinking_row(f"{n}", chance=chance) for n, chance in enumerate((0.2, 0.9, None, 0.5))]
    assert [r["chance"] for r in filter_with(rows, per_prompt=2, prefer="chance")] == [0.9, 0.5]


def test_a_reward_may_say_how_hard_a_prompt_is():
    rows = [
        sample_row(id=name, chance=chance, correct=None)
        for name, chance in (("a", 0.1), ("a", 0.3), ("b", 0.9), ("b", 0.7))
    ]
    assert {r["id"] for r in filter_with(rows, pass_rate=(0.0, 0.5), pass_rate_by="chance")} == {"a"}
    assert {r["id"] for r in filter_with(rows, pass_rate=(0.5, 0.8), pass_rate_by="chance")} == {"b"}
    rows += [
        sample_row(id="c", chance=None),
        sample_row(id="b", chance=None),
    ]  # where it does not apply, it says nothing
    assert {r["id"] for r in filter_with(rows, pass_rate=(0.5, 0.8), pass_rate_by="chance")} == {"b", "c"}


@pytest.mark.parametrize(
    ("stage", "keep", "line"),
    [
        ("generate", {"prefer": "shortst"}, "keep.prefer = shortst; must be first, shortest, diverse or a reward"),
        ("generate", {"pass_rate_by": "verified"}, "keep.pass_rate_by = verified; must be a reward of this recipe"),
        ("data", {"prefer": "accuracy"}, "keep.prefer = accuracy; must be first, shortest, diverse or a reward"),
    ],
)
def test_a_choice_that_there_is_not_is_said(stage, keep, line):
    values = {"data": {"train": ["x.jsonl"]}, "output": "run", "keep": keep, "rewards": [{"name": "accuracy"}]}
    with pytest.raises(UserError) as caught:
        check_recipe(parse_recipe(stage, values | ({"model": {"path": "m"}} if stage == "generate" else {})))
    assert str(caught.value).startswith(line)


@pytest.mark.slow
def test_rows_of_other_filters_do_not_stay_where_none_is_left(here):
    file = write_recipe(here / "g.yaml", **GENERATE)
    r1kit("generate", file, "output=made")
    assert (here / "made/data").exists()
    _, err = r1kit("generate", file, "output=made", "keep.min_tokens=1000", code=2)
    assert "dropped all of" in err
    assert not (here / "made/data").exists()
    with pytest.raises(UserError, match="this run is failed and has no data"):
        resolve_data_path("made")
    r1kit("generate", file, "output=made")
    Run(here / "made").update(status="interrupted", has_result=False)
    with pytest.raises(UserError, match="this run is interrupted, and its data are from before"):
        resolve_data_path("made")


def test_form_of_teachers_that_write_no_answer_tags():
    reply = {"completion": "<think>\n3 plus 4.\n</think>\n\nThe answer is 7.", "thinking": True}
    unfinished = {"completion": "<think>\n3 plus 4.", "thinking": True}
    tag_left_open = {"completion": "<think>\n3 plus 4.\n</think>\n<answer>7", "thinking": True}
    without_thinking = {"completion": "The answer is 7.", "thinking": True}
    in_form = build_filters(FiltersConfig(**OFF | {"format": True}), "any")["format"]
    assert [in_form(row) for row in (reply, unfinished, tag_left_open, without_thinking)] == [True, False, False, False]
    assert in_form({**without_thinking, "thinking": False})
    assert not build_filters(FiltersConfig(**OFF | {"format": True}), "tags")["format"](reply)
