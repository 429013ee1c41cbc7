"""GOLD: on-policy distillation from a teacher with another tokenizer.

The student's answers, rollouts and checkpoints are those of r1kit.training.distillation. Only the loss is another one:
TRL's ULDLoss (Universal Logit Distillation, arXiv 2402.12030, as TRL's GOLDTrainer extends it). The teacher reads the
text of each answer by its own tokenizer, after the question in its own chat template. Where the two tokenizations have
the same boundaries of bytes, the student's probabilities are compared with the teacher's, sorted by their size (or,
with `trl: {uld_use_hybrid_loss: true}`, token by token for those tokens that both vocabularies have). A row whose text
has other bytes in one of the two tokenizations has no loss from the teacher; the metric `unscored_ratio` is the
fraction of such rows.

Departure from TRL: its GOLDTrainer gives the teacher the prompt in the student's chat template, whose marks are plain
text to another family. Here the teacher is asked as it knows it.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase
from trl.models import prepare_deepspeed

from r1kit.models.templates import apply_template, encode_prompts
from r1kit.recipe import PromptConfig
from r1kit.rows import Row
from r1kit.training.distillation import OnPolicyTrainer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TRL says on import that its experimental modules may change
    from trl.experimental.gold import GOLDConfig
    from trl.experimental.gold.gold_trainer import ULDLoss
    from trl.experimental.utils import encode_with_byte_offsets, piece_byte_len

UNSCORED = -100
"""The label of a token that is not part of an answer."""


@dataclass(frozen=True)
class TeacherAnswer:
    """A student's answer in the teacher's tokens, the end token included."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    """The first byte of each token in the text, and the one after its last."""


class GoldTrainer(OnPolicyTrainer):
    """OnPolicyTrainer with GOLD's loss in place of a divergence over one vocabulary."""

    processing_class: PreTrainedTokenizerBase  # TRL declares other classes, too, for models of more than text

    def __init__(
        self,
        *args: Any,
        gold_teacher: Any,
        teacher_tokenizer: PreTrainedTokenizerBase,
        prompt: PromptConfig,
        uld_config: GOLDConfig,
        **kwargs: Any,
    ):
        """Make a trainer; `args` and `kwargs` are OnPolicyTrainer's, without its teacher.

        `gold_teacher` is the teacher's model, `prompt` the recipe's block, and `uld_config` holds the settings of the
        loss (`uld_...`).
        """
        super().__init__(*args, teacher_model=None, **kwargs)
        if self.is_deepspeed_enabled:
            self.teacher_model = prepare_deepspeed(gold_teacher, self.accelerator)
        else:
            self.teacher_model = self.accelerator.prepare_model(gold_teacher, evaluation_mode=True)
        self.teacher_tokenizer = teacher_tokenizer
        self.prompt = prompt
        self.uld_loss = ULDLoss(uld_config, self.processing_class, teacher_tokenizer, self.accelerator.device)
        # Of the rows of the last generation:
        self.teacher_prompt_ids: list[list[int]] = []
        self.teacher_answers: list[TeacherAnswer | None] = []

    def _generate_and_score_completions(self, inputs: list[Row]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        prompts = [row["prompt"] for row in inputs]
        texts = [apply_template(self.teacher_tokenizer, prompt, self.prompt) for prompt in prompts]
        self.teacher_prompt_ids = encode_prompts(self.teacher_tokenizer, prompts, texts)
        answers = zip(output["completion_ids"], output["completion_mask"].bool(), strict=True)
        self.teacher_answers = [self._read_answer(ids[mask].tolist()) for ids, mask in answers]
        is_unscored = [float(answer is None) for answer in self.teacher_answers]
        unscored_rows = self.accelerator.gather(torch.tensor(is_unscored, device=self.accelerator.device))
        self._metrics["train" if self.model.training else "eval"]["unscored_ratio"].append(unscored_rows.mean().item())
        # TRL shuffles the rows next, and splits them into micro-batches.
        output["row_number"] = torch.arange(len(inputs), device=self.accelerator.device)
        return output

    def _compute_loss(
        self, unwrapped_student: Any, inputs: dict[str, Any], num_items_in_batch: Any
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the mean of the rows' losses, the sum of the student's entropies and the number of tokens.

        In a training step the loss is divided by the number of micro-batches, which are of one size: it is the mean
        over the rows of the whole batch.
        """
        row_numbers = inputs["row_number"].tolist()
        rows = inputs
        if "trim" in self.savings:
            rows = self._cut_rows(inputs, torch.arange(len(row_numbers), device=inputs["prompt_ids"].device))
        completion_ids, completion_mask = rows["completion_ids"], rows["completion_mask"].bool()
        input_ids = torch.cat([rows["prompt_ids"], completion_ids], dim=1)
        attention_mask = torch.cat([rows["prompt_mask"], rows["completion_mask"]], dim=1)
        completion_labels = torch.where(completion_mask, completion_ids, UNSCORED)
        labels = torch.cat([torch.full_like(rows["prompt_ids"], UNSCORED), completion_labels], dim=1)
        answers = [ids[mask].tolist() for ids, mask in zip(completion_ids, completion_mask, strict=True)]

        logits = unwrapped_student(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits
        teacher_rows = self._pad_for_teacher(row_numbers)
        teacher_ids, teacher_mask, teacher_labels, teacher_offsets = teacher_rows
        self.teacher_model.eval()
        with torch.no_grad():
            teacher_logits = self.teacher_model(input_ids=teacher_ids, attention_mask=teacher_mask).logits

        prompt_width = rows["prompt_ids"].size(1)
        loss = self.uld_loss(
            student_logits=logits,
            teacher_logits=teacher_logits,
            student_labels=labels,
            teacher_labels=teacher_labels,
            student_input_ids=input_ids,
            teacher_input_ids=teacher_ids,
            student_byte_offsets=self._student_offsets(answers, prompt_width, input_ids),
            teacher_byte_offsets=teacher_offsets,
        ).mean()
        if self.model.training:
            loss = loss / self.current_gradient_accumulation_steps
        entropies = _entropies(logits[:, prompt_width - 1 : -1].detach() / self.temperature)
        return loss, (entropies * completion_mask).sum(), completion_mask.sum()

    def _read_answer(self, student_ids: list[int]) -> TeacherAnswer | None:
        """Return the teacher's tokens of the text of a student's answer, and its end token in place of the student's.

        None for a text whose bytes are not those of both tokenizations, which then have no boundaries in common: the
        student's tokens are no valid UTF-8, or the teacher's tokenizer rewrites the text, such as e and U+0301 to é.
        """
        has_end = bool(student_ids) and student_ids[-1] in self.eos_token_ids
        text_ids = student_ids[:-1] if has_end else student_ids
        text = str(self.processing_class.decode(text_ids, clean_up_tokenization_spaces=False))
        byte_count = len(text.encode())
        try:
            [(ids, offsets)] = encode_with_byte_offsets(self.teacher_tokenizer.backend_tokenizer, [text])
        except ValueError:  # TRL's, for offsets that overlap
            return None
        for tokenizer, token_ids in ((self.processing_class, text_ids), (self.teacher_tokenizer, ids)):
            if sum(piece_byte_len(piece) for piece in tokenizer.convert_ids_to_tokens(token_ids)) != byte_count:
                return None
        return TeacherAnswer([*ids, self.teacher_tokenizer.eos_token_id], [*offsets, (byte_count, byte_count)])

    def _pad_for_teacher(self, row_numbers: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return rows as the teacher reads them: ids, mask and labels (B, L), and offsets in bytes (B, L, 2).

        A row is its prompt and its answer, without labels where the teacher cannot read that, padded to the right.
        """
        rows = []
        for number in row_numbers:
            rows.append((self.teacher_prompt_ids[number], self.teacher_answers[number] or TeacherAnswer([], [])))
        width = max(len(prompt) + len(answer.ids) for prompt, answer in rows)
        token_ids = torch.full((len(rows), width), self.teacher_tokenizer.pad_token_id or 0)
        mask = torch.zeros_like(token_ids)
        labels = torch.full_like(token_ids, UNSCORED)
        offsets = torch.zeros(len(rows), width, 2, dtype=torch.long)
        for row, (prompt, answer) in enumerate(rows):
            start, end = len(prompt), len(prompt) + len(answer.ids)
            token_ids[row, :end] = torch.tensor([*prompt, *answer.ids])
            labels[row, start:end] = token_ids[row, start:end]
            mask[row, :end] = 1
            offsets[row, start:end] = torch.tensor(answer.offsets, dtype=torch.long).view(-1, 2)
        device = self.accelerator.device
        return token_ids.to(device), mask.to(device), labels.to(device), offsets.to(device)

    def _student_offsets(self, answers: list[list[int]], prompt_width: int, input_ids: torch.Tensor) -> torch.Tensor:
        """Return the first and last byte of each token of the student's answers, (B, P + T, 2)."""
        offsets = torch.zeros(*input_ids.shape, 2, dtype=torch.long)
        for row, ids in enumerate(answers):
            position = 0
            for column, piece in enumerate(self.processing_class.convert_ids_to_tokens(ids), start=prompt_width):
                byte_count = piece_byte_len(piece)
                offsets[row, column] = torch.tensor([position, position + byte_count])
                position += byte_count
        return offsets.to(input_ids.device)


def _entropies(logits: torch.Tensor) -> torch.Tensor:
    """Return the entropy of each distribution in nats, (B, T), of logits (B, T, V)."""
    log_probabilities = logits.float().log_softmax(dim=-1)
    return -(log_probabilities.exp() * log_probabilities).sum(dim=-1)
