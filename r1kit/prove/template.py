"""What is in the loss, token by token, and is the model asked as it was trained?

Each turn of the data has a prompt, as sampling encodes it, and a text that the model is to write. The tokens of the
prompt must begin the trained row and be out of the loss; those of the text, and the token that ends it, must be in the
loss, and nothing else.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1kit.data.examples import load_examples, read_conversation
from r1kit.models.conversations import Conversation, split_thinking
from r1kit.models.load import load_tokenizer
from r1kit.models.pieces import IGNORED_LABEL
from r1kit.models.prompt_choice import choose_prompts
from r1kit.models.stop_tokens import end_token_ids
from r1kit.models.templates import apply_template, encode_prompts
from r1kit.prompts import CHAT_TEMPLATE
from r1kit.prove.definition import TrainedRow
from r1kit.prove.observe import Observer
from r1kit.prove.table import Finding, judge
from r1kit.recipe import ModelConfig, PromptConfig, SFTRecipe, parse_recipe
from r1kit.runs.trained_prompt import TRAINED_FIELDS
from r1kit.training.tokenized_rows import tokenize_examples

SHOWN_ROWS = 3
"""Rows at fault that a figure names."""


@dataclass(frozen=True)
class Turn:
    """One turn that is trained: the prompt before it, and what the model is to write."""

    example: int
    prompt: Any
    """A text, or chat messages."""
    prompt_ids: tuple[int, ...]
    texts: tuple[str, ...]
    """Thinking and answer, which the scored tokens must spell."""
    is_last: bool


@dataclass
class TurnFaults:
    """The examples at fault, by what is wrong."""

    prompts: set[int] = field(default_factory=set)
    masks: set[int] = field(default_factory=set)
    ends: set[int] = field(default_factory=set)


# Fine-tuning


def tokenize_as_trained(recipe: SFTRecipe, tokenizer: Any, stops: Collection[str]) -> tuple[Any, list[TrainedRow]]:
    """Return the examples of a recipe's data, and their rows as the data says they are trained."""
    examples = load_examples(recipe.data.train, recipe.prompt, data=recipe.data)
    dataset = tokenize_examples(examples, tokenizer, recipe, "data.train", stops).dataset
    rows = []
    for row in dataset:
        rows.append(TrainedRow(tuple(row["input_ids"]), tuple(row["labels"])))
    return examples, rows


def read_turns(examples: Any, recipe: SFTRecipe, tokenizer: Any) -> list[Turn]:
    """Return the turns of examples that are trained, with the ids by which sampling asks for each."""
    turns = []
    for number, row in enumerate(examples):
        if "text" in row:
            turns.append(Turn(number, "", (), (row["text"],), True))
        elif recipe.prompt.template != CHAT_TEMPLATE:
            turns.append(_make_turn(number, row["prompt"], (row["completion"],), recipe.prompt, tokenizer, True))
        else:
            turns += _read_conversation_turns(number, row, recipe.prompt, tokenizer)
    return turns


def _read_conversation_turns(number: int, row: Any, prompt: PromptConfig, tokenizer: Any) -> list[Turn]:
    messages, first_scored, tools = read_conversation(row, prompt)
    if tools or any(message.get("tool_calls") for message in messages):
        return []  # each template renders calls of tools in its own way, which r1kit.models.training_rows checks
    scored = Conversation(messages, first_scored, tools).scored_turns()
    turns = []
    for position in scored:
        texts = tuple(text.strip() for text in split_thinking(messages[position]) if text.strip())
        is_last = position == scored[-1]
        turns.append(_make_turn(number, messages[:position], texts, prompt, tokenizer, is_last))
    return turns


def _make_turn(
    number: int, prompt: Any, texts: tuple[str, ...], settings: PromptConfig, tokenizer: Any, is_last: bool
) -> Turn:
    return Turn(number, prompt, encode_prompt(tokenizer, prompt, settings), texts, is_last)


def encode_prompt(tokenizer: Any, prompt: Any, settings: PromptConfig) -> tuple[int, ...]:
    """Return the ids of a prompt as the samplers of r1kit make them."""
    return tuple(encode_prompts(tokenizer, [prompt], [apply_template(tokenizer, prompt, settings)])[0])


