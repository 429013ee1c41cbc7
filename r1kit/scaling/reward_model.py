"""A reward model as a judge of samples: a sequence classifier with one output, as TRL's RewardTrainer makes them."""

from collections.abc import Sequence
from typing import Any

import torch

from r1kit.data.load import shown
from r1kit.errors import UserError
from r1kit.prompts import CHAT
from r1kit.recipe import Model, Prompt
from r1kit.sampling.local import render_chat
from r1kit.sampling.sampler import beginning
from r1kit.verifier.features import TOKENS, batches

FIELD = "scaling.reward_model"


@torch.no_grad()
def rewards(path: str, prompt: Prompt, rows: Sequence[dict[str, Any]]) -> list[float]:
    """Return the reward model's sigmoid, from 0 to 1, of each sample row: of its prompt and completion.

    A chat template is the reward model's own. Raises UserError where it is not there or has more than one output.
    """
    from transformers import AutoModelForSequenceClassification

    from r1kit.run import model_path
    from r1kit.training.policy import load_tokenizer

    place = model_path(path, FIELD)
    tokenizer = load_tokenizer(Model(path=path))
    try:
        model = AutoModelForSequenceClassification.from_pretrained(place).eval()
    except (OSError, ValueError) as error:
        do = "give a model with one output, as TRL's RewardTrainer makes it"
        raise UserError(FIELD, path, f"cannot be loaded: {str(error).splitlines()[0]}", do) from None
    if model.config.num_labels != 1:
        must = f"has {model.config.num_labels} outputs, and a reward is one"
        raise UserError(FIELD, path, must, "give a model with num_labels: 1")
    if torch.cuda.is_available():
        model.cuda()
    if model.config.get_text_config().pad_token_id is None:
        model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    texts = []
    for row in rows:
        asked = render_chat(tokenizer, shown(row["prompt"], prompt), prompt)
        texts.append(asked.removesuffix(beginning(asked, prompt.prefill)) + row["completion"])
    coded = tokenizer(texts, add_special_tokens=prompt.template != CHAT).input_ids
    found = [0.0] * len(rows)
    for part in batches([len(ids) for ids in coded], TOKENS):
        inputs = tokenizer.pad({"input_ids": [coded[i] for i in part]}, return_tensors="pt", padding_side="right")
        given = {name: inputs[name].to(model.device) for name in ("input_ids", "attention_mask")}
        for i, value in zip(part, torch.sigmoid(model(**given).logits[:, 0].float()).tolist(), strict=True):
            found[i] = value
    return found
