"""Read which choices of a multiple-choice question a text chooses, in any wrapping, language and script.

>>> chosen_letters("La réponse est **B**.")
('B',)
>>> chosen_letters("(A), (C)")
('A', 'C')
>>> chosen_letters("It is A or B.") is None
True
>>> question = "Where is the Louvre?\\nA) Rome\\nB) Paris"
>>> parse_options(question)
{'A': 'Rome', 'B': 'Paris'}
"""

import re
import unicodedata
from collections.abc import Iterator

from r1kit.answers.sentences import DENIED_BEFORE

# Letters by which other scripts number choices, in order; each stands for A, B, C, ...
_ALPHABETS = (
    "АБВГДЕ",
    "ΑΒΓΔΕΖ",
    "אבגדהו",
    "甲乙丙丁戊己",
    "กขคงจฉ",
    "কখগঘঙচ",
    "कखगघङच",
    "ㄱㄴㄷㄹㅁㅂ",
    "アイウエオカ",
    ("أ", "ب", "ج", "د", "ه", "و"),
    ("الف", "ب", "ج", "د", "ه", "و"),
)
_LATIN_OF: dict[str, str] = {}
for _alphabet in _ALPHABETS:
    _LATIN_OF.update(zip(_alphabet, "ABCDEF", strict=True))
# Cyrillic and Greek letters that look like Latin ones are typed for them.
_LATIN_OF |= dict(zip("ВСНКМОРТХ", "BCHKMOPTX", strict=True))
_LATIN_OF |= {"ا": "A", "إ": "A", "هـ": "E"}

_OTHER_LABEL = "|".join(sorted((re.escape(label) for label in _LATIN_OF), key=len, reverse=True))
# A letter: in brackets, or bare and no part of a word. Groups: bracketed, bare.
_LATIN = r"(?<![A-Za-z0-9À-ɏ])([A-Za-z])(?![A-Za-z0-9À-ɏ'’])"
# Behind a letter of another script no combining vowel may stand: it would be the beginning of a word.
_OTHER = (
    rf"((?<!\w)(?:{_OTHER_LABEL}|[а-е])(?![^\W\d_A-Za-z选項项]|[\d\u0300-\u036f\u0900-\u0dff\u0e30-\u0e4e])"
    r"|[甲乙丙丁戊己](?![\u4e00-\u9fff]))"
)
_BRACKETED = rf"[(\[{{]\s{{0,3}}([A-Za-z]|{_OTHER_LABEL}|\d)\s{{0,3}}[)\]}}]"
_DIGIT = r"(?<![\w.,])(\d)(?![\w%]|[.,]\d)"
_LABEL = re.compile(rf"(?:{_BRACKETED}|{_LATIN}|{_OTHER}|{_DIGIT})([.):]?)")
_LABEL_GROUPS = 4

# Between two letters that are both chosen; and where only one of them is.
_AND = re.compile(
    r"\s{0,3}(?:[,;/&+、،]|\b(?:and|und|et|y|e|и|en|och|ve|dan|và)\b|和|与|與|및|と|و(?=\s))?"
    r"\s{0,3}(?:\b(?:and|und|et|y)\b)?"
    r"\s{0,3}(?:option|choice)?\s{0,3}",
    re.I,
)
_OR = re.compile(
    r"\s{0,3}[,/]?\s{0,3}(?:\b(?:or|oder|ou|o|или|eller|of|veya|atau|hoặc)\b|或者?|または|또는|أو|یا)", re.I
)
_END_OF_LIST = re.compile(
    r"[.)\]]?\s{0,3}(?:$|\n|[.,;、،。]|\b(?:and|und|et|y|or|both|are|sont|sind|are both)\b|[和与])"
)

