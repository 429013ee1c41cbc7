"""Prompt templates, and the tags that completions are written in.

A recipe's `prompt.template` is the name of a template or a template itself:

- `r1-zero`: plain text, a conversation between User and Assistant, after table 1 of the R1 paper (arXiv 2501.12948).
  Its wording follows the paper in substance, not to the letter.
- `chat`: the chat template of the model's tokenizer (see r1kit/models/templates.py).
- `tiny`: the short template of the scale model in recipes/tiny.
- `auto`: the template that the model's run was trained with, or else one that fits the model. It is replaced by
  that template's name before anything is sampled (see r1kit/models/prompt_choice.py).
- Any other text with `{prompt}` in it, such as `"Problem: {prompt}\\nSolution:"`.

>>> fill_template("tiny", "What is 2 + 2?")
'Q: What is 2 + 2?\\nA:'
"""

THINKING_TAGS = ("<think>", "</think>")
ANSWER_TAGS = ("<answer>", "</answer>")
ALL_TAGS = (*THINKING_TAGS, *ANSWER_TAGS)

R1_ZERO_TEMPLATE = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. "
    "The Assistant first thinks about the reasoning process in the mind and then provides the user with "
    "the answer. The reasoning process and answer are enclosed within <think> </think> and <answer> "
    "</answer> tags, respectively, i.e., <think> reasoning process here </think> <answer> answer here "
    "</answer>. User: {prompt}. Assistant:"
)

PLAIN_TEMPLATES = {"r1-zero": R1_ZERO_TEMPLATE, "tiny": "Q: {prompt}\nA:"}
CHAT_TEMPLATE = "chat"
AUTO_TEMPLATE = "auto"


def is_plain_template(name: str) -> bool:
    """Return whether a recipe's `prompt.template` is plain text, which has no system message and no settings."""
    return name not in (CHAT_TEMPLATE, AUTO_TEMPLATE)


def template_text(name: str) -> str:
    """Return the text of a plain template: of a name in PLAIN_TEMPLATES, or a text that has {prompt} in it.

    Raises ValueError for any other text, into which a prompt could not be put.
    """
    text = PLAIN_TEMPLATES.get(name, name)
    if "{prompt}" not in text:
        raise ValueError(
            f"{name!r} is neither a plain template ({', '.join(PLAIN_TEMPLATES)}) nor a text with {{prompt}}"
        )
    return text


def fill_template(name: str, prompt: str) -> str:
    """Return the plain template `name` with `prompt` in the place of `{prompt}`.

    All other braces stay as they are, so that templates and prompts may contain LaTeX.
    """
    return template_text(name).replace("{prompt}", prompt)
