"""`r1kit rewards FILE`: the reward lab, which scores saved completions with any rewards, without training.

    r1kit rewards saved.jsonl --rewards accuracy,format,my_module.my_reward -o scored.jsonl
    r1kit rewards runs/zero --rewards accuracy,overlong overlong.max_tokens=512
    r1kit rewards saved.parquet --rewards accuracy --answers tags

FILE may be a run too: the rollouts of an RL run, the samples of `generate` and `eval`. Each row has a `completion` and
what its rewards need: an `answer` or `tests`, a `checker`, a `prompt`. The scored rows have one more column for each
reward; a table of the rewards and what would waste a training run go to stderr.
"""

import json
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from r1kit.answers.extract import ANSWER_FORMS, completion_text, parse_completion, read_answer
from r1kit.answers.forms import count_answer_forms, describe_unread
from r1kit.answers.thinking import split_thinking
from r1kit.answers.vote_clusters import row_checker
from r1kit.data.completions import read_completions
from r1kit.data.exact_json import dump_json
from r1kit.errors import UNSET, UserError, format_value
from r1kit.messages import logger, print_progress
from r1kit.recipe import RewardConfig, ServerConfig, parse_override
from r1kit.recipe.rewards import Answers
from r1kit.recipe.wrong_values import explain_validation
from r1kit.rewards import FAULT
from r1kit.rewards.binding import bind_reward
from r1kit.rewards.checks import check_reward_columns, check_reward_rows
from r1kit.rewards.registry import REWARDS, setting_names
from r1kit.rows import CHECKERS, Row, columns_of_rows
from r1kit.runs.files import is_stdout, open_output
from r1kit.safe_text import escape_control_characters, print_result
from r1kit.tables import Cell, format_table

_SURROGATE = re.compile("[\ud800-\udfff]")
# What a scored row has in the column of a reward that could not judge it.
FAULT_TEXT = "fault"
# Fields of a recipe's reward that say which one it is and when and how much it counts in a training.
_TRAINING_SETTINGS = ("name", "weight", "from_step", "last_steps")


def score_file(
    file: str, reward_names: Sequence[str], output: str | None, answers: str = "any", settings: Sequence[str] = ()
) -> None:
    """Score the rows of a file or a run, write them to `output` or stdout, and print a table to stderr.

    `answers` says which forms of an answer are read; `settings` are words such as overlong.max_tokens=512.

    Raises UserError for a file or a row that cannot be read, an unknown reward or setting, and a missing column.
    """
    if answers not in ANSWER_FORMS:
        raise UserError("--answers", answers, f"must be one of {', '.join(ANSWER_FORMS)}", "use one of them")
    forms: Answers = answers  # type: ignore[assignment]  # it is one of them
    entries = _read_entries([name.strip() for name in reward_names if name.strip()], settings)
    read_rows = read_completions(file)
    rows = [_name_checker(row) for row in read_rows]
    columns = _column_names(rows)
    check_reward_columns(entries, columns, file, rename_action="rename one in the file")
    check_reward_rows(entries, columns_of_rows(rows, columns), file)
    scored_rows = score_rows(rows, entries, columns, forms)
    for row, original in zip(scored_rows, read_rows, strict=True):
        if "checker" not in original:
            row.pop("checker", None)
    _write_rows(scored_rows, file, output)
    names = [bind_reward(entry).__name__ for entry in entries]
    print_progress(format_table(*_summarise_rewards(scored_rows, names), stream=sys.stderr), is_table=True)
    if "accuracy" in names:
        _note_answer_forms(rows, forms)
    for warning in reward_warnings(scored_rows, names):
        logger.info(warning)


