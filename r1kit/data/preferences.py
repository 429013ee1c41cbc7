"""Pairs of a better and a worse completion of one prompt, from which a reward model is trained.

    {"prompt": "Capital of France?", "chosen": "Paris", "rejected": "Rome"}              TRL's form, text or messages
    {"chosen": [{"role": "user", ...}, ...], "rejected": [...]}                          whole conversations
    {"chosen": "\\n\\nHuman: Hi\\n\\nAssistant: Hello", "rejected": ...}                     Anthropic's HH
    {"system": "...", "question": "...", "chosen": "...", "rejected": "..."}             Orca's, with a system message
    {"instruction": "...", "input": "...", "chosen": "...", "rejected": "..."}           Alpaca's columns
    {"instruction": "...", "completions": [{"response": "...", "overall_score": 7}]}     UltraFeedback
    {"prompt": "2 + 2?", "completion": "4", "correct": true}                             sampled rows of r1kit

Sampled rows, which are those of `generate`, of `eval` and of an RL training, are grouped by their prompt; of each group
some pairs are drawn in which the column `pairs.by` differs.

    train_pairs, held_out_pairs = load_pairs(recipe)
"""

import hashlib
import json
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.answers.extract import completion_text, judged_part
from r1kit.data.adapters.chat import ConversationError, Message, is_conversation, normalise_messages
from r1kit.data.sources import read_source
from r1kit.errors import UserError
from r1kit.messages import logger
from r1kit.recipe import PairsConfig, RewardModelRecipe, SourceConfig
from r1kit.recipe.pairs import BY_CORRECTNESS
from r1kit.rows import Row

if TYPE_CHECKING:
    from datasets import Dataset

PROMPT_COLUMNS = ("prompt", "question", "instruction", "input")
"""Columns with the prompt of a pair whose completions are text, the first that a row has."""
INPUT_COLUMNS = ("input", "context")
"""Columns with the text that an `instruction` works on, the first that a row has; it belongs to the prompt."""
ROLLOUT_QUESTION = "question"
"""Column of an RL training's rollouts with the question as bare text; their `prompt` has the template around it."""
SCORED_TEXT_KEYS = ("response", "completion", "text")
"""Keys of a completion in a list of scored completions, the first that it has."""
SCORE_KEY = "overall_score"
"""Key of the score of UltraFeedback's completions, which is taken unless `pairs.by` names another."""

# A turn of Anthropic's HH, which begins on a line of its own.
_HH_TURN = re.compile(r"\n\n(Human|Assistant):")
_HH_ROLES = {"Human": "user", "Assistant": "assistant"}

# The folders of a run that hold sampled rows, wrong ones included; `data/` has the chosen ones alone.
_SAMPLE_FOLDERS = ("samples", "completions")


@dataclass(frozen=True)
class Pair:
    """A better and a worse completion of one prompt."""

    prompt: list[Message]
    chosen: str
    rejected: str
    domain: str | None = None

    @property
    def prompt_key(self) -> str:
        """What is the same for all pairs of one prompt."""
        return json.dumps(self.prompt, ensure_ascii=False, sort_keys=True)


@dataclass
class PairCounts:
    """How many rows of a source gave no pair, by reason."""

    left_out: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return ", ".join(f"{count} {reason}" for reason, count in self.left_out.most_common())


class _NoPairError(Exception):
    """Why a row is no pair; its text completes "3 rows ..."."""