def find_turn_faults(
    turns: Sequence[Turn], rows: Sequence[TrainedRow], tokenizer: Any, end_ids: Collection[int]
) -> TurnFaults:
    """Return the examples whose rows are not trained as their turns say."""
    faults = TurnFaults()
    for turn in turns:
        start = len(turn.prompt_ids)
        candidates = [
            row for row in rows if row.ids[:start] == turn.prompt_ids and _spells(row, start, turn, tokenizer)
        ]
        if not candidates:
            faults.prompts.add(turn.example)
            continue
        row = candidates[0]
        if any(label != IGNORED_LABEL for label in row.labels[start - 1 : start] if start):
            faults.masks.add(turn.example)
        end = start
        while end < len(row.ids) and row.labels[end] != IGNORED_LABEL:
            end += 1
        scored_text = tokenizer.decode(row.ids[start:end], skip_special_tokens=False)
        if not _contains_in_order(scored_text, turn.texts):
            faults.masks.add(turn.example)
        if row.ids[end - 1] not in end_ids or end == start:
            faults.ends.add(turn.example)
        if turn.is_last and any(label != IGNORED_LABEL for label in row.labels[end:]):
            faults.masks.add(turn.example)
    for turn in turns:
        if turn.example not in faults.prompts and _scores_prompt(turn, turns, rows):
            faults.masks.add(turn.example)
    return faults


def _spells(row: TrainedRow, start: int, turn: Turn, tokenizer: Any) -> bool:
    """Return whether the texts of a turn stand in the row, behind its prompt."""
    return _contains_in_order(tokenizer.decode(row.ids[start:], skip_special_tokens=False), turn.texts)


def _contains_in_order(text: str, parts: Sequence[str]) -> bool:
    position = 0
    for part in parts:
        position = text.find(part.strip(), position)
        if position < 0:
            return False
        position += len(part.strip())
    return True


def _scores_prompt(turn: Turn, turns: Sequence[Turn], rows: Sequence[TrainedRow]) -> bool:
    """Return whether a token of the first prompt of an example is in the loss."""
    first = next(other for other in turns if other.example == turn.example)
    start = len(first.prompt_ids)
    matching = [row for row in rows if row.ids[:start] == first.prompt_ids]
    return bool(matching) and all(any(label != IGNORED_LABEL for label in row.labels[:start]) for row in matching)


def check_fine_tuning(
    observer: Observer, recipe: SFTRecipe, examples: Any, rows: Sequence[TrainedRow], run_dir: Path
) -> list[Finding]:
    """Return the findings on prompt, mask and end of turn of fine-tuning.

    `rows` are those of the recipe's data at its own length, `observer` has seen the batches of the run at `run_dir`.
    """
    tokenizer = observer.trainer.processing_class
    end_ids = end_token_ids(tokenizer, observer.trainer.model.generation_config.eos_token_id, recipe.prompt.template)
    turns = read_turns(examples, recipe, tokenizer)
    faults = find_turn_faults(turns, rows, tokenizer, end_ids)
    count = len({turn.example for turn in turns})
    if recipe.training.loss_on == "everything":
        faults.masks = {example for example in faults.masks if not _is_scored_whole(rows)}
    findings = [_judge_prompts(turns, faults, recipe, run_dir)]

    scored = sum(sum(label != IGNORED_LABEL for label in row.labels) for row in rows)
    total = sum(len(row.ids) for row in rows)
    changed = _count_changed_rows(observer)
    mask_figure = f"{scored:,} of {total:,} tokens of {len(rows)} rows are in the loss: "
    mask_figure += "the completions and their ends" if not faults.masks else _name(faults.masks, "other ones too")
    if changed:
        mask_figure += f"; {changed} rows have other labels in the batches"
    findings.append(judge("mask", not faults.masks and not changed, mask_figure))
    ends = sorted({repr(tokenizer.decode([token])) for token in end_ids})
    end_figure = f"{count - len(faults.ends)} of {count} completions end in the loss with {' or '.join(ends)}"
    findings.append(judge("end of turn", count > 0 and not faults.ends, end_figure))
    return findings


def _is_scored_whole(rows: Sequence[TrainedRow]) -> bool:
    return all(row.labels == row.ids for row in rows)


def _count_changed_rows(observer: Observer) -> int:
    """Return the number of trained rows whose labels are not those of the data; rows cut by packing do not count."""
    changed = 0
    cuts_rows = getattr(observer.trainer.args, "packing", False)
    for step in observer.steps:
        for row in step.trained_rows:
            labels = observer.truth.get(row.ids)
            if labels is None:
                changed += not cuts_rows
            else:
                changed += labels[1:] != row.labels[1:]
    return changed


def _judge_prompts(turns: Sequence[Turn], faults: TurnFaults, recipe: SFTRecipe, run_dir: Path) -> Finding:
    count = len(turns)
    evaluated, settings_differ = read_evaluation_prompt(run_dir, recipe.prompt)
    other = 0
    asked = [turn for turn in turns if turn.prompt_ids]
    for turn in asked:
        other += encode_prompt(evaluated.tokenizer, turn.prompt, evaluated.prompt) != turn.prompt_ids
    figure = f"{count - len(faults.prompts)} of {count} prompts begin the trained row with the ids of sampling"
    figure += f"; {len(asked) - other} of {len(asked)} have them in evaluation"
    if faults.prompts:
        figure += f"; not {_name(faults.prompts, '')}".rstrip()
    if settings_differ:
        figure += f"; evaluation has another {settings_differ}"
    return judge("prompt", count > 0 and not faults.prompts and not other and not settings_differ, figure)