def _read_entries(names: Sequence[str], settings: Sequence[str]) -> list[RewardConfig]:
    """Return the entries of `rewards` that the command line describes: names, and words REWARD.SETTING=VALUE."""
    if not names:
        raise UserError("--rewards", UNSET, "names no reward", f"use some of: {', '.join(sorted(REWARDS))}")
    values: dict[str, dict[str, Any]] = {name: {"name": name} for name in names}
    names_by_short_name = {name.rpartition(".")[2]: name for name in names} | {name: name for name in names}
    for word in settings:
        if "=" not in word:
            raise UserError("argument", word, "must be REWARD.SETTING=VALUE", f"write --rewards {word} for a reward")
        key, value = parse_override(word)
        reward, dot, setting = key.rpartition(".")
        outer_reward, _, block = reward.rpartition(".")
        if outer_reward in names_by_short_name:  # judge.server.urls=..., say
            reward, setting, value = outer_reward, block, {setting: value}
            value = {**(values[names_by_short_name[reward]].get(block) or {}), **value}
        if not dot or reward not in names_by_short_name:
            requirement = "must be REWARD.SETTING, with a reward of --rewards"
            raise UserError(key, value, requirement, _suggest_setting(names, setting, value))
        if setting in _TRAINING_SETTINGS:
            raise UserError(key, value, "has no meaning for saved completions", "leave it out")
        values[names_by_short_name[reward]][setting] = value
    return [_make_entry(entry) for entry in values.values()]


def _suggest_setting(names: Sequence[str], setting: str, value: object) -> str:
    """Return how to write a setting with the reward that has it; of several words, the first reward is the example."""
    for name in names:
        settings = setting_names(REWARDS[name]) if name in REWARDS else []
        if setting in settings:
            return f"write {name}.{setting}={format_value(value)}"
        if "server" in settings and setting in ("url", *ServerConfig.model_fields):
            field = setting if setting != "url" else "urls"
            return f"write {name}.server.{field}={format_value(value)}"
    return f"write {names[0]}.SETTING=VALUE; docs/how-to/rewards.md lists the settings of each reward"


def _make_entry(values: dict[str, Any]) -> RewardConfig:
    """Return an entry of `rewards`. Raises UserError, which names the setting as REWARD.SETTING, for a wrong value."""
    try:
        return RewardConfig(**values)
    except ValidationError as error:
        raise UserError.from_line(f"{values['name']}.{explain_validation(RewardConfig, error)}") from None


def _note_answer_forms(rows: Sequence[Row], answers: Answers) -> None:
    """Say by what the answers were read, and warn where most could not be read."""
    read_rows = []
    for row in rows:
        read = read_answer(
            completion_text(row["completion"]), row_checker(row), answers, row.get("finish_reason") == "length"
        )
        read_rows.append({**row, "answer_form": read.form})
    counts = count_answer_forms(read_rows)
    if counts.keys() - {"tags"}:
        shares = [f"{form} {100 * count / sum(counts.values()):.0f}%" for form, count in counts.items()]
        logger.info(f"the answers were read by: {', '.join(shares)}")
    unread = describe_unread(counts, answers)
    if unread:
        logger.warning(unread)


def score_rows(
    rows: Sequence[Row], entries: Sequence[RewardConfig], columns: Sequence[str], answers: Answers = "any"
) -> list[Row]:
    """Return `rows` with one more column for each reward of `entries`; a FAULT is the text "fault".

    `columns` are the columns of the rows that the rewards receive; `answers` says which forms of an answer are read.
    """
    values = columns_of_rows(rows, columns)
    if "target_language" in values:  # rows that `r1kit generate` wrote, whose column `language` is a reward
        values["language"] = values.pop("target_language")
    completions = values.pop("completion")
    prompts = values.pop("prompt", [""] * len(rows))
    # Without ids, words stand for tokens: rewards of length need a list of the right length only.
    completion_ids = values.pop("completion_ids", None) or [str(text).split() for text in completions]
    scored_rows = [dict(row) for row in rows]
    for index, entry in enumerate(entries):
        reward = bind_reward(entry, index, answers)
        scores = reward(completions=completions, prompts=prompts, completion_ids=completion_ids, **values)
        for row, score in zip(scored_rows, scores, strict=True):
            row[reward.__name__] = FAULT_TEXT if score == FAULT else score
    return scored_rows


def _name_checker(row: Row) -> Row:
    """Return a row whose column `verifier` names its checker with that checker, as some data sets call it."""
    if row.get("checker") is None and row.get("verifier") in CHECKERS:
        return {**row, "checker": row["verifier"]}
    return row


def _column_names(rows: Sequence[Row]) -> list[str]:
    """Return the columns that any of the rows has, in the order in which they first occur."""
    names: dict[str, None] = {}
    for row in rows:
        names |= dict.fromkeys(row)
    return list(names)