def load_pairs(recipe: RewardModelRecipe) -> tuple[list[Pair], list[Pair]]:
    """Return the pairs to train on, and those that are held out.

    All pairs of a prompt are on the same side. Held out are those of `data.eval`, or those of a fraction of the prompts
    (`pairs.held_out`); which prompts, the recipe's seed decides for each alone. Raises UserError where a source cannot
    be read, and where there is no pair to train on.
    """
    pairs = _read_pairs(recipe.data.train, "data.train", recipe.pairs, recipe.seed)
    if recipe.data.eval:
        held_out = _read_pairs(recipe.data.eval, "data.eval", recipe.pairs, recipe.seed)
        held_out_keys = {pair.prompt_key for pair in held_out}
        train = [pair for pair in pairs if pair.prompt_key not in held_out_keys]
        if len(train) < len(pairs):
            logger.warning(f"data.train: {len(pairs) - len(train)} pairs are left out, whose prompts are in data.eval")
    else:
        train, held_out = [], []
        for pair in pairs:
            is_held_out = _draw_number(f"{recipe.seed}/{pair.prompt_key}") < recipe.pairs.held_out
            (held_out if is_held_out else train).append(pair)
        if recipe.pairs.held_out and not held_out:
            requirement = f"holds out none of the {len(pairs)} pairs, since they have too few prompts"
            raise UserError("pairs.held_out", recipe.pairs.held_out, requirement, "raise it, or set data.eval")
    if not train:
        requirement = "leaves no pair to train on, since all of them are held out"
        raise UserError("data.train", recipe.data.train[0].path, requirement, "add rows of other prompts")
    return train, held_out


def _draw_number(text: str) -> float:
    """Return a number in [0, 1) that depends on a text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _read_pairs(sources: Sequence[SourceConfig], role: str, config: PairsConfig, seed: int) -> list[Pair]:
    pairs: list[Pair] = []
    for index, source in enumerate(sources):
        pairs += _read_source_pairs(source, f"{role}.{index}", config, seed)
    unique = list({(pair.prompt_key, pair.chosen, pair.rejected): pair for pair in pairs}.values())
    if len(unique) < len(pairs):
        logger.info(f"{role}: {len(pairs) - len(unique)} pairs are left out, which are there already")
    return unique


def _read_source_pairs(source: SourceConfig, field_name: str, config: PairsConfig, seed: int) -> list[Pair]:
    """Return the pairs of one source. Raises UserError if its rows are no pairs, or none could be made of them."""
    dataset = read_source(pair_source(source), field_name)
    names = dataset.column_names
    counts = PairCounts()
    if {"chosen", "rejected"} <= set(names):
        pairs = list(_read_given_pairs(dataset, config, counts))
    elif "completions" in names or "completion" in names:
        pairs = _make_pairs(_read_scored(dataset, source, field_name, config, counts), config, seed, counts)
    else:
        requirement = "needs chosen and rejected, or sampled rows with prompt, completion and what judges them"
        action = f"it has {', '.join(names)}; rename with {field_name}.columns"
        raise UserError(field_name, source.path, requirement, action)
    if not pairs:
        requirement = f"gives no pair: {counts}" if counts.left_out else "gives no pair"
        raise UserError(f"{field_name}.path", source.path, requirement, "use rows that differ, or change pairs")
    suffix = f"; left out: {counts}" if counts.left_out else ""
    logger.info(f"{field_name}: {len(pairs)} pairs of {len({pair.prompt_key for pair in pairs})} prompts{suffix}")
    return pairs


def pair_source(source: SourceConfig) -> SourceConfig:
    """Return a source as pairs are read from it: of a run all sampled rows, and the columns as they are."""
    # An adapter would take the better completion for an example of SFT.
    changes = {"path": _sample_folder(source) or source.path, "adapter": source.adapter or "none"}
    return source.model_copy(update=changes)


def _sample_folder(source: SourceConfig) -> str | None:
    """Return the folder with all sampled rows of the run that a source names; None for other sources."""
    run = Path(source.path)
    if not (run / "run.json").exists():
        return None
    folders = [run / name for name in _SAMPLE_FOLDERS if any((run / name).rglob("*.parquet"))]
    return str(folders[0]) if folders else None


# Rows that are pairs already


def _read_given_pairs(rows: Iterable[Row], config: PairsConfig, counts: PairCounts) -> Iterator[Pair]:
    for row in rows:
        try:
            yield _read_given_pair(row, config)
        except _NoPairError as error:
            counts.left_out[str(error)] += 1


def _read_given_pair(row: Row, config: PairsConfig) -> Pair:
    """Return the pair that a row with `chosen` and `rejected` is. Raises _NoPairError for a row of no use."""
    prompt, chosen = _split_conversation(row, row["chosen"])
    rejected_prompt, rejected = _split_conversation(row, row["rejected"])
    if prompt != rejected_prompt:
        raise _NoPairError("have two different prompts")
    return _checked_pair(prompt, chosen, rejected, _read_domain(row), config)


def _checked_pair(prompt: list[Message], chosen: Any, rejected: Any, domain: str | None, config: PairsConfig) -> Pair:
    chosen_text, rejected_text = _read_part(chosen, config), _read_part(rejected, config)
    if not chosen_text or not rejected_text:
        raise _NoPairError(f"have an empty {'answer' if config.part == 'answer' else 'completion'}")
    if chosen_text == rejected_text:
        raise _NoPairError("have twice the same text")
    return Pair(prompt, chosen_text, rejected_text, domain)


def _read_domain(row: Row) -> str | None:
    domain = row.get("domain")
    return domain if isinstance(domain, str) else None


def _read_part(completion: Any, config: PairsConfig) -> str:
    """Return the part of a completion that is judged. Raises _NoPairError for what is neither text nor messages."""
    if not isinstance(completion, str) and not is_conversation(completion):
        raise _NoPairError("have no completion")
    try:
        return judged_part(completion, config.part)
    except (TypeError, KeyError, AttributeError):  # messages without text
        raise _NoPairError("have no completion") from None


def _split_conversation(row: Row, value: Any) -> tuple[list[Message], Any]:
    """Return the prompt and the completion of `chosen` or `rejected`: messages, text, or a whole conversation."""
    if isinstance(value, Mapping):  # a single message, as in some sets of the hub
        value = [value]
    if isinstance(value, str):
        prompt = _read_prompt(row)
        if prompt is not None:
            return prompt, value
        messages = _read_hh(value)
    elif is_conversation(value):
        messages = _normalise(value)
        if all(message["role"] == "assistant" for message in messages):
            prompt = _read_prompt(row)
            if prompt is None:
                raise _NoPairError("have no prompt")
            return prompt, [messages[-1]]
    else:
        raise _NoPairError("have no text or messages in chosen or rejected")
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise _NoPairError("do not end with the assistant's turn after a prompt")
    return _with_system(row, messages[:-1]), [messages[-1]]


def _read_hh(text: str) -> list[Message]:
    """Return a conversation of Anthropic's HH, in which each turn begins with "Human:" or "Assistant:"."""
    pieces = _HH_TURN.split(text if text.startswith("\n\n") else f"\n\n{text}")
    messages = []
    for role, content in zip(pieces[1::2], pieces[2::2], strict=True):
        messages.append({"role": _HH_ROLES[role], "content": content.strip()})
    if not messages:
        raise _NoPairError("have no prompt")
    return messages


