"""Rewards that shape length and style: `length`, `cosine`, `overlong`, `repetition` and `steps`. Use them beside
`accuracy`.

`length` and `cosine` depend on whether a completion is right; they call `accuracy` on the same rows. A row without a
verdict keeps what `accuracy` returned for it: `None` where there is nothing to check, FAULT where no verdict could be
had. (As a `None`, a FAULT would leave the row its other rewards alone, a low total that reads as a wrong answer.)

Lengths are tokens of the completion (`completion_ids`, which TRL passes).
"""

import math
import re
from collections.abc import Sequence
from typing import Any

from r1kit.answers.extract import AnswerForms, completion_text, parse_completion
from r1kit.answers.fault import FAULT
from r1kit.rewards.accuracy import accuracy
from r1kit.rewards.settings import SettingError, require_count, require_lists, require_number


def length(
    completions: Sequence[Any],
    prompts: Sequence[Any],
    completion_ids: Sequence[Sequence[int]],
    *,
    seconds: float = 3.0,
    isolation: str = "auto",
    answers: AnswerForms = "tags",
    **columns: Any,
) -> list[float | None]:
    """Pay right completions 0.5 for the shortest of their prompt down to -0.5 for the longest; wrong ones at most 0.

    Over the completions of one prompt: 0.5 - (length - min) / (max - min) for a right completion, min(0, that) for a
    wrong one, and 0 for all where max = min. In [-0.5, 0.5]. `None` and FAULT: as `accuracy` returns them; such rows
    are left out of min and max.

    Columns: those of `accuracy`.

    Settings:
        seconds, isolation, answers: as in `accuracy`.

    Source: the length reward of Kimi k1.5 (arXiv 2501.12599, section 2.3.3). open-r1's `len_reward` takes min and max
    over the whole batch, where the completions of a hard prompt are long beside those of an easy one.

    >>> completions = ["<answer>4</answer>", "<answer>4</answer>", "<answer>5</answer>"]
    >>> length(completions, prompts=["2 + 2?"] * 3, completion_ids=[[1] * 10, [1] * 30, [1] * 20], answer=["4"] * 3)
    [0.5, -0.5, 0.0]
    """
    require_lists("length", completions, prompts=prompts, completion_ids=completion_ids)
    settings: dict[str, Any] = {"seconds": seconds, "isolation": isolation, "answers": answers}
    verdicts = accuracy(completions, prompts=prompts, completion_ids=completion_ids, **settings, **columns)
    rows_by_prompt: dict[str, list[int]] = {}
    for i, (prompt, verdict) in enumerate(zip(prompts, verdicts, strict=True)):
        if verdict is not None and verdict != FAULT:
            # A prompt may be a list of chat messages, which cannot be a key of a dict; its repr can.
            rows_by_prompt.setdefault(repr(prompt), []).append(i)
    rewards = list(verdicts)
    for rows in rows_by_prompt.values():
        lengths = [len(completion_ids[i]) for i in rows]
        shortest = min(lengths)
        spread = max(lengths) - shortest
        for i, token_count in zip(rows, lengths, strict=True):
            value = 0.5 - (token_count - shortest) / spread if spread else 0.0
            rewards[i] = value if verdicts[i] == 1.0 else min(0.0, value)
    return rewards


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
    answers: AnswerForms = "tags",
    **columns: Any,
) -> list[float | None]:
    """Pay a right completion more the shorter it is, and charge a wrong one less the longer it is.

    The reward follows half a cosine from its value at length 0 to its value at `max_tokens`, and stays there. It lies
    in the range of the values that are set. `None` and FAULT: as `accuracy` returns them.

    Columns: those of `accuracy`.

    Settings:
        max_tokens: tokens of the completion at which the reward reaches its end value.
        right_short, right_long: reward of a right completion of 0 tokens, and of `max_tokens` or more.
        wrong_short, wrong_long: reward of a wrong completion of 0 tokens, and of `max_tokens` or more.
        exceeded: reward of any completion of `max_tokens` or more, right or wrong; None for no such rule.
        seconds, isolation, answers: as in `accuracy`.

    Source: Demystifying Long CoT (arXiv 2502.03373, section 4.2, and equation 1 in appendix C.1, where `exceeded` is
    r_e). The paper's values are 2, 1, -10, 0 and -10; the defaults are TRL's, without r_e.

    >>> completions = ["<answer>4</answer>", "<answer>4</answer>", "<answer>5</answer>"]
    >>> cosine(completions, completion_ids=[[], [1] * 100, []], max_tokens=100, answer=["4"] * 3)
    [1.0, 0.5, -1.0]
    """
    require_lists("cosine", completions, completion_ids=completion_ids)
    require_count("cosine", "max_tokens", max_tokens)
    require_number("cosine", "right_short", right_short)
    require_number("cosine", "right_long", right_long)
    require_number("cosine", "wrong_short", wrong_short)
    require_number("cosine", "wrong_long", wrong_long)
    if exceeded is not None:
        require_number("cosine", "exceeded", exceeded)
    settings: dict[str, Any] = {"seconds": seconds, "isolation": isolation, "answers": answers}
    verdicts = accuracy(completions, completion_ids=completion_ids, **settings, **columns)
    rewards = list(verdicts)
    for i, (verdict, token_ids) in enumerate(zip(verdicts, completion_ids, strict=True)):
        if verdict is None or verdict == FAULT:
            continue
        at_zero, at_max = (right_short, right_long) if verdict == 1.0 else (wrong_short, wrong_long)
        progress = min(1.0, len(token_ids) / max_tokens)
        rewards[i] = at_max + 0.5 * (at_zero - at_max) * (1.0 + math.cos(math.pi * progress))
        if exceeded is not None and len(token_ids) >= max_tokens:
            rewards[i] = exceeded
    return rewards


