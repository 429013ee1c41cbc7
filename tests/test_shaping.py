import json
import math
import sys
from types import SimpleNamespace

import pytest

from r1kit.answers.extract import final_reply
from r1kit.answers.fault import FAULT
from r1kit.errors import UserError
from r1kit.rewards.form import brevity, fenced, format, tags
from r1kit.rewards.preference import preference
from r1kit.rewards.shaping import cosine, length, overlong, repetition, steps
from r1kit.runs.paths import SHIPPED_MODELS


def completion_of(answer, thinking="so"):
    """Return a well-formed completion."""
    return f"<think>{thinking}</think><answer>{answer}</answer>"


def tokens(*lengths):
    """Return token ids of completions of these lengths."""
    return [[7] * n for n in lengths]


RIGHT, WRONG = completion_of("4"), completion_of("5")
CHAT = [{"role": "assistant", "content": RIGHT}]
BROKEN = "[{not json"


# Tags


@pytest.mark.parametrize(
    ("completion", "share", "without_thinking"),
    [
        (RIGHT, 1.0, 1.0),
        ("<answer>4</answer>", 0.5, 1.0),
        ("<think>so</think>4", 0.5, 0.0),
        ("<think>so<answer>4</answer>", 0.75, 1.0),
        ("<think>so</think><answer>4", 0.75, 0.5),
        ("<think>a<think>b</think><answer>4</answer>", 0.75, 1.0),  # one of them stands twice
        (RIGHT + RIGHT, 0.0, 0.0),
        ("<THINK>so</THINK><answer>4</answer>", 0.5, 1.0),
        ("</answer>4<answer></think>so<think>", 1.0, 1.0),  # the order is for `format`
        ("4", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_tags(completion, share, without_thinking):
    assert tags([completion, completion], thinking=[True, False]) == [share, without_thinking]
    assert tags([completion]) == [share]


def test_tags_and_format_agree_on_what_is_well_formed():
    completions = [RIGHT, CHAT, "\n<think>\na\n</think>\n<answer>\n4\n</answer>\n"]
    assert tags(completions) == format(completions) == [1.0] * 3


def test_format_agrees_with_trls_think_format():
    from trl.rewards import think_format_reward

    texts = [RIGHT, completion_of("4", "a\nb"), "4", "<think>a", "a</think>4", completion_of("4", "<think>"), ""]
    ours, theirs = format(texts), think_format_reward([[{"content": t}] for t in texts])
    assert theirs == [1, 1, 0, 0, 0, 0, 0]
    assert ours == theirs
    assert think_format_reward([[{"content": "<think></think>so"}]]) == [1]  # TRL wants no answer block
    assert format(["<think></think>so"]) == [0]


# Fenced code

CODE = "```python\nprint(1)\n```"


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        (CODE, 1.0),
        (f"\n{CODE}\n", 1.0),
        ("```Python \nx = 1\n\ny = 2\n```", 1.0),
        ("```python\nprint('`')\n```", 1.0),
        ("print(1)", 0.0),
        ("```\nprint(1)\n```", 0.0),
        ("```cpp\nint x;\n```", 0.0),
        ("```python3\nprint(1)\n```", 0.0),
        ("```python\nprint(1)", 0.0),
        ("```python print(1)```", 0.0),
        ("```python\nprint(1)```", 0.0),
        ("```python\n\n```", 0.0),
        ("```python\n```", 0.0),
        (f"So:\n{CODE}", 0.0),
        (f"{CODE}\nThat is it.", 0.0),
        (f"{CODE}\n{CODE}", 0.0),
        ("", 0.0),
    ],
)
def test_fenced(answer, score):
    assert fenced([completion_of(answer)]) == [score]


def test_fenced_looks_at_the_answer_alone_and_for_the_language_asked():
    assert fenced([completion_of("4", CODE), CODE, completion_of(CODE, CODE)]) == [0.0, 0.0, 1.0]
    assert fenced([completion_of("```c++\nint x;\n```"), completion_of(CODE)], code_language="c++") == [1.0, 0.0]


# Length


def test_length_of_one_group():
    ids = tokens(10, 15, 20, 30, 10, 15, 20, 30)
    scores = length([RIGHT] * 4 + [WRONG] * 4, ["?"] * 8, ids, answer=["4"] * 8)
    assert scores == [0.5, 0.25, 0.0, -0.5, 0.0, 0.0, 0.0, -0.5]


def test_length_goes_by_prompt_and_not_by_batch():
    prompts = ["hard", "easy", "hard", "easy"]
    assert length([RIGHT] * 4, prompts, tokens(1000, 10, 2000, 20), answer=["4"] * 4) == [0.5, 0.5, -0.5, -0.5]
    chats = [[{"role": "user", "content": p}] for p in prompts]
    assert length([CHAT] * 4, chats, tokens(1000, 10, 2000, 20), answer=["4"] * 4) == [0.5, 0.5, -0.5, -0.5]


def test_length_is_0_where_all_are_equally_long_or_there_is_one():
    assert length([RIGHT, WRONG], ["?"] * 2, tokens(5, 5), answer=["4"] * 2) == [0.0, 0.0]
    assert length([RIGHT, RIGHT], ["a", "b"], tokens(5, 9), answer=["4"] * 2) == [0.0, 0.0]
    assert length([""], ["?"], tokens(0), answer=["4"]) == [0.0]


def test_length_keeps_what_accuracy_returns_without_a_verdict():
    ids = tokens(1, 10, 20, 500)
    scores = length([RIGHT] * 4, ["?"] * 4, ids, answer=[None, "4", "4", "4"], tests=["", "", "", BROKEN])
    assert scores == [None, 0.5, -0.5, FAULT]


def test_length_knows_code_too():
    double = json.dumps([{"kind": "call", "function": "f", "args": [3], "expected": 6}])
    completions = [completion_of("def f(x): return 2 * x"), completion_of("def f(x): return x")]
    assert length(completions, ["?"] * 2, tokens(9, 8), tests=[double] * 2) == [-0.5, 0.0]


# Cosine


def test_cosine():
    ids = tokens(0, 2, 4, 8, 20)
    eighth = 0.25 * math.sqrt(0.5)  # a quarter of the way: cos 45 degrees
    scores = cosine([RIGHT] * 5 + [WRONG] * 5, ids * 2, max_tokens=8, answer=["4"] * 10)
    assert scores[:5] == pytest.approx([1.0, 0.75 + eighth, 0.75, 0.5, 0.5])
    assert scores[5:] == pytest.approx([-1.0, -0.75 - eighth, -0.75, -0.5, -0.5])


def test_cosine_with_the_papers_values():
    paper = {"right_short": 2, "right_long": 1, "wrong_short": -10, "wrong_long": 0, "exceeded": -10}
    ids = tokens(0, 5, 10, 11)
    scores = cosine([RIGHT] * 4 + [WRONG] * 4, ids * 2, max_tokens=10, answer=["4"] * 8, **paper)
    assert scores == pytest.approx([2, 1.5, -10, -10, -10, -5, -10, -10])


def test_cosine_equals_trl():
    from trl.rewards import get_cosine_scaled_reward

    ids = tokens(0, 1, 7, 50, 99, 100, 101, 250) * 2
    completions = [[{"content": f"\\boxed{{{n}}}"}] for n in (4, 5) for _ in range(8)]
    theirs = get_cosine_scaled_reward(max_len=100)(completions, ["$4$"] * 16, ids)
    assert cosine(completions, ids, max_tokens=100, answer=["4"] * 16) == pytest.approx(theirs)
    ends = {"min_value_wrong": -3, "max_value_wrong": 0.25, "min_value_correct": 1, "max_value_correct": 2}
    theirs = get_cosine_scaled_reward(max_len=60, **ends)(completions, ["$4$"] * 16, ids)
    ours = {"wrong_short": -3, "wrong_long": 0.25, "right_long": 1, "right_short": 2}
    assert cosine(completions, ids, max_tokens=60, answer=["4"] * 16, **ours) == pytest.approx(theirs)


def test_cosine_keeps_what_accuracy_returns_without_a_verdict():
    scores = cosine([RIGHT] * 3, tokens(0, 0, 0), answer=[None, "4", "4"], tests=["", BROKEN, ""])
    assert scores == [None, FAULT, 1.0]


# Overlong


def test_overlong():
    ids = tokens(0, 80, 81, 90, 100, 101, 1000)
    assert overlong([""] * 7, ids, max_tokens=100, margin=20) == [0.0, 0.0, -0.05, -0.5, -1.0, -1.0, -1.0]
    assert overlong([""] * 7, ids, max_tokens=100) == overlong([""] * 7, ids, max_tokens=100, margin=20)
    assert overlong([""] * 3, tokens(0, 5, 10), max_tokens=10, margin=10) == [0.0, -0.5, -1.0]


@pytest.mark.parametrize(("limit", "margin"), [(20480, 4096), (100, 1), (7, 7), (1, 1)])
def test_overlong_equals_trl(limit, margin):
    from trl.rewards import get_soft_overlong_punishment

    around = {0, 1, limit - margin - 1, limit - margin, limit - margin + 1, limit - 1, limit, limit + 1, 2 * limit}
    ids = [range(n) for n in sorted(around) if n >= 0]
    theirs = get_soft_overlong_punishment(limit, margin)(ids)
    assert overlong([""] * len(ids), ids, max_tokens=limit, margin=margin) == pytest.approx(theirs)


# Repetition


@pytest.mark.parametrize(
    ("completion", "ngram", "score"),
    [
        ("a b c a b c", 3, -1 / 4),  # abc bca cab abc
        ("a b c d e", 3, 0.0),
        ("Go go\nGO  go", 1, -3 / 4),
        ("ha " * 100, 3, -97 / 98),
        ("我们我们我们", 2, -3 / 5),  # each letter is a word: 我们 们我 我们 们我 我们
        ("我们ok我们", 2, -1 / 4),  # 我们 们ok ok我 我们
        ("سلام سلام سلام", 2, -1 / 2),
        ("สวสว", 2, -1 / 3),
        ("a b", 3, 0.0),
        ("", 1, 0.0),
        (" \n", 1, 0.0),
    ],
)
def test_repetition(completion, ngram, score):
    assert repetition([completion], ngram=ngram) == [pytest.approx(score)]
    assert repetition([completion], ngram=ngram, max_penalty=-0.5) == [pytest.approx(score / 2)]


def test_repetition_equals_trl_on_words_for_tokens():
    from trl.rewards import get_repetition_penalty_reward

    texts = ["the cat sat on the cat sat on the mat", "x y x y x y x", "no word twice", "one", ""]
    number = {word: i for i, word in enumerate(" ".join(texts).split())}
    ids = [[number[word] for word in text.split()] for text in texts]
    for size, most in ((1, -1.0), (2, -1.0), (3, -0.3), (40, -1.0), (2, 0.0)):
        theirs = get_repetition_penalty_reward(size, most)(ids)
        assert repetition(texts, ngram=size, max_penalty=most) == pytest.approx(theirs)


# Steps


@pytest.mark.parametrize(
    ("text", "marks"),
    [
        ("", 0),
        ("so it is 4", 0),
        ("Step 1: add\nStep 2: take", 2),
        ("**Step 1:** add, then Step 12: take", 2),
        ("1. add\n2. take\n  3) see", 3),
        ("- add\n- take\n* see\n• done", 4),
        ("First, add. Second, take. Next, see. Finally, say.", 4),
        ("3.5 is more\n-5 is less\n**bold**\n---\n*x*", 0),  # open-r1 takes all but the first line for steps
        ("the first, at first, Nextdoor, Step one", 0),
        ("گام ۱: جمع\nمرحله دوم: تفریق", 2),
        ("ابتدا جمع می‌کنیم. سپس کم می‌کنیم. در نهایت ۴ است", 3),
        ("اولاً جمع\nدوم، تفریق", 2),
        ("عدد اول بعدی و سپسین و عدد دوم", 0),
        ("首先，相加。其次，相减。最后，得四", 3),
        ("步骤1：相加\n第二步相减\n3、得四", 3),
        ("最后的数是第一个", 0),
    ],
)
def test_steps_counts_marks(text, marks):
    assert steps([text], wanted=100) == [pytest.approx(marks / 100)]
    completion = completion_of("- 1", text)  # the list in the answer is no step
    assert steps([completion], wanted=100) == [pytest.approx(marks / 100)]


def test_steps_is_a_share_of_three_and_at_most_1():
    texts = ["- a\n" * n for n in (0, 1, 2, 3, 50)]
    assert steps(texts) == [0.0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0, 1.0]


def test_steps_does_not_apply_where_no_thinking_is_wanted():
    assert steps(["- a"] * 3, thinking=[True, False, None], wanted=1) == [1.0, None, 1.0]


# Settings

SHAPED = {
    "cosine": lambda **settings: cosine([], [], **settings),
    "overlong": lambda **settings: overlong([], [], **settings),
    "repetition": lambda **settings: repetition([], **settings),
    "steps": lambda **settings: steps([], **settings),
    "brevity": lambda **settings: brevity([], [], **settings),
    "fenced": lambda **settings: fenced([], **settings),
    "preference": lambda **settings: preference([], [], **{"model": "m", **settings}),
}


@pytest.mark.parametrize("name", SHAPED)
def test_no_rows_give_no_rewards(name):
    assert SHAPED[name]() == []
    assert length([], [], []) == []


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        *(("cosine", "max_tokens", v) for v in (0, -1, 2.5, "4e3", None, True)),
        *(("cosine", k, math.nan) for k in ("right_short", "right_long", "wrong_short", "wrong_long", "exceeded")),
        ("cosine", "exceeded", -math.inf),
        ("cosine", "right_short", "1"),
        *(("overlong", "max_tokens", v) for v in (0, -1, math.inf)),
        *(("overlong", "margin", v) for v in (0, -1, 1025, 0.2)),
        *(("repetition", "ngram", v) for v in (0, -1, 1.5)),
        *(("repetition", "max_penalty", v) for v in (0.1, math.nan, -math.inf, "-1")),
        *(("steps", "wanted", v) for v in (0, -3, 1.5)),
        *(("brevity", "max_tokens", v) for v in (0, -1, 1.5)),
        *(("fenced", "code_language", v) for v in ("", " ", None, ["en"])),
        *(("preference", "model", v) for v in ("", None, ["a", "b"])),
        *(("preference", k, "most") for k in ("part", "scale", "clamp", "batch_size")),
        *(("preference", "clamp", v) for v in (0, -1, math.nan, math.inf)),
        ("preference", "batch_size", 0),
    ],
)
def test_a_wrong_setting_is_named_in_the_error(name, setting, value):
    with pytest.raises(ValueError, match=rf"^{name}: {setting} = .*; "):
        SHAPED[name](**{setting: value})


