"""Does a reply follow the instructions of its prompt? The rules of IFEval, strict and loose.

    instruction = {"id": "length_constraints:number_words", "relation": "at least", "num_words": 3}
    follows(instruction, "Only two")                               False
    follow_all([instruction], "Sure:\\nthree words here", loose=True)     [True]

Strict judges the reply as it is. Loose judges eight readings of it, without the first line, the last line, both, and
each without asterisks, and takes the best for each instruction; so "Sure, here it is:" is forgiven.

Source: Zhou et al., Instruction-Following Evaluation for Large Language Models (arXiv 2311.07911). Departures from its
code: keywords are texts and no regular expressions; sentences are split by a rule in place of NLTK's Punkt model, and
words in capitals by one in place of NLTK's tokenizer; languages are detected by py3langid in place of langdetect; a
letter that is none of a to z is counted as it is. benchmarks/instructions.py compares both.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from r1kit.answers.fault import FAULT

Instruction = dict[str, Any]

CONSTRAINED_REPLIES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_BULLET = re.compile(r"^\s*(?:\*[^*]|-).*$", re.MULTILINE)
_HIGHLIGHT = re.compile(r"\*[^\n*]*\*")
_DOUBLE_HIGHLIGHT = re.compile(r"\*\*[^\n*]*\*\*")
_PLACEHOLDER = re.compile(r"\[.*?\]")
_TITLE = re.compile(r"<<[^\n]+>>")
_WORD = re.compile(r"\w+")
_FENCE = re.compile(r"^```(?:json)?|```$", re.IGNORECASE)
# The end of a sentence: its mark, closing quotes and brackets, and white space.
_SENTENCE_END = re.compile(r"[.!?]+[\"'”’)\]]*(?=\s)")
_LAST_WORD = re.compile(r"[\w.]+\Z")
# Words with a full stop that ends no sentence.
_ABBREVIATIONS = frozenset(
    (
        *("mr", "mrs", "ms", "dr", "prof", "st", "jr", "sr", "vs", "etc", "e.g", "i.e", "u.s", "u.k", "a.m", "p.m"),
        *("inc", "ltd", "co", "corp", "no", "fig", "al", "approx", "dept", "est", "gen", "gov", "rev", "sen", "rep"),
        *("hon", "capt", "col", "lt", "sgt", "ph.d"),
        *("jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"),
    )
)
# What NLTK's tokenizer splits off a word: clitics, which count as words of their own, and punctuation.
_CLITIC = re.compile(r"(?<=\w)(N'T|'(?:S|M|D|LL|RE|VE))(?!\w)", re.IGNORECASE)
_PUNCTUATION = re.compile(r"\.\.\.|--+|[\[\](){}<>\"“”,;:!?@#$%&*|/\\]+")


class BrokenInstructionError(ValueError):
    """An instruction that r1kit does not know, or that lacks what it asks for."""


def judge_instructions(metadata: Any, reply: str, partial: bool = False) -> float:
    """Return 1.0 if a reply follows all instructions strictly, else 0.0; with `partial`, the fraction that it follows.

    `metadata` is the row's list of instructions, or its JSON. FAULT where the instructions are broken.
    """
    try:
        followed = follow_all(read_instructions(metadata), reply)
    except BrokenInstructionError:
        return FAULT
    return sum(followed) / len(followed) if partial else float(all(followed))


def read_instructions(metadata: Any) -> list[Instruction]:
    """Return the instructions of a row. Raises BrokenInstructionError for anything else than a list of them."""
    try:
        instructions = json.loads(metadata) if isinstance(metadata, str) else metadata
    except (ValueError, RecursionError):
        instructions = None
    is_list = isinstance(instructions, list) and bool(instructions)
    if not is_list or not all(isinstance(entry, dict) and entry.get("id") in CHECKS for entry in instructions):
        raise BrokenInstructionError("the instructions are no list of objects with a known id")
    return instructions


def follow_all(instructions: Sequence[Instruction], reply: str, loose: bool = False) -> list[bool]:
    """Return for each instruction whether a reply follows it. Raises BrokenInstructionError."""
    readings = _loose_readings(reply) if loose else [reply]
    verdicts = []
    for instruction in instructions:
        verdicts.append(any(follows(instruction, reading) for reading in readings))
    return verdicts


def follows(instruction: Instruction, reply: str) -> bool:
    """Return whether a reply follows one instruction; an empty one follows none. Raises BrokenInstructionError."""
    check = CHECKS.get(instruction["id"])
    if check is None:
        raise BrokenInstructionError(f"no such instruction: {instruction['id']}")
    if not reply.strip():
        return False
    arguments = {name: value for name, value in instruction.items() if name != "id" and value is not None}
    try:
        return check(reply, **arguments)
    except (TypeError, AttributeError) as error:  # an argument is missing, unknown or of another type
        raise BrokenInstructionError(f"{instruction['id']}: {error}") from None


def _loose_readings(reply: str) -> list[str]:
    lines = reply.split("\n")
    texts = [reply]
    for remaining_lines in (lines[1:], lines[:-1], lines[1:-1]):
        texts.append("\n".join(remaining_lines).strip())
    return texts + [text.replace("*", "") for text in texts]


def _compare(count: int, relation: str, threshold: float) -> bool:
    """Return whether a count is `less than` or `at least` a threshold."""
    if relation not in ("less than", "at least"):
        raise TypeError(f"unknown relation {relation}")
    return count < threshold if relation == "less than" else count >= threshold


# Keywords and letters


def _has_keywords(reply: str, keywords: Sequence[str]) -> bool:
    return all(keyword.lower() in reply.lower() for keyword in keywords)


def _counts_keyword(reply: str, keyword: str, frequency: float, relation: str) -> bool:
    return _compare(reply.lower().count(keyword.strip().lower()), relation, frequency)


def _avoids_words(reply: str, forbidden_words: Sequence[str]) -> bool:
    return not any(re.search(rf"\b{re.escape(word)}\b", reply, re.IGNORECASE) for word in forbidden_words)


def _counts_letter(reply: str, letter: str, let_frequency: float, let_relation: str) -> bool:
    return _compare(reply.lower().count(letter.strip().lower()), let_relation, let_frequency)


def _has_no_comma(reply: str) -> bool:
    return "," not in reply


# Lengths


def _counts_words(reply: str, num_words: float, relation: str) -> bool:
    # A mark on a letter, such as a vowel of Hindi, is within its word.
    text = "".join("x" if unicodedata.category(char).startswith("M") else char for char in reply)
    return _compare(len(_WORD.findall(text)), relation, num_words)


def _counts_sentences(reply: str, num_sentences: float, relation: str) -> bool:
    return _compare(count_sentences(reply), relation, num_sentences)


def count_sentences(text: str) -> int:
    """Return the number of sentences: parts that end in a full stop, an exclamation or question mark, or the text."""
    count, start = 0, 0
    for match in _SENTENCE_END.finditer(text):
        next_char = text[match.end() :].lstrip()[:1]
        if match[0].startswith("...") and next_char.islower():
            continue
        if match[0].startswith(".") and _is_abbreviation(text[start : match.start()]):
            continue
        count, start = count + 1, match.end()
    return count + bool(text[start:].strip())


def _is_abbreviation(sentence: str) -> bool:
    """Return whether the full stop after `sentence` belongs to its last word."""
    match = _LAST_WORD.search(sentence[-20:])
    word = match[0].strip(".").lower() if match else ""
    is_initial = len(word) == 1 and word.isalpha() and sentence[-1:].isupper()
    return is_initial or word in _ABBREVIATIONS


def _has_divided_paragraphs(reply: str, num_paragraphs: int) -> bool:
    """Return whether there are so many paragraphs with the divider *** between them; none but the ends is empty."""
    paragraphs = re.split(r"\s?\*\*\*\s?", reply)
    if len(paragraphs) > 1 and not paragraphs[0].strip():
        paragraphs = paragraphs[1:]
    if len(paragraphs) > 1 and not paragraphs[-1].strip():
        paragraphs = paragraphs[:-1]
    return all(paragraph.strip() for paragraph in paragraphs) and len(paragraphs) == num_paragraphs


def _begins_paragraph(reply: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """Return whether there are so many paragraphs, and one of them, counted from 1, begins with a word."""
    paragraphs = reply.split("\n\n")
    count = sum(bool(paragraph.strip()) for paragraph in paragraphs)
    if nth_paragraph > count:
        return False
    words = paragraphs[nth_paragraph - 1].split()
    if not words:
        return False
    word = re.split(r"[.,?!'\"]", words[0].lstrip("'").lstrip('"'))[0]
    return count == num_paragraphs and word.lower() == first_word.lower()


# Content and format


def _has_placeholders(reply: str, num_placeholders: int) -> bool:
    return len(_PLACEHOLDER.findall(reply)) >= num_placeholders


def _has_postscript(reply: str, postscript_marker: str) -> bool:
    patterns = {"P.P.S": r"p\.\s?p\.\s?s.*$", "P.S.": r"p\.\s?s\..*$"}
    pattern = patterns.get(postscript_marker.strip(), re.escape(postscript_marker.strip().lower()))
    return re.search(pattern, reply.lower(), re.MULTILINE) is not None


def _counts_bullets(reply: str, num_bullets: int) -> bool:
    return len(_BULLET.findall(reply)) == num_bullets


def _is_constrained(reply: str) -> bool:
    return any(option in reply for option in CONSTRAINED_REPLIES)


def _has_highlights(reply: str, num_highlights: int) -> bool:
    count = sum(bool(text.strip("*").strip()) for text in _HIGHLIGHT.findall(reply))
    count += sum(bool(text[2:-2].strip()) for text in _DOUBLE_HIGHLIGHT.findall(reply))
    return count >= num_highlights


def _has_sections(reply: str, section_spliter: str, num_sections: int) -> bool:
    return len(re.findall(rf"\s?{re.escape(section_spliter.strip())}\s?\d+\s?", reply)) >= num_sections


def _is_json(reply: str) -> bool:
    try:
        json.loads(_FENCE.sub("", reply.strip()).strip())
    except (ValueError, RecursionError):
        return False
    return True


def _has_title(reply: str) -> bool:
    return any(title.lstrip("<").rstrip(">").strip() for title in _TITLE.findall(reply))


def _has_two_replies(reply: str) -> bool:
    """Return whether there are two different replies with ****** between them; empty ones may only be at the ends."""
    sections = [section.strip() for section in reply.split("******")]
    replies = [section for section in sections if section]
    return all(sections[1:-1]) and len(replies) == 2 and replies[0] != replies[1]


def _repeats_prompt(reply: str, prompt_to_repeat: str) -> bool:
    return reply.strip().lower().startswith(prompt_to_repeat.strip().lower())


def _ends_with(reply: str, end_phrase: str) -> bool:
    return reply.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def _is_quoted(reply: str) -> bool:
    text = reply.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


# Languages and capitals


def _is_in_language(reply: str, language: str) -> bool:
    """Return whether a text is in a language, by its code; a text without letters is in any."""
    if not any(char.isalpha() for char in reply):
        return True
    return _identifier().classify(reply)[0] == language


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """Return py3langid's model of all its languages."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)


