"""Reflection words: what counts, and that training, eval and the report show the same number."""

from collections import defaultdict
from types import SimpleNamespace

from r1kit.commands.evaluate import format_ladder, ladder_row
from r1kit.languages.reflection import REFLECTION_WORDS, count_reflection_words
from r1kit.report.metrics import describe_metric
from r1kit.sampling.statistics import summarise_samples

PAPER = {"wait", "mistake", "however", "but", "retry", "error", "verify", "wrong", "evaluate", "check"}


def test_the_words_are_the_ten_of_the_paper():
    assert set(REFLECTION_WORDS["en"]) == PAPER
    assert count_reflection_words(" ".join(PAPER)) == 10


def test_whole_words_count_in_any_case_and_nothing_else():
    assert count_reflection_words("Wait, 12 is WRONG; but wait: check it.") == 5
    assert count_reflection_words("waiter, butter, checked, errors, wrongly, reevaluate") == 0
    assert count_reflection_words("3 + 9 = 11 صبر 12 بله بررسی") == 2
    assert count_reflection_words("") == 0


def row(completion):
    columns = {"domain": "d", "correct": True, "thinking": True, "thinks": True, "finish_reason": "stop", "tokens": 3}
    return {"id": completion, "completion": completion, "answer_form": "tags", "parsed_answer": "1", **columns}


def test_eval_has_their_mean_and_a_column_for_it_where_there_are_any():
    reflecting = summarise_samples([row("wait, no, wait"), row("1")])
    assert reflecting["reflection_words"] == 1.0
    table = format_ladder([ladder_row("m", "m", reflecting)])
    assert "reflection" in table
    assert "1.00" in table
    assert "reflection" not in format_ladder([ladder_row("m", "m", summarise_samples([row("1")]))])


def test_the_report_names_their_curve():
    assert describe_metric("completions/reflection_words").label == "Reflection words"


def test_rl_logs_their_mean_over_the_completions_of_a_step():
    from r1kit.training.grpo import RLTrainer

    trainer = SimpleNamespace(
        accelerator=SimpleNamespace(gather=lambda counts: counts, device="cpu"),
        model=SimpleNamespace(training=True),
        _metrics={"train": defaultdict(list)},
    )
    completions = ["wait, check", "1", [{"role": "assistant", "content": "but 2"}], "4"]
    RLTrainer._log_reflection_words(trainer, completions)
    assert trainer._metrics["train"]["completions/reflection_words"] == [0.75]
