"""What each logged metric is called on the page of `r1kit report`, and how to read its curve.

The names on the left are the keys of `metrics.jsonl`, which are TRL's and transformers' own.

    describe_metric("completions/mean_length").label   # "Mean length of a completion"
"""

import re
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class MetricText:
    """A metric in words."""

    label: str
    unit: str
    """What the vertical axis counts."""
    reading: str
    """One sentence or two: should it rise, fall or stay flat, and why."""
    fraction: bool = False
    """Whether its values lie from 0 to 1; the axis then shows all of that range."""


# In the order in which the page shows them.
METRICS = {
    "reward": MetricText(
        "Reward",
        "weighted sum of rewards",
        "Should rise. Flat at its highest value: the problems are too easy, and nothing more is learnt.",
    ),
    "frac_reward_zero_std": MetricText(
        "Groups in which all rewards are equal",
        "fraction of groups",
        "Should stay low. Such a group teaches nothing; above 0.8 most of the compute is spent for no gradient.",
        fraction=True,
    ),
    "completions/mean_length": MetricText(
        "Mean length of a completion",
        "tokens",
        "May rise or fall. Good if accuracy rises along with it; longer at the same accuracy is rambling.",
    ),
    "completions/reflection_words": MetricText(
        "Reflection words",
        "words per completion",
        "wait, but, check and others, as the R1 paper counts them. More of them: the model looks back more often.",
    ),
    "completions/clipped_ratio": MetricText(
        "Completions cut off at the token limit",
        "fraction of completions",
        "Should stay near 0. A completion that was cut off has no answer: raise sampling.max_tokens.",
        fraction=True,
    ),
    "tools/call_frequency": MetricText(
        "Calls of tools",
        "calls for each completion",
        "Rises where calling pays. Falling to 0 means that the model has learnt to answer without its tools.",
    ),
    "tools/failure_frequency": MetricText(
        "Calls of tools that failed",
        "fraction of calls",
        "Should fall. Such calls name no tool, have wrong arguments, or raise an exception, which the model reads.",
        fraction=True,
    ),
    "tools/faults": MetricText(
        "Rollouts in which a tool could not work",
        "rollouts",
        "Should be 0. Such rollouts get no reward and are left out: repair the tool, or what it needs.",
    ),
    "loss": MetricText("Loss", "loss", "See the learning curves of the rewards instead."),
    "eval_loss": MetricText(
        "Loss on held-out rows",
        "nats per token",
        "Should fall. Rising while the training loss falls means that the model learns the rows by heart.",
    ),
    "accuracy": MetricText(
        "Pairs that the reward model orders rightly",
        "fraction of pairs",
        "Of the pairs that it is trained on. Should rise from 0.5, which is a coin's; 1 on few pairs means little.",
        fraction=True,
    ),
    "eval_accuracy": MetricText(
        "Held-out pairs that the reward model orders rightly",
        "fraction of pairs",
        "Should rise and stay. What it misjudges, a policy that is paid by it will find.",
        fraction=True,
    ),
    "margin": MetricText(
        "Score of the better completion minus that of the worse one",
        "score",
        "Should rise slowly. Without end, the model grows sure of the pairs that it has seen.",
    ),
    "mean_token_accuracy": MetricText(
        "Tokens predicted correctly",
        "fraction of tokens",
        "Should rise, then flatten. This is next-token accuracy on the training rows, not the accuracy of answers.",
        fraction=True,
    ),
    "eval_mean_token_accuracy": MetricText(
        "Tokens predicted correctly, on held-out rows",
        "fraction of tokens",
        "Should rise, then flatten. Far below the value on training rows means overfitting.",
        fraction=True,
    ),
    "kl": MetricText(
        "KL divergence from the reference model",
        "nats per token",
        "Rises slowly from 0. A sudden jump means that the policy runs away: lower the learning rate.",
    ),
    "entropy": MetricText(
        "Entropy of the next token",
        "nats",
        "Falls as the model grows sure. Near 0 all samples of a group are alike, and RL has nothing to choose from.",
    ),
    "grad_norm": MetricText(
        "Norm of the gradient",
        "norm before clipping",
        "Should stay level. Single spikes are clipped; growth without end means that the learning rate is too high.",
    ),
    "reward_std": MetricText(
        "Standard deviation of the reward",
        "standard deviation",
        "Should stay above 0: RL learns from the differences between the samples of a prompt.",
    ),
    "learning_rate": MetricText("Learning rate", "learning rate", "Set by the recipe; neither good nor bad."),
    "num_tokens": MetricText("Tokens seen", "tokens", "Counts up; neither good nor bad."),
    "num_input_tokens_seen": MetricText("Tokens seen, padding included", "tokens", "Counts up; neither good nor bad."),
    "epoch": MetricText("Epoch", "passes over the data", "Counts up; neither good nor bad."),
    "step_time": MetricText(
        "Duration of a step", "seconds", "Lower is faster. It grows with the length of completions."
    ),
    "completions/min_length": MetricText("Shortest completion", "tokens", "Near 0: some samples give up at once."),
    "completions/max_length": MetricText(
        "Longest completion", "tokens", "At sampling.max_tokens, some completions are cut off."
    ),
    "completions/mean_terminated_length": MetricText(
        "Mean length of the completions that were not cut off", "tokens", "Read it beside the accuracy."
    ),
    "completions/min_terminated_length": MetricText(
        "Shortest completion that was not cut off", "tokens", "Near 0: some samples give up at once."
    ),
    "completions/max_terminated_length": MetricText(
        "Longest completion that was not cut off", "tokens", "Close to sampling.max_tokens: the limit is tight."
    ),
    "clip_ratio/region_mean": MetricText(
        "Tokens whose update was clipped",
        "fraction of tokens",
        "Should stay low. It is 0 when every batch is used for one update, as then policy and sampler are the same.",
        fraction=True,
    ),
    "clip_ratio/low_mean": MetricText(
        "Tokens clipped at the lower bound", "fraction of tokens", "Should stay low.", fraction=True
    ),
    "clip_ratio/low_min": MetricText(
        "Tokens clipped at the lower bound, least of all devices",
        "fraction of tokens",
        "Should stay low.",
        fraction=True,
    ),
    "clip_ratio/high_mean": MetricText(
        "Tokens clipped at the upper bound", "fraction of tokens", "Should stay low.", fraction=True
    ),
    "clip_ratio/high_max": MetricText(
        "Tokens clipped at the upper bound, most of all devices",
        "fraction of tokens",
        "Should stay low.",
        fraction=True,
    ),
    "faults": MetricText(
        "Completions without a verdict",
        "completions",
        "Should be 0: a fault is a checker that failed, not a wrong answer.",
    ),
    "timeouts": MetricText(
        "Checks that ran out of time", "completions", "Should be 0 or nearly so; otherwise raise the time limit."
    ),
}