def _is_english_capital(reply: str) -> bool:
    # Its model has seen few texts in capitals.
    return reply.isupper() and _is_in_language(reply.lower(), "en")


def _is_english_lowercase(reply: str) -> bool:
    return reply.islower() and _is_in_language(reply, "en")


def _counts_capital_words(reply: str, capital_frequency: float, capital_relation: str) -> bool:
    return _compare(count_capital_words(reply), capital_relation, capital_frequency)


def count_capital_words(text: str) -> int:
    """Return the number of words in capitals; a word with hyphens is one, DON'T is two: DO and N'T."""
    words = _CLITIC.sub(r" \1", _PUNCTUATION.sub(" ", text)).split()
    return sum(word.isupper() for word in words)


CHECKS: dict[str, Callable[..., bool]] = {
    "keywords:existence": _has_keywords,
    "keywords:frequency": _counts_keyword,
    "keywords:forbidden_words": _avoids_words,
    "keywords:letter_frequency": _counts_letter,
    "language:response_language": _is_in_language,
    "length_constraints:number_sentences": _counts_sentences,
    "length_constraints:number_paragraphs": _has_divided_paragraphs,
    "length_constraints:number_words": _counts_words,
    "length_constraints:nth_paragraph_first_word": _begins_paragraph,
    "detectable_content:number_placeholders": _has_placeholders,
    "detectable_content:postscript": _has_postscript,
    "detectable_format:number_bullet_lists": _counts_bullets,
    "detectable_format:constrained_response": _is_constrained,
    "detectable_format:number_highlighted_sections": _has_highlights,
    "detectable_format:multiple_sections": _has_sections,
    "detectable_format:json_format": _is_json,
    "detectable_format:title": _has_title,
    "combination:two_responses": _has_two_replies,
    "combination:repeat_prompt": _repeats_prompt,
    "startend:end_checker": _ends_with,
    "startend:quotation": _is_quoted,
    "change_case:capital_word_frequency": _counts_capital_words,
    "change_case:english_capital": _is_english_capital,
    "change_case:english_lowercase": _is_english_lowercase,
    "punctuation:no_comma": _has_no_comma,
}
"""The 25 instructions of IFEval by their id; a check takes the reply and the instruction's arguments by name."""