def overlong(
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]],
    *,
    max_tokens: int = 1024,
    margin: int | None = None,
    **columns: Any,
) -> list[float]:
    """Pay 0 up to `margin` tokens before `max_tokens`, from there falling to -1 at `max_tokens`, and -1 beyond.

    In [-1, 0]. Never `None`.

    Settings:
        max_tokens: tokens of the completion at which the reward reaches -1.
        margin: tokens over which it falls; a fifth of `max_tokens` unless set.

    Source: the soft overlong punishment of DAPO (arXiv 2503.14476, equation 13; there 20,480 tokens with a margin,
    called L_cache, of 4,096).

    >>> overlong(["", "", ""], completion_ids=[[1] * 80, [1] * 90, [1] * 100], max_tokens=100, margin=20)
    [0.0, -0.5, -1.0]
    """
    require_lists("overlong", completions, completion_ids=completion_ids)
    require_count("overlong", "max_tokens", max_tokens)
    if margin is None:
        margin = max(1, max_tokens // 5)
    require_count("overlong", "margin", margin)
    if margin > max_tokens:
        raise SettingError("overlong", "margin", margin, f"must be at most max_tokens = {max_tokens}")
    rewards = []
    for token_ids in completion_ids:
        fall = (max_tokens - margin - len(token_ids)) / margin
        rewards.append(min(0.0, max(-1.0, fall)))
    return rewards


# Scripts that put no spaces between words: Thai, Lao, Myanmar, Khmer, kana, Han. Each of their letters counts as a
# word.
_UNSPACED_LETTERS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED_LETTERS}]|[^\s{_UNSPACED_LETTERS}]+")


def repetition(completions: Sequence[Any], *, ngram: int = 3, max_penalty: float = -1.0, **columns: Any) -> list[float]:
    """Pay `max_penalty` times the fraction of the completion's word n-grams that repeat an earlier one.

    Words are split at spaces and compared in lower case; in scripts without spaces each letter counts as a word. In
    [max_penalty, 0], and 0 for a completion of fewer than `ngram` words. Never `None`.

    Settings:
        ngram: words in an n-gram.
        max_penalty: the reward if all n-grams were repetitions; at most 0.

    Source: open-r1's `get_repetition_penalty_reward`, after an idea of arXiv 2502.03373 (appendix C.2: there a
    penalty of -0.05 for each token of a repeated 40-gram).

    >>> repetition(["wait wait wait wait", "one two three four"], ngram=1)
    [-0.75, 0.0]
    """
    require_lists("repetition", completions)
    require_count("repetition", "ngram", ngram)
    require_number("repetition", "max_penalty", max_penalty)
    if max_penalty > 0:
        raise SettingError("repetition", "max_penalty", max_penalty, "must be at most 0")
    rewards = []
    for completion in completions:
        words = _WORD.findall(completion_text(completion).lower())
        ngrams = [tuple(words[i : i + ngram]) for i in range(len(words) - ngram + 1)]
        repeated = len(ngrams) - len(set(ngrams))
        rewards.append(max_penalty * repeated / len(ngrams) if repeated else 0.0)
    return rewards


# What marks a step of a chain of thought, in English, Persian and Chinese.
_STEP_MARKS = (
    r"\bStep \d+:",
    r"^[ \t]*\d+(?:[.)](?=\s)|、)",  # 1. or 1) or 1、
    r"^[ \t]*[-*•](?=[ \t])",
    r"\b(?:First|Second|Third|Next|Finally),",
    r"\b(?:گام|مرحله)\s?(?:\d+|اول|دوم|سوم|چهارم|پنجم)\s?:",
    r"(?:^|(?<=[.!:؟؛]\s))(?:اولا\u064b?|ابتدا|نخست|دوم|سوم|سپس|سرانجام|در نهایت)(?!\w)",
    r"步骤\s?(?:\d+|[一二三四五六七八九十]+)[:：]|第(?:\d+|[一二三四五六七八九十]+)步",
    r"(?:首先|其次|然后|接着|最后|第[一二三四五六七八九十])[，,]",
)
_STEP_MARK = re.compile("|".join(_STEP_MARKS), re.MULTILINE)


def steps(
    completions: Sequence[Any], thinking: Sequence[bool | None] | None = None, *, wanted: int = 3, **columns: Any
) -> list[float | None]:
    """Pay 1 for at least `wanted` marks of steps in the chain of thought, and the fraction of them for fewer.

    Marks are "Step 1:", items of a list, "First,", and their Persian and Chinese counterparts. In [0, 1]. A completion
    without a think block is searched as a whole. `None`: the row's column `thinking` is false.

    Settings:
        wanted: how many marks are enough.

    Source: open-r1's `reasoning_steps_reward`, which knows English marks only.

    >>> steps(["<think>First, add. Finally, check.</think><answer>4</answer>"], wanted=4)
    [0.5]
    """
    require_lists("steps", completions, thinking=thinking)
    require_count("steps", "wanted", wanted)
    rewards: list[float | None] = []
    for completion, wants_thinking in zip(completions, thinking or [True] * len(completions), strict=True):
        if wants_thinking is False:
            rewards.append(None)
            continue
        text = completion_text(completion)
        chain_of_thought = parse_completion(text).thinking
        mark_count = len(_STEP_MARK.findall(text if chain_of_thought is None else chain_of_thought))
        rewards.append(min(1.0, mark_count / wanted))
    return rewards