# Of one reward: the first group is its name.
REWARD_METRICS = {
    "mean": MetricText(
        "Reward {name}: mean", "mean over completions", "Should rise. Rising alone, without accuracy, it is gamed."
    ),
    "std": MetricText(
        "Reward {name}: standard deviation", "standard deviation", "At 0 this reward does not tell samples apart."
    ),
    "none": MetricText(
        "Reward {name}: completions that it does not apply to", "completions", "Depends on the mix of problems."
    ),
    "faults": MetricText("Reward {name}: completions without a verdict", "completions", "Should be 0."),
}
# What is known of single rewards, in place of the general reading of `mean`.
REWARD_READINGS = {
    "accuracy": MetricText(
        "Accuracy of the sampled completions",
        "fraction correct",
        "Should rise: this is what RL is for. Near 1 the problems are too easy, near 0 there is nothing to reinforce.",
        fraction=True,
    ),
    "format": MetricText(
        "Completions in the required format",
        "fraction of completions",
        "Should rise early and stay near 1. Flat 0: the prompt does not ask for the format.",
        fraction=True,
    ),
    "language": MetricText(
        "Language consistency",
        "fraction of words",
        "Words of the thinking in the language of the prompt. Should be near 1; mixing languages lowers it.",
        fraction=True,
    ),
}
# The loss of each method.
LOSSES = {
    "sft": MetricText(
        "Loss of supervised fine-tuning",
        "nats per token",
        "Should fall, then flatten. It is comparable only between runs on the same data.",
    ),
    "reward-model": MetricText(
        "Loss of the reward model",
        "nats per pair",
        "Should fall from 0.69, which is a coin's. Far below the loss on held-out pairs: it learns the pairs by heart.",
    ),
    "rl": MetricText(
        "Loss of reinforcement learning",
        "policy loss",
        "No measure of progress: it moves around 0, whether the model learns or not. Look at the reward.",
    ),
    "distill": MetricText(
        "Distance from the teacher",
        "nats per token",
        "Should fall. It is taken on the student's own answers, which change as it learns.",
    ),
}
REWARD_KEY = re.compile(r"rewards/(.+)/(mean|std|none|faults)")
# Not curves: the axis, the clock, and totals that the trainer logs once, at the end of a training.
NOT_SHOWN = {
    "step",
    "time",
    "train_loss",
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
    "train_tokens_per_second",
    "total_flos",
}
# What the page shows before a reader asks for all metrics.
USUAL_METRICS = [
    "reward",
    "rewards/accuracy/mean",
    "rewards/format/mean",
    "rewards/language/mean",
    "completions/mean_length",
    "completions/reflection_words",
    "completions/clipped_ratio",
    "frac_reward_zero_std",
    "loss",
    "eval_loss",
    "accuracy",
    "eval_accuracy",
    "margin",
    "mean_token_accuracy",
    "entropy",
    "kl",
    "grad_norm",
]


