"""Read which choices of a multiple-choice question a text chooses, in any wrapping, language and script.

Tried in this order: the text is nothing but labels; the last phrase that states a choice ("the answer is B", "I choose
B", "B is correct"); a last or first line that begins with its choice ("B) Berlin"). What labels look like is in
choice_labels.py; the words shared with the other readers are in wording.py.

>>> chosen_letters("La réponse est **B**.")
('B',)
>>> chosen_letters("(A), (C)")
('A', 'C')
>>> chosen_letters("It is A or B.") is None
True
"""

import re
import unicodedata
from collections.abc import Iterator

from r1kit.answers.choice_labels import LABEL, LATIN_OF, LabelList, read_label_list
from r1kit.answers.sentences import DENIED_BEFORE
from r1kit.answers.wording import ANSWER_WORDS, CORRECTION, DENIAL_WORDS, LINK_VERBS, STATEMENT_VERB

# What a question's choices are called, beside "answer".
_CHOICE_WORDS = (
    r"choice|option|letter|pick|guess|final(?=\s?[:：])|(?:correct|right|true) (?:letter|statement|one)|"
    "choix|lettre|opción|opzione|opção|letra|lettera|alternativa|alternative|buchstabe|вариант|варіант|optie|seçenek|"
    "pilihan|επιλογή|câu trả lời|ข้อ|选项|選項|选择|選択肢|보기|الخيار|گزینه|विकल्प|বিকল্প"
)
# In the normal form NFKC, as the texts are in which it is sought.
_ANSWER_WORD = unicodedata.normalize("NFKC", f"(?:{ANSWER_WORDS}|{_CHOICE_WORDS})s?")
# Chinese and Japanese words may be followed by a letter directly.
_ANSWER = re.compile(
    rf"答案|回答|正解|选项|選項|选择|정답|故选|应选|选|選|(?<![^\W\d_])(?:ans\.|{_ANSWER_WORD})(?![a-zà-ÿ])", re.I
)
_LINK_WORD = rf"{LINK_VERBS}|would be|should be|must be|(?<=odpowiedź )to|это|n°"
# From the word "answer" to the letter. Words that may stand between: "choice", "clearly", "to this question".
_TO_LETTER = re.compile(
    rf"(?:[^\n.!?:：=,;]{{0,50}}?(?:[:：=→]|(?<![^\W\d_])(?:{_LINK_WORD})(?![^\W\d_])|是|为|為|は|が|은|는|คือ|—|–| - )"
    rf")[\s:：]{{0,5}}(?:(?:{_LINK_WORD}|that|given by|therefore|thus|simply|clearly|definitely|most likely|likely|"
    rf"probably|surely|certainly|actually|the|la|le|die|der|el|number|буквой|под|[ao](?=\s(?:letra\s)?[A-Z]\b)|"
    rf"{_ANSWER_WORD})[\s:：]{{1,3}}"
    r"|选项|[选選项項是为][:：]?){0,5}\s{0,3}",
    re.I,
)
# Between the word "option" and the letter directly after it.
_DIRECTLY = re.compile(r"[项項]?\s{0,3}")
# "I choose B", "Choose option (B)", "It is B", "leaving B"; before a letter at the end, "so B".
_CHOOSING = re.compile(
    r"(?<![^\W\d_])(?:choose|chose|pick|select|go with|going with|I(?:['’]d| would) say|"
    r"wähle|choisis|elijo|scelgo|escolho|выбираю|"
    r"(?:by|through) elimination,?|leav(?:es|ing)|"
    r"(?:so|thus|therefore|hence),?(?=\s{1,3}\(?[A-Z]\)?[\s.*)]{0,9}(?:\Z|\n))|"
    r"(?:it|this|that)(?:['’]s| is| must be| should be| has to be| would be))"
    r"\s{1,3}(?:(?:the|correct|right|best|answer|option|choice|letter)\s{1,3}){0,4}",
    re.I,
)
# After a letter: "is the answer", "is correct", "ist richtig", "选项正确".
_IS_RIGHT = re.compile(
    r"[.):]?\s{0,3}(?:is|are|ist|est|es|è|é|jest|är|—|-)?\s{0,3}(?:(?:clearly|indeed|therefore|thus|both|the|la|le|"
    r"die|el|a)"
    r"\s{1,3}){0,3}(?:(?:answers?|option|choice|one|richtige|bonne|correct|right|best|most)\s{1,3}){0,2}"
    r"(?:answers?|correct|right|best|true|richtig|antwort|correcte|bonne|réponse|juste|correcta|respuesta|corretta|"
    r"risposta|correta|верно|верный|правильный|правильно|صحيح|صحیح|درست|正确|正確|正解|が正解|是正确的?)(?![a-zà-ÿ])",
    re.I,
)
# What denies a choice. Unlike in DENIAL_WORDS any "no" does, and so do "wrong", "incorrect" and "cannot".
_NOT = re.compile(rf"{DENIAL_WORDS}|\b(?:no|wrong|incorrect|cannot)\b|不选", re.I)
# What takes a choice back. Unlike in CORRECTION, "no." at the start of a sentence does, too.
_CHANGE = re.compile(rf"(?<=[?.!]\s)no[,.:!]|{CORRECTION.pattern}", re.I)
# Behind a letter: the end of its clause, or a reason.
_END_OR_REASON = re.compile(
    r"\s{0,3}(?:$|\n|[.,;:!\-—–()。，]|because\b|since\b|as\b|weil\b|car\b|porque\b|['’][dt][iıuü]r\b)", re.I
)
_MARKUP = re.compile(
    r"[\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]|\\(?:boxed|fbox|mbox|text\w{0,6}|math\w{0,6}|mathrm)\s{0,3}\{|"
    r"[{}$*_`\"“”„«»「」『』‘]|\[(?=\[)|(?<=\])\]|\\[()\[\] ,!;]|</?\w{1,10}>|"
    r"(?<!\w)['’]|['’](?!\w)|\\(?:q?quad)(?![a-z])"
)
_JSON_LIST = re.compile(r"\[([\"'][A-Z][\"'](?:\s?,\s?[\"'][A-Z][\"']){1,9})\]")
_LIST_MARKER = re.compile(r"(?m)^[ \t]{0,9}[-•→⇒➡][ \t]{1,3}")
_BRACKETS = str.maketrans("（）【】", "()()")
# "ACD": several letters without anything between them.
_LETTERS_IN_A_ROW = re.compile(r"[A-Z]{2,8}(?![A-Za-z0-9'’])")
# "if A is correct", "neither A nor B is correct", "whether option A is right": nothing is chosen.
_NO_STATEMENT_BEFORE = re.compile(
    r"\b(?:if|whether|why|that|neither|nor|or|unless|suppose|assume|when|is|say|says)\s{0,2}(?:option\s|choice\s)?$",
    re.I,
)
# "Paris (B)": the text of a choice before its letter.
_TEXT_WITH_LETTER = re.compile(r"[^()?]{2,80}\s(\([A-Z]\))[.\s]{0,3}")
# A letter with the mark of a label: "B) Berlin".
_MARKED = re.compile(r"(?<![A-Za-z])([A-Z])[.):]\s")
# Words before the choice at the start of a line: "So B) Berlin".
_LINE_START = re.compile(r"(?:so|thus|therefore|hence|it is|it's|c'est|es ist|es|è|это)[,:]?\s{1,3}", re.I)
# Of a longer text the end is read, in characters.
_MAX_CHARS = 6_000