# Preference

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}<|end|>{% endfor %}"


@pytest.fixture(scope="module")
def judges(tmp_path_factory):
    """Folders of tiny random reward models: `plain` and `chat`, and `unpadded`, which names no pad token."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"vocab_size": 1024, "max_position_embeddings": 64, "initializer_range": 0.5}
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("judges")
    for name, pad in (("plain", 1), ("chat", 1), ("unpadded", None), ("headless", 1), ("two", 1)):
        model_class = LlamaForCausalLM if name == "headless" else LlamaForSequenceClassification
        labels = 2 if name == "two" else 1
        model_class(LlamaConfig(pad_token_id=pad, num_labels=labels, **sizes)).save_pretrained(root / name)
        tokenizer = AutoTokenizer.from_pretrained(SHIPPED_MODELS["tiny:base"])
        tokenizer.chat_template = None if name != "chat" else TEMPLATE
        if name == "unpadded":
            tokenizer.pad_token = None
        tokenizer.save_pretrained(root / name)
    return root


def unpadded_scores(folder, *texts):
    """The model's own scores, one text at a time and without padding."""
    import torch
    from transformers import AutoTokenizer, LlamaForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = LlamaForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return [model(torch.tensor([tokenizer(t).input_ids])).logits.item() for t in texts]


