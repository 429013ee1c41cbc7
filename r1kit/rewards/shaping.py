"""Rewards that shape length and style beside accuracy: length, cosine, overlong, repetition, steps.

`length` and `cosine` have to know which completions are right and ask `accuracy` themselves, on the same
rows. A row without a verdict keeps what `accuracy` said of it: `None` where there is nothing to check, and
FAULT where no verdict could be had. A FAULT passed on as `None` would leave the row its other rewards
alone, a low total that reads as a wrong answer.

Lengths are tokens (`completion_ids`). Knobs are checked at each call, also at one without rows.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

from r1kit.answers.fault import FAULT
from r1kit.prompts import completion_text, parse_completion
from r1kit.rewards.accuracy import accuracy


def length(
    completions: Sequence[Any],
    prompts: Sequence[Any],
    completion_ids: Sequence[Sequence[int]],
    *,
    seconds: float = 3.0,
    isolation: str = "auto",
    **columns: Any,
) -> list[float | None]:
    """The shortest right completion of a prompt gets 0.5, the longest -0.5; wrong ones at most 0.

    Kimi k1.5 (arXiv 2501.12599, section 2.3.3, length penalty): over the completions of one prompt,
    0.5 - (len - min) / (max - min) for right ones, min(0, that) for wrong ones, and 0 for all where
    max = min. open-r1's `len_reward` takes min and max over the whole batch, in characters: a hard
    prompt's completions are then long beside an easy one's.

    In [-0.5, 0.5]. Rows without a verdict are left out of min and max.
    """
    verdicts = accuracy(
        completions, prompts=prompts, completion_ids=completion_ids, seconds=seconds, isolation=isolation, **columns
    )
    groups: dict[str, list[int]] = {}
    for i, (prompt, verdict) in enumerate(zip(prompts, verdicts, strict=True)):
        if verdict is not None and verdict != FAULT:
            groups.setdefault(repr(prompt), []).append(i)  # chat messages have no hash
    scores = list(verdicts)
    for rows in groups.values():
        lengths = [len(completion_ids[i]) for i in rows]
        shortest, spread = min(lengths), max(lengths) - min(lengths)
        for i, tokens in zip(rows, lengths, strict=True):
            value = 0.5 - (tokens - shortest) / spread if spread else 0.0
            scores[i] = value if verdicts[i] == 1.0 else min(0.0, value)
    return scores


def cosine(
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]],
    *,
    max_tokens: int = 1024,
    right_short: float = 1.0,
    right_long: float = 0.5,
    wrong_short: float = -1.0,
    wrong_long: float = -0.5,
    exceeded: float | None = None,
    seconds: float = 3.0,
    isolation: str = "auto",
    **columns: Any,
) -> list[float | None]:
    """A right completion is worth more the shorter it is, a wrong one costs less the longer it is.

    Demystifying Long CoT (arXiv 2502.03373, section 4.2 and equation 1 in appendix C.1): a half cosine
    from the value at length 0 (`right_short`, `wrong_short`) to that at `max_tokens` (`right_long`,
    `wrong_long`), and flat after it. `exceeded` is the paper's r_e, for completions of `max_tokens` and
    more, right or wrong. The paper's values: 2, 1, -10, 0 and -10; the defaults are TRL's, without r_e.

    In the range of the values given.
    """
    _check_count("cosine", "max_tokens", max_tokens)
    ends = {"right_short": right_short, "right_long": right_long, "wrong_short": wrong_short, "wrong_long": wrong_long}
    for knob, value in (ends | ({} if exceeded is None else {"exceeded": exceeded})).items():
        _check_number("cosine", knob, value)
    verdicts = accuracy(completions, completion_ids=completion_ids, seconds=seconds, isolation=isolation, **columns)
    scores = list(verdicts)
    for i, (verdict, ids) in enumerate(zip(verdicts, completion_ids, strict=True)):
        if verdict is None or verdict == FAULT:
            continue
        short, long = (right_short, right_long) if verdict == 1.0 else (wrong_short, wrong_long)
        progress = min(1.0, len(ids) / max_tokens)
        scores[i] = long + 0.5 * (short - long) * (1.0 + math.cos(math.pi * progress))
        if exceeded is not None and len(ids) >= max_tokens:
            scores[i] = exceeded
    return scores


def overlong(
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]],
    *,
    max_tokens: int = 1024,
    margin: int | None = None,
    **columns: Any,
) -> list[float]:
    """0 up to `margin` tokens before `max_tokens`, from there falling to -1 at `max_tokens`, and -1 after.

    DAPO's soft overlong punishment (arXiv 2503.14476, equation 13; there 20,480 with a margin, called
    L_cache, of 4,096). `margin` is a fifth of `max_tokens` unless set. In [-1, 0].
    """
    _check_count("overlong", "max_tokens", max_tokens)
    margin = max(1, max_tokens // 5) if margin is None else margin
    _check_count("overlong", "margin", margin)
    if margin > max_tokens:
        raise ValueError(f"overlong: margin = {margin}; must be at most max_tokens = {max_tokens}")
    return [min(0.0, max(-1.0, (max_tokens - margin - len(ids)) / margin)) for ids in completion_ids]


# Scripts without spaces between words: Thai, Lao, Myanmar, Khmer, kana, Han. A letter of these is a word.
_LETTERS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_LETTERS}]|[^\s{_LETTERS}]+")


def repetition(completions: Sequence[Any], *, ngram: int = 3, max_penalty: float = -1.0, **columns: Any) -> list[float]:
    """`max_penalty` times the share of the completion's n-grams of words that stood in it before.

    After open-r1's `get_repetition_penalty_reward`, which takes the idea from arXiv 2502.03373 (appendix
    C.2: there a penalty of -0.05 on each *token* of a repeated 40-gram). Words are split at spaces and
    compared in lower case; where a script has no spaces, each letter counts as a word.

    In [max_penalty, 0]; 0 for completions shorter than `ngram` words.
    """
    _check_count("repetition", "ngram", ngram)
    _check_number("repetition", "max_penalty", max_penalty)
    if max_penalty > 0:
        raise ValueError(f"repetition: max_penalty = {max_penalty}; must be at most 0")
    scores = []
    for completion in completions:
        words = _WORD.findall(completion_text(completion).lower())
        grams = [tuple(words[i : i + ngram]) for i in range(len(words) - ngram + 1)]
        repeated = len(grams) - len(set(grams))
        scores.append(max_penalty * repeated / len(grams) if repeated else 0.0)
    return scores


_STEP = re.compile(
    "|".join(
        (
            r"\bStep \d+:",
            r"^[ \t]*\d+(?:[.)](?=\s)|、)",  # 1. or 1) or 1、
            r"^[ \t]*[-*•](?=[ \t])",
            r"\b(?:First|Second|Third|Next|Finally),",
            r"\b(?:گام|مرحله)\s?(?:\d+|اول|دوم|سوم|چهارم|پنجم)\s?:",
            r"(?:^|(?<=[.!:؟؛]\s))(?:اولا\u064b?|ابتدا|نخست|دوم|سوم|سپس|سرانجام|در نهایت)(?!\w)",
            r"步骤\s?(?:\d+|[一二三四五六七八九十]+)[:：]|第(?:\d+|[一二三四五六七八九十]+)步",
            r"(?:首先|其次|然后|接着|最后|第[一二三四五六七八九十])[，,]",
        )
    ),
    re.MULTILINE,
)


def steps(
    completions: Sequence[Any], thinking: Sequence[bool | None] | None = None, *, wanted: int = 3, **columns: Any
) -> list[float | None]:
    """The share, at most 1, of `wanted` marks of steps in the chain of thought: "Step 1:", lists, "First,".

    After open-r1's `reasoning_steps_reward`, with Persian and Chinese marks beside the English ones. The
    whole completion counts where it has no think block. In [0, 1]; `None` where no thinking is wanted.
    """
    _check_count("steps", "wanted", wanted)
    scores: list[float | None] = []
    for completion, flag in zip(completions, thinking or [True] * len(completions), strict=True):
        text = completion_text(completion)
        chain = parse_completion(text).thinking
        found = len(_STEP.findall(text if chain is None else chain))
        scores.append(None if flag is False else min(1.0, found / wanted))
    return scores


def _check_count(reward: str, knob: str, value: Any) -> None:
    """Raise ValueError unless `value` is a whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{reward}: {knob} = {value}; must be a whole number of at least 1")


def _check_number(reward: str, knob: str, value: Any) -> None:
    """Raise ValueError unless `value` is a finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{reward}: {knob} = {value}; must be a finite number")