def chosen_letters(text: str, digits: bool = False) -> tuple[str, ...] | None:
    """Return the letters that a text chooses, sorted, Latin ones in upper case; None where it chooses none.

    A text chooses none that only mentions letters ("A is wrong"), that cannot decide ("A or B"), or whose letter is an
    article or a pronoun ("A good question"). `digits`: the choices are numbered.
    """
    text = _plain_text(text[-_MAX_CHARS:])
    changes = list(_CHANGE.finditer(text))
    if changes:
        tail = re.sub(r"^[\s,:;.\-—–]*(?:no\b)?[\s,:;.\-—–]*", "", text[changes[-1].end() :])
        letters = _read_choice(tail, digits)
        if letters is not None:
            return letters
        if _NOT.search(text, changes[0].start()):
            return None
    return _read_choice(text, digits)


def _plain_text(text: str) -> str:
    """Return a text without markup, with plain brackets and digits, and without what it denies beside its choice."""
    text = _JSON_LIST.sub(r"\1", text)
    text = _MARKUP.sub(" ", unicodedata.normalize("NFKC", text).translate(_BRACKETS))
    text = _LIST_MARKER.sub("", text)
    text = "".join(str(unicodedata.digit(char)) if char.isdigit() and char > "9" else char for char in text)
    return DENIED_BEFORE.sub("", text.strip())


def _read_choice(text: str, digits: bool) -> tuple[str, ...] | None:
    """Return the letters that a text without markup chooses."""
    text = re.sub(r"^(?:both|only)\s|\sonly\.?$", "", text, flags=re.I)
    labels = _letters_in_a_row(text, 0) or read_label_list(text, 0, digits)
    if labels is not None and not text[labels.end :].strip(" .)]:"):  # the text is nothing else
        return labels.letters or None
    statements = sorted(_find_statements(text, digits), key=lambda statement: statement[0])
    if statements:
        return statements[-1][1] or None
    lines = [line.strip(" #>-") for line in text.split("\n") if line.strip(" #>-")]
    lines = [line for line in lines if not re.fullmatch(r"[-=~]{2,}", line)]
    if not lines or _lists_options(lines):
        return None
    for line in dict.fromkeys((lines[-1], lines[0])):
        letters = _read_line(line, digits)
        if letters is not None:
            return letters or None
    return None