SPOKEN = ["four", "it is 4, as 2 and 2 make 4", "4", "<|pad|>", "five<|end|>"]


@pytest.mark.parametrize("name", ["plain", "unpadded"])
@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_preference_equals_an_unpadded_pass_of_each_row(judges, name, batch_size):
    expected = unpadded_scores(judges / name, *(f"What?\n{text}" for text in SPOKEN))
    assert max(expected) - min(expected) > 0.1
    settings = {"model": str(judges / name), "device": "cpu", "batch_size": batch_size, "clamp": 100.0}
    completions = [f"<think>hm</think><answer> {text} </answer>" for text in SPOKEN]
    scores = preference(completions, ["What?"] * 5, scale="none", **settings)
    assert scores == pytest.approx(expected, abs=1e-5)
    squashed = [1 / (1 + math.exp(-x)) for x in expected]
    assert preference(completions, ["What?"] * 5, **settings) == pytest.approx(squashed, abs=1e-5)


def test_preference_uses_the_chat_template_and_the_bare_question(judges):
    conversation = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "What?"}]
    settings = {"model": str(judges / "chat"), "device": "cpu", "scale": "none", "clamp": 100.0}
    both = unpadded_scores(
        judges / "chat",
        "<system>Be brief<|end|><user>What?<|end|><assistant>4<|end|>",
        "<user>What?<|end|><assistant>4<|end|>",
    )
    completion = [{"role": "assistant", "content": RIGHT}]
    scores = preference([completion, RIGHT], [conversation, "User: What? Assistant:"], ["What?"] * 2, **settings)
    assert scores == pytest.approx(both, abs=1e-5)
    assert preference([RIGHT], ["What?"], [None], **settings) == pytest.approx(both[1:], abs=1e-5)