_ANSWER_WORD = (
    r"answers?|ans\.?|choices?|options?|solution|antwort|lösung|réponse|reponse|choix|respuesta|opción|solución|"
    r"risposta|"
    r"opzione|soluzione|resposta|opção|alternativa|alternative|ответ|вариант|відповідь|варіант|odpowiedź|odpověď|"
    r"antwoord|optie|svaret|svar|vastaus|cevap|cevabı|seçenek|yanıt|jawaban|pilihan|válasz|răspuns|răspunsul|απάντηση|"
    r"επιλογή|odgovor|jibu|đáp án|câu trả lời|คำตอบ|ข้อ|"
    r"答案|选项|選項|答え|正解|选择|選択肢|答|정답|답변|답|보기|الجواب|الإجابة|الاجابة|إجابة|الخيار|جواب|پاسخ|گزینه|"
    r"उत्तर|विकल्प|উত্তর|বিকল্প|תשובה|התשובה"
)
_ANSWER_WORD = unicodedata.normalize("NFKC", _ANSWER_WORD)  # as the texts are that it is found in
_ANSWER = re.compile(rf"(?<![^\W\d_])(?:{_ANSWER_WORD})(?![a-zà-ÿ])|答案|正解|选项|정답|故选|应选|选|選", re.I)
_LINK_WORD = (
    r"is|are|was|be|would be|should be|must be|ist|sind|lautet|est|sont|es|son|è|sono|é|são|är|er|on|adalah|ialah|là|"
    r"jest|je|(?<=odpowiedź )to|este|είναι|это|هي|هو|است|है|হল|היא|הוא|ni|n°"
)
# From the word "answer" to the letter. Words that may stand between: "choice", "clearly", "to this question".
_TO_LETTER = re.compile(
    rf"(?:[^\n.!?:：=,;]{{0,50}}?(?:[:：=→]|(?<![^\W\d_])(?:{_LINK_WORD})(?![^\W\d_])|是|为|為|は|が|은|는|คือ|—|–| - )"
    r")"
    rf"[\s:：]{{0,5}}(?:(?:{_LINK_WORD}|that|given by|therefore|thus|simply|clearly|definitely|most likely|likely|"
    rf"probably|surely|certainly|actually|the|"
    rf"la|le|die|der|el|letter|letra|lettre|lettera|buchstabe|number|буква|буквой|под|[ao](?=\s(?:letra\s)?[A-Z]\b)|"
    rf"{_ANSWER_WORD})[\s:：]{{1,3}}"
    r"|选项|[选選项項是为][:：]?){0,5}\s{0,3}",
    re.I,
)
# Between the word "option" and the letter directly after it.
_DIRECTLY = re.compile(r"[项項]?\s{0,3}")
# "I choose B", "Choose option (B)".
_CHOOSING = re.compile(
    r"(?<![^\W\d_])(?:choose|chose|pick|select|go with|wähle|choisis|elijo|scelgo|escolho|выбираю|"
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
_NOT = re.compile(r"\b(?:not|isn't|nicht|pas|no|non|не|wrong|incorrect|never|cannot)\b|n't\b|不是|不选", re.I)
# "A is wrong", "A can be proved": the letter is what the sentence is about, not what it chooses.
_STATEMENT = re.compile(r"[.):]?\s{0,3}(?:is|are|was|isn't|can|cannot|does|do|has|have|would|could|ist|est|es)\b", re.I)
# The letter stands alone, or a reason or its text follows.
_END_OR_REASON = re.compile(
    r"\s{0,3}(?:$|\n|[.,;:!\-—–()。，]|because\b|since\b|as\b|weil\b|car\b|porque\b|since\b)", re.I
)
_CORRECTION = re.compile(
    r"(?<=[?.!]\s)no[,.:!]|\b(?:wait|actually|no,|correction|scratch that|hold on|oops|sorry|mistake|"
    r"on second thought)\b"
    r"|\b(?:moment|attends|espera)\b"
    r"|等等|不对|其实|подожди|стоп",
    re.I,
)
_MARKUP = re.compile(
    r"[\u2600-\u27bf\ufe0f\U0001f000-\U0001faff]|\\(?:boxed|fbox|mbox|text\w{0,6}|math\w{0,6}|mathrm)\s{0,3}\{|"
    r"[{}$*_`\"“”„«»「」『』‘]|\\[()\[\] ,!;]|</?\w{1,10}>|"
    r"(?<!\w)['’]|['’](?!\w)|\\(?:q?quad)(?![a-z])"
)
_WORD_CHOICE = re.compile(r"[A-Z]{2,8}")
_OPTION = re.compile(
    r"(?:^|\n|(?<=\s))[ \t>*\-]{0,6}[(\[]?([A-Z]|\d{1,2})[)\].:、][ \t*]{1,6}"
    r"(\S[^\n]{0,500}?)(?=\s{1,20}[(\[]?[A-Z][)\].:、]\s|\n|$)"
)
# "if A is correct", "neither A nor B is correct", "whether option A is right": nothing is chosen.
_NO_STATEMENT_BEFORE = re.compile(
    r"\b(?:if|whether|why|that|neither|nor|or|unless|suppose|assume|when|is|say|says)\s{0,2}(?:option\s|choice\s)?$",
    re.I,
)
_TEXT_WITH_LETTER = re.compile(r"[^()?]{2,80}\s(\([A-Z]\))[.\s]{0,3}")
_MARKED = re.compile(r"(?<![A-Za-z])([A-Z])[.):]\s")
# A longer text is no answer to a question with choices; its end is read.
_MAX_CHARS = 6_000


def chosen_letters(text: str, digits: bool = False) -> tuple[str, ...] | None:
    """Return the letters that a text chooses, sorted, Latin ones in upper case; None where it chooses none.

    A text chooses none that only mentions letters ("A is wrong"), that cannot decide ("A or B"), or whose letter is an
    article or a pronoun ("A good question"). `digits`: the choices are numbered.
    """
    text = unicodedata.normalize("NFKC", text[-_MAX_CHARS:])
    text = _MARKUP.sub(" ", text.replace("（", "(").replace("）", ")").replace("【", "(").replace("】", ")"))
    text = "".join(str(unicodedata.digit(char)) if char.isdigit() and char > "9" else char for char in text).strip()
    text = DENIED_BEFORE.sub("", text)
    corrections = list(_CORRECTION.finditer(text))
    if corrections:
        tail = re.sub(r"^[\s,:;.\-—–]*(?:no\b)?[\s,:;.\-—–]*", "", text[corrections[-1].end() :])
        letters = _read_choice(tail, digits)
        if letters is not None:
            return letters
        if _NOT.search(text, corrections[0].start()):
            return None
    return _read_choice(text, digits)


def _read_choice(text: str, digits: bool) -> tuple[str, ...] | None:
    """Return the letters that a text without markup chooses."""
    if _WORD_CHOICE.fullmatch(text) and list(text) == sorted(set(text)):
        return tuple(text)
    if not text:
        return None
    text = re.sub(r"^(?:both|only)\s|\sonly\.?$", "", text, flags=re.I)
    whole = _read_list(text, 0, digits)
    if whole is not None and not text[whole[1] :].strip(" .)]:"):
        return whole[0] or None
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


def _read_line(line: str, digits: bool) -> tuple[str, ...] | None:
    """Return the letters of a line that begins with its choice, as in "B) Berlin"; None where it does not."""
    line = re.sub(r"^(?:so|thus|therefore|hence|it is|it's|c'est|es ist|es|è|это)[,:]?\s{1,3}", "", line, flags=re.I)
    text_with_letter = _TEXT_WITH_LETTER.fullmatch(line)  # "Paris (B)"
    label_list = _read_list(line, text_with_letter.start(1) if text_with_letter else 0, digits)
    if label_list is None or len(set(_MARKED.findall(line))) > 1:  # "A: no. B: yes."
        return None
    letters, end, label, mark, is_bracketed = label_list
    following = line[end:]
    if len(letters) != 1:
        return letters if not following.strip(" .)]:") or _END_OR_REASON.match(following) else None
    if text_with_letter and _NOT.search(line):
        return None
    if _IS_RIGHT.match(following):
        return letters
    if _STATEMENT.match(following) or following.lstrip(" )").startswith("?"):
        return None
    if is_bracketed or mark or _END_OR_REASON.match(following):
        return letters
    # "B Berlin" is a choice with its text. "A city", "I think" and "a city" may be words.
    return letters if label in "BCDEFGHJKLMNOPQRSTUVWXYZ" or label in _LATIN_OF else None


def _find_statements(text: str, digits: bool) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield where a text states which letters it chooses, and the letters: none of them where it cannot decide."""
    for match in _ANSWER.finditer(text):
        is_before_letter = False
        directly = _DIRECTLY.match(text, match.end())
        for statement in _statement_at(text, directly.end() if directly else match.end(), digits):
            is_before_letter = True
            if not _is_negated(text, match.start()):
                yield statement
        if is_before_letter:
            continue
        link = _TO_LETTER.match(text, match.end())
        if link is None or _NOT.search(text, match.start(), link.end()):
            continue
        if _is_negated(text, match.start()):
            continue
        yield from _statement_at(text, link.end(), digits)
    for match in _CHOOSING.finditer(text):
        if not _is_negated(text, match.start()):
            yield from _statement_at(text, match.end(), digits)
    end = 0
    for match in _LABEL.finditer(text):
        if match.start() < end:
            continue
        label_list = _read_list(text, match.start(), digits)
        if label_list is None:
            continue
        letters, end, label, _mark, is_bracketed = label_list
        following = _IS_RIGHT.match(text, end)
        before = text[max(0, match.start() - 20) : match.start()]
        if following is None or _NOT.search(following[0]) or _NO_STATEMENT_BEFORE.search(before):
            continue
        # "A right triangle", "I best": words.
        is_word = (
            label in "AaI"
            and len(letters) == 1
            and not is_bracketed
            and not re.search(r"\b(?:is|answer)\b", following[0])
        )
        if not is_word:
            yield match.start(), letters


def _is_negated(text: str, start: int) -> bool:
    """Return whether the words before `start`, in the same clause, deny what follows."""
    clause = re.split(r"[.:;,!?\n]", text[max(0, start - 12) : start])[-1]
    return bool(_NOT.search(clause))


def _statement_at(text: str, start: int, digits: bool) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the letters that stand at `start`, behind words that say that they are chosen."""
    word = re.compile(r"[A-Z]{2,8}(?![A-Za-z0-9'’])").match(text, start)
    if word and list(word[0]) == sorted(set(word[0])):
        yield start, tuple(word[0])
        return
    label_list = _read_list(text, start, digits)
    if label_list is None:
        return
    letters, end, label, mark, is_bracketed = label_list
    following = text[end:]
    if len(letters) == 1:
        if _STATEMENT.match(following) and not _IS_RIGHT.match(following):
            return
        is_sure = is_bracketed or bool(mark) or bool(_END_OR_REASON.match(following))
        is_word = label in "AI" or (label.isascii() and label.islower())
        if is_word and not is_sure:
            return
    yield start, letters


def _read_list(text: str, start: int, digits: bool) -> tuple[tuple[str, ...], int, str, str, bool] | None:
    """Return the letters in the list that stands at `start`, and where it ends; no letters where it cannot decide.

    Also returned: the first label as written, the mark after it ("B)"), and whether it stands in brackets.
    """
    match = _LABEL.match(text, start)
    label = _label_of(match, digits) if match else None
    if match is None or label is None:
        return None
    first = next(group for group in match.groups()[:_LABEL_GROUPS] if group)
    mark = match[_LABEL_GROUPS + 1]
    is_bracketed = bool(match[1])
    letters = {label}
    end = match.end()
    for _ in range(10):
        if _OR.match(text, end):
            following = _LABEL.match(text, _or_end(text, end))
            other = _label_of(following, digits) if following else None
            if other and other not in letters and following and _END_OF_LIST.match(text, following.end()):
                return (), following.end(), first, mark, is_bracketed
            break
        link = _AND.match(text, end)
        following = _LABEL.match(text, link.end()) if link else None
        other = _label_of(following, digits) if following else None
        if following is None or other is None:
            break
        only_space = link is not None and not link[0].strip()
        if only_space and not (is_bracketed and following[1]) and (mark or first.islower()):
            break  # "a) x"
        next_link = _AND.match(text, following.end())
        is_last = _END_OF_LIST.match(text, following.end()) or (next_link and next_link[0].strip())
        if not is_last and not following[1]:
            break
        letters.add(other)
        end = following.end()
    return tuple(sorted(letters)), end, first, mark, is_bracketed


def _or_end(text: str, start: int) -> int:
    match = _OR.match(text, start)
    end = match.end() if match else start
    while end < len(text) and text[end] == " ":
        end += 1
    return end


def _label_of(match: re.Match[str] | None, digits: bool) -> str | None:
    """Return the label of a choice that was matched, in upper case; None for a number where choices are letters."""
    if match is None:
        return None
    label = next(group for group in match.groups()[:_LABEL_GROUPS] if group)
    if label.isdigit():
        return label if digits else None
    return label.upper()


def _lists_options(lines: list[str]) -> bool:
    """Return whether lines repeat the choices of the question."""
    labels = {match[1] for line in lines if (match := re.match(r"[(\[]?([A-Z])[)\].:]\s", line))}
    return len(labels) > 1


def same_letters(gold: tuple[str, ...], answer: tuple[str, ...]) -> bool:
    """Return whether two texts choose the same, also where one of them numbers the choices in another script."""
    if set(gold) == set(answer):
        return True
    if _is_latin(gold) == _is_latin(answer):
        return False
    return {_LATIN_OF.get(label, label) for label in gold} == {_LATIN_OF.get(label, label) for label in answer}


def _is_latin(labels: tuple[str, ...]) -> bool:
    return all(label.isascii() for label in labels)


def parse_options(question: str) -> dict[str, str]:
    """Return the choices that a question lists, by their letters or numbers; empty where it lists none."""
    options: dict[str, str] = {}
    for match in _OPTION.finditer(question[-_MAX_CHARS:]):
        label = match[1]
        expected = {"A", "1"} if not options else {_next_label(list(options)[-1])}
        if label in expected:
            options[label] = match[2].strip(" *.")
        elif label in ("A", "1"):  # the list of an earlier example ends, and the question's own begins
            options = {label: match[2].strip(" *.")}
    return options if len(options) > 1 else {}


def _next_label(label: str) -> str:
    return str(int(label) + 1) if label.isdigit() else chr(ord(label) + 1)