def _name(examples: Collection[int], what: str) -> str:
    shown = ", ".join(map(str, sorted(examples)[:SHOWN_ROWS]))
    return f"{what} of row {shown}" if what else f"of row {shown}"


# Evaluation


@dataclass(frozen=True)
class EvaluationPrompt:
    """By which prompt block and tokenizer `r1kit eval RUN` asks a trained model."""

    prompt: PromptConfig
    tokenizer: Any


def read_evaluation_prompt(run_dir: Path, trained: PromptConfig) -> tuple[EvaluationPrompt, str]:
    """Return how `r1kit eval` asks the model of a run, and the first field in which that differs from its training."""
    recipe = parse_recipe("eval", {"model": {"path": str(run_dir)}, "data": {"eval": ["unused"]}, "output": "unused"})
    chosen, _ = choose_prompts(recipe)
    differences = [name for name in TRAINED_FIELDS if getattr(chosen.prompt, name) != getattr(trained, name)]
    prompt = EvaluationPrompt(chosen.prompt, load_tokenizer(ModelConfig(path=str(run_dir))))
    return prompt, differences[0] if differences else ""


# Reinforcement learning


def check_policy(observer: Observer, recipe: Any, run_dir: Path) -> list[Finding]:
    """Return the findings on prompt, mask and end of turn of a training on the model's own completions."""
    trainer = observer.trainer
    tokenizer = trainer.processing_class
    evaluated, settings_differ = read_evaluation_prompt(run_dir, recipe.prompt)
    sampling_ids, evaluation_ids = set(), set()
    for prompt in trainer.train_dataset["prompt"]:
        sampling_ids.add(encode_prompt(tokenizer, prompt, recipe.prompt))
        evaluation_ids.add(encode_prompt(evaluated.tokenizer, prompt, evaluated.prompt))
    trained = {prompt for step in observer.steps for (prompt, _), _ in step.policy_rows}
    in_sampling, in_evaluation = len(trained & sampling_ids), len(trained & evaluation_ids)
    figure = f"of {len(trained)} trained prompts {in_sampling} have the ids of sampling, {in_evaluation} of evaluation"
    if settings_differ:
        figure += f"; evaluation has another {settings_differ}"
    holds = bool(trained) and in_sampling == in_evaluation == len(trained) and not settings_differ
    return [judge("prompt", holds, figure), _judge_completion_masks(observer), _judge_ends(observer, recipe)]


def _judge_completion_masks(observer: Observer) -> Finding:
    """Return whether the tokens in the loss are those that were sampled, all of them and no padding."""
    sampled = {row for generation in observer.generations for row in generation.rows}
    is_masked = getattr(observer.trainer, "mask_truncated_completions", False)
    wrong, rows, tokens = 0, 0, 0
    for step in observer.steps:
        for (prompt, completion), _ in step.policy_rows:
            rows += 1
            tokens += len(completion)
            wrong += (prompt, completion) not in sampled and not (is_masked and not completion)
    figure = f"{tokens:,} tokens of {rows} completions are in the loss: "
    figure += "what was sampled" if not wrong else f"{wrong} are not what was sampled"
    return judge("mask", rows > 0 and not wrong, figure)


def _judge_ends(observer: Observer, recipe: Any) -> Finding:
    """Return whether completions end where sampling ends them, with their end token in the loss."""
    trainer = observer.trainer
    tokenizer = trainer.processing_class
    expected = set(end_token_ids(tokenizer, trainer.model.generation_config.eos_token_id, recipe.prompt.template))
    own = set(trainer.eos_token_ids)
    ended, trained_ends = set(), set()
    for generation in observer.generations:
        ended |= {row for row in generation.rows if row[1][-1] in expected}
    for step in observer.steps:
        trained_ends |= {row for row, _ in step.policy_rows if row[1] and row[1][-1] in expected}
    names = " or ".join(sorted(repr(tokenizer.decode([token])) for token in expected))
    figure = f"{len(trained_ends & ended)} of {len(ended)} ended completions have {names} in the loss"
    if own != expected:
        figure += f"; training ends at {sorted(own)}, sampling at {sorted(expected)}"
    return judge("end of turn", bool(ended) and ended <= trained_ends and own == expected, figure)