def test_preference_judges_the_answer_or_all(judges):
    settings = {"model": str(judges / "plain"), "device": "cpu", "scale": "none", "clamp": 100.0}
    answer_score, completion_score = unpadded_scores(judges / "plain", "What?\n4", f"What?\n{RIGHT}")
    assert preference([RIGHT], ["What?"], **settings) == pytest.approx([answer_score], abs=1e-5)
    assert preference([RIGHT], ["What?"], part="all", **settings) == pytest.approx([completion_score], abs=1e-5)


def test_preference_keeps_its_clamp(judges):
    expected = unpadded_scores(judges / "plain", *(f"What?\n{text}" for text in SPOKEN))
    settings = {"model": str(judges / "plain"), "device": "cpu", "clamp": 1e-3, "part": "all"}
    scores = preference(SPOKEN, ["What?"] * 5, scale="none", **settings)
    assert scores == [math.copysign(1e-3, x) for x in expected]


def test_preference_of_a_completion_that_cannot_be_judged_is_a_fault(judges, monkeypatch):
    settings = {"model": str(judges / "plain"), "device": "cpu"}
    scores = preference([RIGHT, completion_of("4 " * 100)], ["What?"] * 2, **settings)  # 64 tokens are its longest
    assert 0 < scores[0] < 1
    assert scores[1] == FAULT
    stub = SimpleNamespace(judged=None)
    stub.render, stub.score = lambda prompt, text: text, lambda texts, size: [math.nan, math.inf]
    monkeypatch.setattr(sys.modules["r1kit.rewards.reward_models"], "_load", lambda *_: stub)
    assert preference(["a", "b"], ["?"] * 2, scale="none", device="cpu", model="m") == [FAULT, 10.0]


