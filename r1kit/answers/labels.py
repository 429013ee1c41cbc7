r"""Take the letter of a choice off an answer to a mathematics problem: "(C) 12" is 12, and the choice C.

Data sets of competitions (AMC, AQuA) have such gold answers, and models copy them. Uses the standard library only.

>>> split_label("(C) 12"), split_label("(x) 12")
(('C', '12'), ('', '(x) 12'))
"""

import re

# A capital in brackets before a number; before an operator it is a factor.
_LABEL = re.compile(r"\(([A-J])\)\s{0,3}(?=[-¤.]{0,2}\d|\\(?:frac|sqrt|pi)(?![a-z]))")
_LETTER = re.compile(r"\(?([A-J])\)?")


def split_label(text: str, is_letter_label: bool = False) -> tuple[str, str]:
    """Return the letter before a cleaned answer, "" without one, and the answer.

    `is_letter_label`: a letter by itself is a label without an answer.
    """
    label = _LABEL.match(text)
    if label:
        return label[1], text[label.end() :]
    letter = _LETTER.fullmatch(text) if is_letter_label else None
    return (letter[1], "") if letter else ("", text)