def _read_prompt(row: Row) -> list[Message] | None:
    """Return the prompt that stands in columns of its own, with the row's system message; None where there is none.

    The input of an instruction follows it after a blank line, as in rows for SFT.
    """
    column = next((name for name in PROMPT_COLUMNS if row.get(name)), None)
    if column is None:
        return None
    question = row[column]
    if column == "instruction" and isinstance(question, str):
        text = next((row[name] for name in INPUT_COLUMNS if row.get(name)), None)
        question = f"{question.strip()}\n\n{str(text).strip()}" if text else question
    return _with_system(row, _as_messages(question))


def _with_system(row: Row, messages: list[Message]) -> list[Message]:
    """Return messages after that of the column `system`, where a row has one and the messages have none."""
    system = row.get("system")
    if not isinstance(system, str) or not system.strip() or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system}, *messages]


def _as_messages(question: Any) -> list[Message]:
    if isinstance(question, str):
        return [{"role": "user", "content": question}]
    return _normalise(question)


def _normalise(messages: Any) -> list[Message]:
    """Return chat messages with their role and content alone. Raises _NoPairError where they are none."""
    try:
        return [_bare_message(message) for message in normalise_messages(messages)]
    except ConversationError as error:
        raise _NoPairError(f"cannot be read ({error})") from None


def _bare_message(message: Message) -> Message:
    return {"role": message["role"], "content": completion_text([message])}