def test_an_empty_completion_gets_the_lowest_value_and_needs_no_model():
    silent = ["", " ", "<think>never", "<think>so</think>", "<think>so</think><answer> </answer>"]
    assert preference(silent, ["?"] * 5, model="no/where", part="answer", scale="none", clamp=3.0) == [-3.0] * 5
    assert preference([""], ["?"], model="no/where") == [pytest.approx(1 / (1 + math.exp(10)))]


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (RIGHT, "4"),
        ("<think>so</think>\n\nIt is \\boxed{4}.", "It is \\boxed{4}."),
        ("so</think>It is 4.", "It is 4."),  # the template opened the thinking
        ("<think><answer>3</answer></think><answer>4</answer>", "4"),
        ("<think>so</think><answer>3</answer><answer>4</answer>", "4"),
        ("<think>so</think><answer>4, cut sh", "4, cut sh"),
        ("Just 4.", "Just 4."),
        ("<think>never <answer>4</answer>", ""),
        ("", ""),
    ],
)
def test_final_reply(completion, answer):
    assert final_reply(completion) == answer


def test_a_reward_model_is_loaded_once(judges):
    from r1kit.rewards.reward_models import _load

    settings = {"model": str(judges / "plain"), "device": "cpu"}
    preference([RIGHT], ["?"], **settings)
    before = _load.cache_info().misses
    preference([WRONG], ["?"], **settings)
    assert _load.cache_info().misses == before
    assert not _load(settings["model"], None, "cpu").model.training


def test_a_model_that_is_no_reward_model_is_refused(judges):
    for model, reason in (
        (str(SHIPPED_MODELS["tiny:student"]), "it lacks score.weight"),
        (str(judges / "headless"), "it lacks score.weight"),
        (str(judges / "two"), "it has 2 labels"),
        (str(judges / "nowhere"), "must be a folder with a model"),
        ("no/where", "cannot be loaded"),
    ):
        with pytest.raises(UserError, match=rf"^rewards\.preference\.model = .*{reason}"):
            preference([RIGHT], ["?"], model=model, device="cpu")


def test_the_device_is_that_of_the_local_rank(monkeypatch):
    import torch

    from r1kit.rewards.reward_models import _accelerator

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert _accelerator() == "cpu"
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    for rank, device in (("0", "cuda:0"), ("1", "cuda:1"), ("3", "cuda:1")):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert _accelerator() == device
