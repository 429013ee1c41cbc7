"""The block `training`: how the weights are changed."""

from typing import Annotated, Literal

from r1kit.recipe.block import Block, NonNegativeFloat, NonNegativeInt, OnResume, PositiveFloat, PositiveInt

Schedule = Literal["constant", "linear", "cosine"]


class TrainingConfig(Block):
    """Settings of the optimizer. Batch sizes are global: a recipe means the same training on 1 GPU and on 64."""

    steps: Annotated[PositiveInt | None, OnResume.MAY_GROW] = None
    """Number of optimizer steps; set either this or `epochs`."""
    epochs: Annotated[PositiveFloat | None, OnResume.MAY_GROW] = None
    """Number of passes over the data, such as 2 or 0.5; default: 1, unless `steps` is set."""
    batch_size: PositiveInt = 128
    """Rows (SFT) or completions (RL) of one optimizer step, over all devices together."""
    micro_batch_size: Annotated[PositiveInt | None, OnResume.MAY_CHANGE] = None
    """Rows that one device processes at once; fewer need less memory, and the gradients of several micro-batches are
    added up. Default: the whole share of the device, halved whenever memory runs out."""
    learning_rate: PositiveFloat = 1e-5
    """Learning rate of AdamW after the warm-up, such as 1e-5."""
    schedule: Schedule = "constant"
    """How the learning rate changes after the warm-up: not at all, down to 0 on a line, or down to `min_learning_rate`
    on half a cosine."""
    min_learning_rate: NonNegativeFloat = 0.0
    """Learning rate at the last step; only for the schedule `cosine`."""
    warmup_steps: NonNegativeInt = 0
    """Number of optimizer steps in which the learning rate rises from 0."""
    weight_decay: NonNegativeFloat = 0.0
    """Strength with which AdamW pulls weights towards 0, such as 0.1 for pre-training."""
    max_grad_norm: PositiveFloat = 1.0
    """Largest norm of the gradient; a larger gradient is scaled down to it."""
    gradient_checkpointing: Annotated[bool, OnResume.MAY_CHANGE] = False
    """Recompute activations in the backward pass: it needs less memory and takes 1.1 to 1.2 times as long."""
    save_steps: Annotated[PositiveInt, OnResume.MAY_CHANGE] = 100
    """Number of optimizer steps between checkpoints."""
    keep_checkpoints: Annotated[PositiveInt, OnResume.MAY_CHANGE] = 2
    """Number of the newest checkpoints that are kept; the best one is kept as well."""
    eval_steps: PositiveInt | None = None
    """Number of optimizer steps between evaluations on `data.eval`; the best checkpoint becomes the model. Default: no
    evaluation."""
    log_steps: Annotated[PositiveInt, OnResume.MAY_CHANGE] = 1
    """Number of optimizer steps between lines of metrics.jsonl."""


class RLTrainingConfig(TrainingConfig):
    """Settings of the optimizer and of GRPO's loss."""

    learning_rate: PositiveFloat = 3e-6
    """Learning rate of AdamW after the warm-up; the paper has 3e-6."""
    batch_size: PositiveInt = 512
    """Completions of one optimizer step, over all devices together: prompts times `sampling.group_size`."""
    kl: NonNegativeFloat = 0.001
    """Weight of the KL divergence from the reference model in the loss (TRL's `beta`); 0 needs no reference model."""
    clip: PositiveFloat = 0.2
    """Distance from 1 at which the ratio of new to old probabilities is clipped (epsilon); the paper has 10."""
    reference_reset_steps: PositiveInt | None = None
    """Number of optimizer steps after which the policy replaces the reference model; the paper has 400. Default: the
    reference model stays the initial policy."""
    savings: list[Literal["trim", "regroup", "skip", "share", "rollouts"]] = [
        "trim",
        "regroup",
        "skip",
        "share",
        "rollouts",
    ]
    """Work of stock TRL that r1kit leaves out, with the same gradient: `trim` padding, `skip` rows without a gradient,
    `share` computing a prompt again for each completion of its group, `regroup` mixing lengths in a micro-batch.
    `rollouts` samples with r1kit's decoder: the same distribution, other draws. [] leaves nothing out."""
    updates_per_rollout: PositiveInt = 1
    """Number of optimizer steps that the completions of one rollout are split into; the paper has 16."""


class RewardModelTrainingConfig(TrainingConfig):
    """Settings of the optimizer and of the pairs of a reward model."""

    batch_size: PositiveInt = 64
    """Pairs of one optimizer step, over all devices together."""
    micro_batch_size: Annotated[PositiveInt | None, OnResume.MAY_CHANGE] = None
    """Pairs that one device processes at once; fewer need less memory, and the gradients of several micro-batches are
    added up. Default: the whole share of the device, halved whenever memory runs out."""
    schedule: Schedule = "cosine"
    """How the learning rate changes after the warm-up: not at all, down to 0 on a line, or down to `min_learning_rate`
    on half a cosine."""
    max_length: PositiveInt = 4096
    """Longest prompt and completion together, in tokens; a pair with a longer one is dropped and counted."""
    eval_steps: PositiveInt | None = None
    """Number of optimizer steps between evaluations on the held-out pairs; the best checkpoint becomes the model.
    Default: they are measured once, at the end."""


class SFTTrainingConfig(TrainingConfig):
    """Settings of the optimizer and of the rows of fine-tuning."""

    schedule: Schedule = "cosine"
    """How the learning rate changes after the warm-up: not at all, down to 0 on a line, or down to `min_learning_rate`
    on half a cosine."""
    max_length: PositiveInt = 4096
    """Longest row, in tokens; `too_long` says what is done with longer ones."""
    too_long: Literal["drop", "truncate", "refuse"] | None = None
    """What is done with rows of more than `max_length` tokens: `drop` them, `truncate` them, which takes their end, or
    `refuse` to train. Default: rows with a completion are dropped, since their answer is at the end, and plain text is
    truncated. They are counted in any case."""
    loss_on: Literal["completions", "everything"] = "completions"
    """What is trained of a row: its `completions`, which are the assistant's messages of a conversation, or
    `everything`, the prompt too. Plain text is always trained whole."""
    savings: list[Literal["trim"]] = ["trim"]
    """Work of stock TRL that r1kit leaves out because the update is the same without it: padding. [] leaves nothing
    out."""
    packing: bool = False
    """Join several rows into one sequence of up to `max_length` tokens, as for pre-training."""
    group_by_length: bool = False
    """Batch rows of similar length together; each batch is then a less random mixture. `savings` avoids padding too."""


class DistillTrainingConfig(SFTTrainingConfig):
    """Settings of the optimizer, and of the rows of the method `rows`."""

    savings: list[Literal["trim", "rollouts"]] = ["trim", "rollouts"]  # type: ignore[assignment]
    """Work of stock TRL that r1kit leaves out because the update is the same without it: `trim` padding. `rollouts`
    samples the student's answers with r1kit's decoder: the same distribution, other draws. [] leaves nothing out."""
