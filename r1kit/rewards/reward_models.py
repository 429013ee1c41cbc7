"""Reward models: how they are loaded, what text they read, and how they score it.

A reward model is a sequence classification model with one label, its score. What it was trained on is what it must be
given later, so that one function renders the texts of both: `render_judged_text` serves `r1kit reward-model`, which
trains one, and the reward `preference`, which uses it. A model that r1kit trained says in its config.json what that is.
"""

import json
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1kit.errors import UserError
from r1kit.ranks import local_rank
from r1kit.runs.files import write_file
from r1kit.safe_text import mask_secrets

if TYPE_CHECKING:
    from r1kit.recipe import RewardModelRecipe

PARTS = ("answer", "all")
CONFIG_KEY = "r1kit_reward_model"
"""The key in a reward model's config.json under which r1kit keeps what the model was trained to read."""

# Reward models that stay in memory at once.
MAX_LOADED_MODELS = 4

_MODEL_FIELD = "rewards.preference.model"

Question = str | list[dict[str, Any]]


@dataclass(frozen=True)
class JudgedText:
    """What a reward model reads: which part of a completion, and how question and completion become one text."""

    part: str = "answer"
    """`answer` (the final answer) or `all` (the completion with its chain of thought)."""
    template: str = "chat"
    """As `prompt.template` of a recipe: `chat`, `r1-zero`, `tiny` or a text with {prompt} in it."""
    system: str | None = None
    template_settings: dict[str, Any] = field(default_factory=dict)


def describe_judged_text(recipe: "RewardModelRecipe") -> JudgedText:
    """Return what the reward model of a recipe is trained to read."""
    prompt = recipe.prompt
    return JudgedText(recipe.pairs.part, prompt.template, prompt.system, prompt.template_settings)


def write_judged_text(judged: JudgedText, model_dir: Path) -> None:
    """Write what a reward model was trained to read into its config.json, without secrets."""
    file = model_dir / "config.json"
    config = json.loads(file.read_text())
    config[CONFIG_KEY] = mask_secrets(asdict(judged))
    write_file(file, json.dumps(config, indent=2, sort_keys=True) + "\n")


def render_judged_text(tokenizer: Any, question: Question, reply: str, judged: JudgedText | None) -> str:
    """Return a question (text or chat messages) and a reply to it as the text that a reward model reads.

    With the template `chat`, or where nothing is known of the model (`judged` is None), they are in the tokenizer's
    chat template; without a chat template, each is on a line of its own.

        render_judged_text(tokenizer, "2 + 2?", "4", JudgedText(template="tiny"))      "Q: 2 + 2?\\nA: 4"
    """
    from r1kit.data.questions import render_prompt  # imports pydantic, which the other rewards do without
    from r1kit.prompts import CHAT_TEMPLATE
    from r1kit.recipe import PromptConfig

    if judged is not None and judged.template != CHAT_TEMPLATE:
        start = str(render_prompt(question, PromptConfig(template=judged.template)))
        space = "" if start[-1:].isspace() else " "
        return f"{start}{space}{reply}"
    system = judged.system if judged is not None else None
    prompt_messages: Any = render_prompt(question, PromptConfig(template=CHAT_TEMPLATE, system=system))
    if tokenizer.chat_template is None:
        contents = [message["content"] for message in prompt_messages]
        return "\n".join([*contents, reply])
    messages = [*prompt_messages, {"role": "assistant", "content": reply}]
    settings = judged.template_settings if judged is not None else {}
    return tokenizer.apply_chat_template(messages, tokenize=False, **settings)


def encode_judged_texts(tokenizer: Any, texts: Sequence[str], judged: JudgedText | None) -> list[list[int]]:
    """Return the token ids of each text that `render_judged_text` returned."""
    # A chat template writes its special tokens itself.
    is_chat = tokenizer.chat_template is not None and (judged is None or judged.template == "chat")
    return tokenizer(list(texts), add_special_tokens=not is_chat).input_ids