# Sampled rows


@dataclass(frozen=True)
class _Scored:
    """A sampled completion, and the value by which it is better or worse than others of its prompt."""

    prompt: list[Message]
    text: str
    value: float
    domain: str | None


def _read_scored(
    dataset: "Dataset", source: SourceConfig, field_name: str, config: PairsConfig, counts: PairCounts
) -> Iterator[_Scored]:
    """Yield the sampled completions of a source that have a value. Raises UserError where none of them can have one."""
    names = dataset.column_names
    if "completion" not in names:
        yield from _read_scored_lists(dataset, config, counts)
        return
    by = config.by
    if by == BY_CORRECTNESS and by not in names and "accuracy" in names:
        by = "accuracy"
    question_column = ROLLOUT_QUESTION if ROLLOUT_QUESTION in names and "step" in names else "prompt"
    for name in (by, question_column):
        if name not in names:
            requirement = f"has no column {name}"
            action = f"set pairs.by to one of its columns ({', '.join(names)}), or rename one with {field_name}.columns"
            raise UserError(f"{field_name}.path", source.path, requirement, action)
    columns = {by, question_column, "completion", *({"domain", "fault"} & set(names))}
    for row in dataset.select_columns(sorted(columns)):
        try:
            if row.get("fault"):
                raise _NoPairError("could not be judged")
            yield _Scored(
                _as_messages(row[question_column]),
                _read_part(row["completion"], config),
                _read_value(row[by]),
                _read_domain(row),
            )
        except _NoPairError as error:
            counts.left_out[str(error)] += 1


def _read_scored_lists(rows: Iterable[Row], config: PairsConfig, counts: PairCounts) -> Iterator[_Scored]:
    """Yield the completions of rows that hold several, each with a score, as UltraFeedback's do."""
    for row in rows:
        try:
            prompt = _read_prompt(row)
            if prompt is None or not isinstance(row["completions"], list):
                raise _NoPairError("have no prompt or no completions")
        except _NoPairError as error:
            counts.left_out[str(error)] += 1
            continue
        for completion in row["completions"]:
            try:
                text = next((completion[key] for key in SCORED_TEXT_KEYS if completion.get(key)), "")
                score = completion.get(config.by, completion.get(SCORE_KEY))
                yield _Scored(prompt, _read_part(text, config), _read_value(score), _read_domain(row))
            except (_NoPairError, AttributeError):
                counts.left_out["could not be judged"] += 1


def _read_value(value: Any) -> float:
    if not isinstance(value, bool | int | float) or not math.isfinite(value):
        raise _NoPairError("could not be judged")
    return float(value)


def _make_pairs(scored: Iterable[_Scored], config: PairsConfig, seed: int, counts: PairCounts) -> list[Pair]:
    """Return up to `per_prompt` pairs of each prompt's completions; which of them, the seed and the prompt decide."""
    groups: defaultdict[str, dict[str, _Scored]] = defaultdict(dict)
    for completion in scored:
        if not completion.text:
            counts.left_out["have an empty completion"] += 1
            continue
        groups[json.dumps(completion.prompt, ensure_ascii=False)].setdefault(completion.text, completion)
    pairs = []
    for key, group in groups.items():
        ordered = sorted(group.values(), key=lambda completion: (completion.value, completion.text))
        candidates = list(_differing(ordered, config.min_gap))
        if not candidates:
            counts.left_out["prompts have no two completions that differ in value"] += 1
            continue
        drawn = random.Random(f"{seed}/{key}").sample(candidates, min(config.per_prompt, len(candidates)))
        pairs += [Pair(better.prompt, better.text, worse.text, better.domain) for better, worse in drawn]
    return pairs


def _differing(ordered: Sequence[_Scored], min_gap: float) -> Iterator[tuple[_Scored, _Scored]]:
    """Yield each pair of a better and a worse completion whose values differ, by at least `min_gap`."""
    for i, worse in enumerate(ordered):
        for better in ordered[i + 1 :]:
            gap = better.value - worse.value
            if gap > 0 and gap >= min_gap:
                yield better, worse