def _lists_options(lines: list[str]) -> bool:
    """Return whether lines repeat the choices of the question."""
    labels = set()
    for line in lines:
        match = re.match(r"[(\[]?([A-Z])[)\].:]\s", line)
        if match:
            labels.add(match[1])
    return len(labels) > 1


def _read_line(line: str, digits: bool) -> tuple[str, ...] | None:
    """Return the letters of a line that begins with its choice, as in "B) Berlin"; None where it does not."""
    line = _LINE_START.sub("", line, count=1) if _LINE_START.match(line) else line
    text_with_letter = _TEXT_WITH_LETTER.fullmatch(line)  # "Paris (B)"
    labels = read_label_list(line, text_with_letter.start(1) if text_with_letter else 0, digits)
    if labels is None or len(set(_MARKED.findall(line))) > 1:  # "A: no. B: yes."
        return None
    following = line[labels.end :]
    if len(labels.letters) != 1:
        return labels.letters if not following.strip(" .)]:") or _END_OR_REASON.match(following) else None
    if text_with_letter and _NOT.search(line):
        return None
    if _IS_RIGHT.match(following):
        return labels.letters
    if STATEMENT_VERB.match(following) or following.lstrip(" )").startswith("?"):
        return None
    if _is_set_off(labels, following):
        return labels.letters
    # "B Berlin" is a choice with its text. "A city", "I think" and "a city" may be words.
    is_capital = labels.first in "BCDEFGHJKLMNOPQRSTUVWXYZ" or labels.first in LATIN_OF
    return labels.letters if is_capital else None


def _is_set_off(labels: LabelList, following: str) -> bool:
    """Return whether brackets, a mark or the end of its clause show that a letter is a label and no word."""
    return labels.is_bracketed or bool(labels.mark) or bool(_END_OR_REASON.match(following))


def _find_statements(text: str, digits: bool) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield where a text states which letters it chooses, and the letters: none of them where it cannot decide."""
    for match in _ANSWER.finditer(text):
        if not _is_negated(text, match.start()):
            yield from _statement_behind_answer(text, match, digits)
    for match in _CHOOSING.finditer(text):
        if not _is_negated(text, match.start()):
            yield from _statement_at(text, match.end(), digits)
    yield from _find_letters_called_right(text, digits)


def _statement_behind_answer(
    text: str, answer_word: re.Match[str], digits: bool
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the letters directly behind a word such as "answer", or else behind a link such as "is"."""
    directly = _DIRECTLY.match(text, answer_word.end())
    statements = list(_statement_at(text, directly.end() if directly else answer_word.end(), digits))
    link = None if statements else _TO_LETTER.match(text, answer_word.end())
    if link and not _NOT.search(text, answer_word.start(), link.end()):
        statements = list(_statement_at(text, link.end(), digits))
    yield from statements


def _find_letters_called_right(text: str, digits: bool) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the letters of which a text says behind them that they are right: "B is the answer"."""
    end = 0
    for match in LABEL.finditer(text):
        labels = read_label_list(text, match.start(), digits) if match.start() >= end else None
        if labels is None:
            continue
        end = labels.end
        following = _IS_RIGHT.match(text, end)
        before = text[max(0, match.start() - 20) : match.start()]
        if following is None or _NOT.search(following[0]) or _NO_STATEMENT_BEFORE.search(before):
            continue
        # "A right triangle", "I best": words.
        is_word = labels.first in "AaI" and len(labels.letters) == 1 and not labels.is_bracketed
        if not is_word or re.search(r"\b(?:is|answer)\b", following[0]):
            yield match.start(), labels.letters


def _is_negated(text: str, start: int) -> bool:
    """Return whether the words before `start`, in the same clause, deny what follows."""
    clause = re.split(r"[.:;,!?\n]", text[max(0, start - 12) : start])[-1]
    return bool(_NOT.search(clause))


def _statement_at(text: str, start: int, digits: bool) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the letters that stand at `start`, behind words that say that they are chosen."""
    labels = _letters_in_a_row(text, start) or read_label_list(text, start, digits)
    if labels is None:
        return
    following = text[labels.end :]
    if STATEMENT_VERB.match(following) and not _IS_RIGHT.match(following):
        return
    if not labels.may_be_word or _is_set_off(labels, following):
        yield start, labels.letters


def _letters_in_a_row(text: str, start: int) -> LabelList | None:
    """Return the letters of a word such as "ACD" at `start`; None where they are not in their order."""
    match = _LETTERS_IN_A_ROW.match(text, start)
    if match is None or list(match[0]) != sorted(set(match[0])):
        return None
    return LabelList(tuple(match[0]), match.end(), match[0], "", is_bracketed=False)