@dataclass(frozen=True)
class RewardModel:
    """A loaded reward model with its tokenizer."""

    model: Any
    tokenizer: Any
    judged: JudgedText | None  # what a model that r1kit trained was trained to read; None of others
    pad_token_id: int | None  # None where the model's config names none
    max_tokens: float  # of prompt and completion together; infinite where the model names no limit

    def render(self, question: Question, reply: str) -> str:
        """Return the text of a question and a reply as the model was trained to read it; see `render_judged_text`."""
        return render_judged_text(self.tokenizer, question, reply, self.judged)

    def score(self, texts: list[str], batch_size: int) -> list[float]:
        """Return one score for each text, NaN for a text that is too long."""
        token_rows = encode_judged_texts(self.tokenizer, texts, self.judged)
        scores = [math.nan] * len(token_rows)
        # Batches are made of texts of similar length, which need little padding.
        order = [i for i, token_ids in enumerate(token_rows) if len(token_ids) <= self.max_tokens]
        order.sort(key=lambda i: len(token_rows[i]))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            for i, score in zip(batch, self._forward([token_rows[i] for i in batch]), strict=True):
                scores[i] = score
        return scores

    def _forward(self, token_rows: list[list[int]]) -> Iterator[float]:
        import torch

        pad_token_id = self.pad_token_id
        if pad_token_id is None:
            # The model reads its score at the last token that is not padding. A model that names no pad token was
            # trained to read the last token of all, for which any token will do in which no row ends.
            last_tokens = {token_ids[-1] for token_ids in token_rows}
            pad_token_id = next(i for i in range(len(last_tokens) + 1) if i not in last_tokens)
        self.model.config.get_text_config().pad_token_id = pad_token_id
        width = max(map(len, token_rows))
        padded_rows = []
        mask_rows = []
        for token_ids in token_rows:
            padding = width - len(token_ids)
            padded_rows.append(token_ids + [pad_token_id] * padding)
            mask_rows.append([1] * len(token_ids) + [0] * padding)
        input_ids = torch.tensor(padded_rows, device=self.model.device)  # (B, T)
        attention_mask = torch.tensor(mask_rows, device=self.model.device)  # (B, T)
        with torch.inference_mode():
            logits = self.model(input_ids=input_ids, attention_mask=attention_mask).logits  # (B, 1)
        return iter(logits[:, 0].float().tolist())


# Rewards run in threads of their own, and two of them must not load the same model at once.
_loading_lock = threading.Lock()


def load_reward_model(model: str, revision: str | None = None, device: str | None = None) -> RewardModel:
    """Return the reward model, which is loaded once in a process. Raises UserError."""
    with _loading_lock:
        return _load(model, revision, device or _accelerator())


def forget_reward_models() -> None:
    """Free the loaded reward models, so that one that was trained anew is read again."""
    _load.cache_clear()


@lru_cache(maxsize=MAX_LOADED_MODELS)
def _load(name: str, revision: str | None, device: str) -> RewardModel:
    """Load a reward model and its tokenizer: in float32 on a CPU, elsewhere in the dtype in which it was saved."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from r1kit.runs.paths import resolve_reward_model_path  # imports pydantic, which the other rewards do without

    path = resolve_reward_model_path(name, _MODEL_FIELD)
    dtype: Any = torch.float32 if device == "cpu" else "auto"
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            path, revision=revision, dtype=dtype, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        action = "check the path, the id and the network"
        raise UserError(_MODEL_FIELD, name, f"cannot be loaded: {reason}", action) from None
    # transformers would give a language model a random score layer, and return noise.
    missing_weights = sorted(report["missing_keys"])
    if model.config.num_labels != 1 or missing_weights:
        fault = f"it has {model.config.num_labels} labels"
        if missing_weights:
            fault = f"it lacks {missing_weights[0]}"
        requirement = f"must be a reward model with one label, but {fault}"
        raise UserError(_MODEL_FIELD, name, requirement, "use another model")
    config = model.config.get_text_config()
    pad_token_id = config.pad_token_id
    if pad_token_id is not None and pad_token_id < 0:
        pad_token_id = None
    max_tokens = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", None) or math.inf)
    judged = _read_judged(model.config, name)
    return RewardModel(model.eval().to(device), tokenizer, judged, pad_token_id, max_tokens)


def _read_judged(config: Any, name: str) -> JudgedText | None:
    """Return what a model's config says of the texts that r1kit trained it on; None of a model that others trained."""
    values = getattr(config, CONFIG_KEY, None)
    if values is None:
        return None
    from r1kit.prompts import AUTO_TEMPLATE
    from r1kit.recipe import PromptConfig

    try:
        judged = JudgedText(**values)
        PromptConfig(template=judged.template, system=judged.system, template_settings=judged.template_settings)
        if judged.part not in PARTS or judged.template == AUTO_TEMPLATE:
            raise ValueError
        return judged
    except (TypeError, ValueError):
        requirement = f"its config.json has a damaged {CONFIG_KEY}"
        raise UserError(_MODEL_FIELD, name, requirement, "restore the file, or train the model again") from None


def _accelerator() -> str:
    """Return the device of this process: the local rank's accelerator, or the CPU where there is none."""
    import torch

    if not torch.accelerator.is_available():
        return "cpu"
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is None:
        return "cpu"
    return f"{accelerator.type}:{local_rank() % torch.accelerator.device_count()}"