def describe_metric(key: str, method: str = "rl") -> MetricText:
    """Return the words for the metric `key` of a run of `method`, one of LOSSES; an unknown metric keeps its key."""
    if key == "loss":
        return LOSSES[method]
    if key in METRICS:
        return METRICS[key]
    match = REWARD_KEY.fullmatch(key)
    if not match:
        return MetricText(key, "value", "Logged by the trainer under this name.")
    name, statistic = match.groups()
    if statistic == "mean" and name in REWARD_READINGS:
        return REWARD_READINGS[name]
    general = REWARD_METRICS[statistic]
    return MetricText(general.label.format(name=name), general.unit, general.reading)


def describe_metrics(runs: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return for each method of LOSSES the metrics that its runs logged, in words, in the order to show them.

    `usual` marks those that the page shows before a reader asks for all: the mean of every reward is among them.
    """
    described: dict[str, dict[str, dict[str, Any]]] = {}
    for method in ("rl", "reward-model", "sft", "distill"):
        keys: set[str] = set()
        for run in runs:
            if run["method"] == method:
                keys |= run["curves"].keys()
        texts = {}
        for key in sorted(keys - NOT_SHOWN, key=metric_order):
            is_usual = key in USUAL_METRICS or (key.startswith("rewards/") and key.endswith("/mean"))
            texts[key] = {**asdict(describe_metric(key, method)), "usual": is_usual}
        if texts:
            described[method] = texts
    return described


def metric_order(key: str) -> tuple[int, str]:
    """Return where a metric stands on the page: the usual ones first, rewards together, the unknown last."""
    order = [*USUAL_METRICS, *METRICS]
    if key in order:
        return order.index(key), key
    if key.startswith("rewards/"):
        is_mean = key.endswith("/mean")
        return (order.index("rewards/language/mean") if is_mean else len(order)), key
    return len(order) + 1, key