def _write_rows(rows: Sequence[Row], file: str, output: str | None) -> None:
    """Write rows as JSONL to the file `output`, whose path is printed, or to stdout."""
    lines = (f"{_row_to_json(row)}\n" for row in rows)
    if output is None and sys.stdout.isatty():
        for line in lines:
            print(escape_control_characters(line), end="")
        return
    with open_output(output or "-", inputs=[file]) as stream:
        for line in lines:
            stream.write(line.encode())
    if output is not None and not is_stdout(output):
        print_result(output)


def _row_to_json(row: Row) -> str:
    """Return a row as one line of JSON, with escapes only for what cannot be UTF-8: half of a surrogate pair."""
    return _SURROGATE.sub(lambda match: f"\\u{ord(match.group()):04x}", dump_json(row))


def reward_warnings(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Return what would waste a training run on scored `rows` with the rewards `names`, one sentence each."""
    warnings = []
    if "format" in names and not _asks_for_tags(rows):
        warnings.append(
            "the reward format looks for <think> and <answer>, but no prompt asks for them: use a template that does"
        )
    for name in names:
        warnings += _find_useless_values(name, [row[name] for row in rows])
    equal_groups, groups = _count_equal_groups(rows, names)
    if equal_groups and groups > 1:
        warnings.append(
            f"for {equal_groups} of {groups} prompts all completions have the same total reward, "
            "from which GRPO learns nothing"
        )
    truncated = sum(_is_truncated(row) for row in rows)
    if truncated:
        warnings.append(f"{truncated} of {len(rows)} completions end before their answer: allow more tokens")
    return warnings


def _asks_for_tags(rows: Sequence[Row]) -> bool:
    """Return whether any prompt has the tags of the R1 format in it; rows without prompts count as if they had."""
    prompts = [str(row["prompt"]) for row in rows if row.get("prompt")]
    return not prompts or any("<think>" in prompt or "<answer>" in prompt for prompt in prompts)


def _find_useless_values(name: str, values: Sequence[float | str | None]) -> list[str]:
    """Return sentences about a reward that judges no row, judges all alike, or has faults."""
    warnings = []
    scores = set(_numbers_only(values))
    if not scores:
        warnings.append(f"the reward {name} applies to no row")
    elif len(scores) == 1 and len(values) > 1:
        warnings.append(f"the reward {name} is {scores.pop():g} for every row, from which nothing can be learnt")
    faults = values.count(FAULT_TEXT)
    if faults:
        warnings.append(
            f"the reward {name} could not judge {faults} of {len(values)} rows: check their gold answers or tests"
        )
    return warnings


def _numbers_only(values: Sequence[float | str | None]) -> list[float]:
    """Return the scores without None (the reward does not apply) and faults."""
    return [value for value in values if isinstance(value, int | float)]


def _count_equal_groups(rows: Sequence[Row], names: Sequence[str]) -> tuple[int, int]:
    """Return how many prompts have several completions of one total reward, and how many have several completions."""
    totals_by_prompt: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        prompt = json.dumps(row.get("prompt"), sort_keys=True, default=str)
        totals_by_prompt[prompt].append(sum(_numbers_only([row[name] for name in names])))
    groups = [totals for totals in totals_by_prompt.values() if len(totals) > 1]
    equal_groups = [totals for totals in groups if len(set(totals)) == 1]
    return len(equal_groups), len(groups)


def _is_truncated(row: Row) -> bool:
    """Return whether a completion ended at its token limit, or in the middle of its thinking or its answer."""
    if row.get("finish_reason") is not None:
        return row["finish_reason"] == "length"
    text = completion_text(row["completion"])
    split = split_thinking(text)
    if text.strip() and split.thinking is None and not split.reply.strip():
        return True
    tags = parse_completion(text).tags
    return any(tags.count(f"<{name}>") > tags.count(f"</{name}>") for name in ("think", "answer"))


def _summarise_rewards(rows: Sequence[Row], names: Sequence[str]) -> tuple[list[str], list[list[Cell]]]:
    """Return the headers and the rows of a table with one line for each reward."""
    headers = ["reward", "mean", "min", "max", "none", "fault"]
    lines: list[list[Cell]] = []
    for name in names:
        values = [row[name] for row in rows]
        scores = [float(score) for score in _numbers_only(values)]
        statistics_cells: list[Cell] = [None, None, None]
        if scores:
            statistics_cells = [statistics.fmean(scores), min(scores), max(scores)]
        lines.append([name, *statistics_cells, values.count(None), values.count(FAULT_TEXT)])
    return headers, lines
