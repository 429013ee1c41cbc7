r"""Find the answer that a reply states in words: "The answer is 7", "**Final answer**", "#### 7", a bare last line.

Three steps: find where the answer stands (the last phrase that introduces one, else the last line), see whether the
text after it corrects it ("Wait, no: it is 8."), and take off what belongs to the sentence and not to the answer: bold
type, emoji, quotation marks, a reason, an explanation in brackets.

>>> read_statement("### Final Answer: **86**", "math")
('86', 'phrase')
>>> read_statement("So we have 80 + 6.\n86", "math")
('86', 'last line')
>>> read_statement("The answer is 85. Wait, that is wrong: it should be 86.", "math")
('86', 'phrase')
"""

import json
import re
import unicodedata

from r1kit.answers.boxes import boxed_answer, find_boxes

# All quantifiers in this file are bounded or possessive, so that each search is linear on whatever a model writes.

# "Answer", in the languages in which models are asked, and what else stands for it.
_ANSWER_WORDS = (
    "answer|ans|solution|result|antwort|lösung|ergebnis|réponse|reponse|résultat|respuesta|solución|resultado|risposta|"
    "soluzione|risultato|resposta|solução|ответ|результат|відповідь|odpowiedź|odpověď|odpoveď|antwoord|svaret|svar|"
    "vastaus|cevap|cevabı|yanıt|jawaban|jawapan|válasz|răspuns|răspunsul|απάντηση|odgovor|jibu|trả lời|đáp án|đáp số|"
    "คำตอบ|答案|答え|正解|解答|回答|答复|答|정답|답변|답|الجواب|الإجابة|الاجابة|إجابة|جواب|پاسخ|उत्तर|উত্তর|תשובה"
)
_ANSWER_WORD = re.compile(
    rf"(?<![^\W\d_])(?:{_ANSWER_WORDS})(?:wort|es|en|et|t|s|о|а)?(?![a-zà-ÿ])"
    r"|(?<![^\W\d_])(?:therefore|thus|hence|so),? (?:we (?:get|have|find|obtain)|it (?:is|equals))(?= )"
    r"|答案|答え|正解|답은",
    re.IGNORECASE,
)
# What follows the word up to the answer: "to the problem is", "(in dollars):", "** is", "は".
_LINK = re.compile(
    r"[^\n.:：=。!?]{0,60}?"
    r"(?:[:：=→]|(?<![^\W\d_])(?:is|are|was|be|becomes|equals|ist|lautet|sind|est|sont|es|son|è|sono|é|são|är|er|on|to|"
    r"adalah|ialah|là|jest|je|este|is|zijn|είναι|هي|هو|است|برابر است با|है|হল|היא|הוא|ni)(?![^\W\d_])"
    r"|是|为|為|は|が|은|는|คือ|—|–| - | of(?= [\d$\\*]))"
    r"[ \t]*(?:that|given by|equal to|simply|just|therefore|thus|as follows|exactly|indeed|:|\*\*|：)?[ \t]*[:：]?",
    re.IGNORECASE,
)
# The word introduces no answer here: "the answer choices are", "answer the question:", "is not the answer:".
_NO_INTRODUCTION = re.compile(
    r"\s*(?:choices|options|options?\b|key|sheet|format|the\b|this\b|these\b|with\b|by\b|must\b|depends|in the form)",
    re.IGNORECASE,
)
_BEFORE_NO_INTRODUCTION = re.compile(
    r"(?:\bto|\bcan(?:not)?|\bcould|\bwill|\bplease|\bnot the|\bwrong|\bincorrect|n't the|\bto find the|\bcheck the|"
    r"\bverify the|\bprevious|\bearlier|\bfirst)\s{0,3}[*_]{0,3}$",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"[\s*_]*(?:not|no\b(?! (?:real |integer |such )?(?:solutions?|answer|roots?|value))|n't|nicht|pas|non|нет|не|不|"
    r"never|incorrect|wrong|false)(?![a-z])",
    re.IGNORECASE,
)
_NEGATED_LINK = re.compile(r"\bnot\b|n't\b|不|\bне\b|\bnicht\b|\bno\b", re.IGNORECASE)
# A number at the end that is denied, or only compared with: "nicht 42.", "n'est pas 42", "less than 42".
_DENIED_NUMBER = re.compile(
    r"(?:\b(?:not|nicht|pas|no|non|não|не|нет|nie|niet|değil|never|(?:less|more|fewer|greater|smaller|larger) than|"
    r"weniger als|mehr als|moins de|plus de|at least|at most)\s{1,3}|n['’]t\s{1,3}|不是|至少|至多|超过|不到)"
    r"[$*\\({]{0,6}[-−]?\d[\d.,]{0,30}[\s.。!*$)}\\]{0,9}\Z",
    re.IGNORECASE,
)
# A whole line that only says that the answer follows: "## Answer", "**Final Answer**", "✅ Final answer:".
_HEADING = re.compile(
    rf"(?:[^\W\d_]{{1,15}}[\s'’]{{1,3}}){{0,3}}(?:{_ANSWER_WORDS})(?:t|о|а)?"
    r"(?:\s(?:finale?|definitiva|correcta?|correcte|korrekt|końcowa|is))?\s*[:：]?",
    re.IGNORECASE,
)
_FINAL = re.compile(r"final|####|endgültig|finale?\b|окончательн|最终|最終|نهائي|نهایی", re.IGNORECASE)

_CORRECTION = re.compile(
    r"(?<![^\W\d_])(?:wait|actually|no,|no -|no\.|nope|correction|scratch that|hold on|oops|sorry|apologi[sz]e|mistake|"
    r"on second thought|let me (?:re|double|correct)\w*|hmm|moment|nein|stopp|attends|attendez|en fait|erreur|espera|"
    r"en realidad|corrección|aspetta|in realtà|espere|na verdade|подождите?|стоп|на самом деле|ошибка)(?![^\W\d_])"
    r"|等等|等一下|不对|不對|其实|更正|待って|いや、|訂正|잠깐|아니",
    re.IGNORECASE,
)
_REVOCATION = re.compile(
    r"\b(?:wrong|incorrect|not (?:right|correct|it)|isn't (?:right|correct)|mistake|error|can't be|cannot be|falsch|"
    r"faux|incorrecto|sbagliat|errad|неверно|неправильно)|不对|错",
    re.IGNORECASE,
)
# "it should be 86": states an answer after a correction, or in the last line.
_WEAK_LINK = re.compile(
    r"(?:\b(?:it|this|that|which|value|total|there)(?:'s|’s| is| was| are| equals| gives| makes)|"
    r"\b(?:it |this )?(?:should|must|would|has to) (?:really |actually )?(?:be|equal)|\bwe (?:get|have|find|obtain)|"
    r"\b(?:es ist|c'est|c’est|es|è|é)\b|это|应该是|是)[ \t]*[:：]?[ \t]*(?=\S)",
    re.IGNORECASE,
)
# Words at the start of a line that say only that an answer comes: "Therefore, ...", "A: ...".
_CONCLUSION = re.compile(
    r"\s*(?:(?:so|thus|therefore|hence|finally|consequently|accordingly|in conclusion|in total|overall|altogether|also|"
    r"daher|donc|por lo tanto|quindi|portanto|итак|следовательно)(?:,\s*|\s+)|A: |因此[,，]?|所以[,，]?|故[,，]?)",
    re.IGNORECASE,
)
_IS = re.compile(r"(?<=\s)(?:is|are|was|were|ist|est|es|è)\s(?:the\s(?=[A-Z]))?")
_DOUBT = re.compile(
    r"\b(?:not|n't|cannot|can't|never|maybe|perhaps|possibly|either|or|unsure|unclear|between|at least|at most|unless|"
    r"wrong|incorrect)\b|n't\b|\?",
    re.IGNORECASE,
)
_PLAN = re.compile(r"\s*(?:let|first|next|now|then|step|we need|we must|we should|i need|to )\b", re.IGNORECASE)

_REASON = re.compile(
    r"[,;:.]?\s{1,3}(?:\(\s*)?(?:because|since|which|as (?:we|the|it|shown|required|desired|expected|stated)|so that|"
    r"weil|denn|car|parce|puisque|porque|pues|perché|perche|так как|потому)\b"
    r"|\s*[,，;；]?\s*(?:因为|因為|なぜなら|لأن|زیرا)",
    re.IGNORECASE,
)
_EXPLANATION_LINE = re.compile(
    r"[\s*_#>]*(?:\(|（|because|since|explanation|reason(?:ing)?|note|proof|check|verification|justification|as |here,|"
    r"this is|erklärung|begründung|explication|explicación|пояснение|解释|解析|理由|说明)",
    re.IGNORECASE,
)
# A full stop that ends a sentence: not that of a number, nor of "St." or "U.S.".
_SENTENCE_END = re.compile(r"(?<![A-Z][a-z])(?<!\b[A-Z])[.!](?=\s+[\"“(*]?[A-ZÀ-ÞА-Я])|[。！]\s*|(?<=\w)\.(?=\s*\n)")
# Brackets after the answer, which may hold an explanation.
_LAST_BRACKETS = re.compile(r"(?<=[^\s(（])\s{0,3}[(（]([^()（）\n]{1,400})[)）][.\s]*\Z")
_EXPLAINS = re.compile(r"[^\W\d_]{3}|=|≈|\bor\b|i\.e")
_LINE_MARKER = re.compile(r"\s*(?:[>#]{1,6}\s*|[-*•+–—→]\s+|=>\s*|⇒\s*|\d{1,2}[.)]\s+(?=[*$\\]))*")
_HTML = re.compile(r"</?(?:b|strong|i|em|u|p|br|span|code|mark|center)\s{0,3}/?>", re.IGNORECASE)
_QUOTES = ('""', "''", "“”", "‘’", "„“", "„”", "«»", "「」", "『』", "``", "《》", "〈〉", "【】")
_MATH_MARKS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"))
_FENCE_LINE = re.compile(r"\s*(?:`{3,}|~{3,})[^`\n]{0,40}")
_RULE_LINE = re.compile(r"\s*(?:[-*_=]{3,}|\$\$|\\\[|\\\]|\\begin\{\w{1,12}\*?\}|\\end\{\w{1,12}\*?\}|[{}])\s*")
_JSON_ANSWER = re.compile(
    r'"(?:final[ _]?)?(?:answer|choice|result|solution)"\s{0,9}:\s{0,9}'
    r'("(?:[^"\\\n]|\\.){0,300}+"|\[[^\]\[\n]{0,300}+\]|[^,}\[\n]{0,300}+)',
    re.I,
)
_END_TOKENS = re.compile(r"<\|[\w▁]{1,30}\|>|<｜[\w▁]{1,30}｜>|</s>|<eos>|<end_of_turn>")
# Tags in which some models write their reply; R1's own answer tags are read before (extract.py).
_CONTAINER = re.compile(
    r"<\|begin_of_solution\|>|<\|start_response\|>|\[begin final response\]|<(?:final_answer|finalanswer|final|"
    r"solution|response|output|answer|boxed)>",
    re.IGNORECASE,
)
_CONTAINER_END = re.compile(
    r"<\|end_of_solution\|>|<\|end_response\|>|\[end final response\]|</(?:final_answer|finalanswer|final|solution|"
    r"response|output|answer|boxed)>",
    re.IGNORECASE,
)
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*|__([^_\n]{1,200})__")
_NUMBER = re.compile(
    r"(?<![\w.,])[-−+]?[$€£]?\d[\d,]*+(?:\.\d++)?(?:/\d++)?(?:\s?(?:%|\\%))?(?![\w])|\$[^$\n]{1,100}\$"
)
# A computation with its result: "1500 - 1423 = 77", "5 eggs * 3 = ".
_COMPUTATION = re.compile(r"[-−+*/×÷·x%]\s?[$€£(]?\d[\d.,]*+[^=\n]{0,40}=\s*[$€£\\-]{0,3}\d")
_SEVERAL_EQUATIONS = re.compile(r"=[^=\n]{0,60}(?:\b(?:and|or)\b|[,;])\s[^=\n]{0,60}=")
# The result behind an equals sign: "= $64 for the glasses".
_NUMBER_FIRST = re.compile(r"\s*(?:\$\s*)?([-−]?[$€£]?\d[\d,]*+(?:\.\d++)?(?:/\d++)?(?:\s?(?:%|\\%))?)(?![\w^*/+])")
_WORD = re.compile(r"[^\W\d_]{3,}")
_LATEX_WORD = re.compile(r"\\[A-Za-z]+|\\(?:text|mathrm|mbox|textbf|operatorname)\s?\{[^{}\n]{0,80}\}")
# An answer is stated at the end of a reply: this many of its last characters are searched.
_MAX_CHARS = 20_000
# So many phrases are tried, from the last one on.
_MAX_TRIES = 12
# Longest line that may be an answer by itself, in characters, and a text's most words.
_LONGEST_LINE = 300
_MOST_WORDS = 12


def clean_reply(reply: str) -> str:
    """Return a reply without special tokens, and without the tags in which a model writes its whole reply."""
    text = _END_TOKENS.sub("", reply) if "<" in reply else reply
    start = 0
    for match in _CONTAINER.finditer(text):
        start = match.end()
    if start and text[start:].strip():
        end = _CONTAINER_END.search(text, start)
        text = text[start : end.start() if end else len(text)]
    return text.strip()


def read_block(block: str, checker: str, lenient: bool = False) -> str:
    """Return the answer in an answer block: what it states, else all of it but markup and explanations.

    `lenient`: the number in a sentence counts as well ("She makes $18 a day.").
    """
    stated = read_statement(block, checker, in_block=True)
    if stated is not None:
        return stated[0]
    text = _drop_explanation_lines(_join_assignments(block))
    value = clean_value(text, checker)
    if lenient and checker == "math" and not _is_bare(value, checker):
        return _read_sentence(text) or value
    return value


def read_statement(reply: str, checker: str, in_block: bool = False) -> tuple[str, str] | None:
    """Return the answer that a reply states and the form in which it does: box, phrase or last line; None without one.

    ("", "none"): the reply takes back what it has stated, and states nothing else. `in_block`: the reply is the content
    of an answer block, whose last line is nothing special.
    """
    if len(reply) > _MAX_CHARS:
        box = boxed_answer(reply)
        reply = reply[-_MAX_CHARS:]
        if box and not find_boxes(reply):
            return box.strip(), "box"
    boxes = find_boxes(reply)
    if boxes:
        after = reply[boxes[-1].end :]
        changed = _read_change(after, checker)
        if changed is not None:
            return changed
        box = boxed_answer(reply)
        if box is not None and box.strip():
            return (box.strip() if checker == "math" else clean_value(box, checker) or box.strip()), "box"
    phrase = _read_phrases(reply, checker)
    if phrase is not None:
        return phrase
    if in_block:
        return None
    line = _read_last_line(reply, checker)
    return (line, "last line") if line else None


def _read_change(after: str, checker: str) -> tuple[str, str] | None:
    """Return the answer that the text after an answer states instead of it; ("", "none") where it only takes it back.

    None where the answer stands.
    """
    corrections = list(_CORRECTION.finditer(after))
    if not corrections:
        phrase = _read_phrases(after, checker) if _FINAL.search(after) else None
        return phrase if phrase and phrase[0] else None
    tail = after[corrections[-1].end() :]
    phrase = _read_phrases(tail, checker)
    if phrase is not None:
        return phrase
    weak = list(_WEAK_LINK.finditer(tail))
    for match in weak[: -_MAX_TRIES - 1 : -1]:
        value = clean_value(_value_at(tail, match.end()), checker)
        if value and not _NEGATION.match(value) and _is_bare(value, checker):
            return value, "phrase"
    bare = clean_value(tail.strip(" \n,:;-—–"), checker)
    if bare and _is_bare(bare, checker) and len(bare) <= 60:
        return bare, "phrase"
    return ("", "none") if _REVOCATION.search(after) else None


def _read_phrases(reply: str, checker: str) -> tuple[str, str] | None:
    """Return the answer after the last phrase that introduces one, with the form; ("", "none") where it is taken back.

    None where no phrase introduces an answer.
    """
    statements = _find_phrases(reply, checker)
    if not statements:
        return None
    start, end, value = statements[-1]
    changed = _read_change(reply[end:], checker)
    if changed is not None:
        return changed
    # Two answers one after the other, without a word between them, are two answers.
    if len(statements) > 1:
        previous_start, previous_end, previous = statements[-2]
        between = reply[previous_end:start]
        is_same_phrase = reply[start : start + 4].lower() == reply[previous_start : previous_start + 4].lower()
        if is_same_phrase and previous != value and len(between) < 30 and not re.search(r"[^\W\d_]{5}|\d", between):
            value = f"{previous}, {value}"
    return value, "phrase"


def _find_phrases(reply: str, checker: str) -> list[tuple[int, int, str]]:
    """Return what phrases of a reply introduce: where the phrase starts, where its answer ends, and the answer."""
    statements: list[tuple[int, int, str]] = []
    for match in list(_JSON_ANSWER.finditer(reply))[-2:]:
        value = _json_value(match[1])
        if value:
            statements.append((match.start(), match.end(), value))
    if statements:
        return statements
    # From the end on, until two are found: no more are used.
    for match in list(_ANSWER_WORD.finditer(reply))[: -_MAX_TRIES - 1 : -1]:
        statement = _statement_of(reply, match, checker)
        # "The answer is: the final answer is 7": the inner phrase is nearer to the answer, and was found before.
        if statement is None or (statements and statement[1] > statements[0][0]):
            continue
        statements.insert(0, statement)
        if len(statements) == 2:
            break
    line_start = reply.rfind("\n####") + 1 if "\n####" in reply else (0 if reply.startswith("####") else -1)
    if line_start >= 0:
        line = reply[line_start:].partition("\n")[0].lstrip("# ")
        value = clean_value(line, checker)
        is_last = not statements or line_start > statements[-1][1]
        if value and is_last and not _HEADING.fullmatch(value):
            statements.append((line_start, line_start + 4 + len(line), value))
    return statements


def _statement_of(reply: str, match: re.Match[str], checker: str) -> tuple[int, int, str] | None:
    """Return where a phrase such as "the answer is" starts, where its answer ends, and the answer; None without one."""
    start = _value_start(reply, match)
    if start is None:
        return None
    text = _value_at(reply, start)
    if _NEGATION.match(text) or (checker == "math" and _is_no_value(text)):
        return None
    value = clean_value(text, checker)
    if checker == "math" and value and not _is_bare(value, checker):
        value = _read_sentence(text) or value
    if not value:
        return None
    # Where the value was not changed, what follows it in its sentence may still correct it.
    index = reply.find(value, start, start + 3000)
    end = index + len(value) if index >= 0 else start + len(text)
    return match.start(), end, value


def _is_no_value(text: str) -> bool:
    """Return whether a text ends in a number that is denied or only compared with, or in a formula that was cut."""
    return text.count("{") > text.count("}") or bool(_DENIED_NUMBER.search(text))


def _json_value(text: str) -> str:
    """Return a value of a JSON object as an answer."""
    try:
        value = json.loads(text.strip())
    except ValueError:
        return text.strip().strip('"')
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return str(value).strip() if value is not None else ""


def _value_start(reply: str, match: re.Match[str]) -> int | None:
    """Return where the answer starts that a word such as "answer" introduces; None where it introduces none."""
    word_end = match.end()
    if " " in match[0] and match[0].lower().startswith(("therefore", "thus", "hence", "so")):
        return word_end
    line_start = reply.rfind("\n", 0, match.start()) + 1
    line_end = reply.find("\n", word_end)
    if line_end < 0:
        line_end = len(reply)
    if line_end - line_start < 120:
        line = _plain_line(reply[line_start:line_end])
        if _HEADING.fullmatch(line):
            return line_end if _is_introducing_heading(line) else None
    if _NO_INTRODUCTION.match(reply, word_end):
        return None
    if _BEFORE_NO_INTRODUCTION.search(reply[max(0, match.start() - 30) : match.start()]):
        return None
    link = _LINK.match(reply, word_end)
    if link is None or _NEGATED_LINK.search(link[0]):
        return None
    return link.end()


def _is_introducing_heading(line: str) -> bool:
    return not _NO_INTRODUCTION.search(" " + line) and len(line.split()) <= 6


def _plain_line(line: str) -> str:
    """Return a line without its marker, bold type and emoji."""
    line = _LINE_MARKER.sub("", line, count=1)
    return _strip_symbols(re.sub(r"[*_`]", "", _HTML.sub("", line)))


def _value_at(reply: str, start: int) -> str:
    """Return the text of the answer that starts at `start`: the rest of its line, else the next line with a text."""
    line_end = reply.find("\n", start)
    first = reply[start : line_end if line_end >= 0 else len(reply)]
    if _strip_symbols(first.strip(" *_:：#$[\\`")).strip() or line_end < 0:
        return first
    following = reply[line_end + 1 : line_end + 1 + 2000]
    joined = _join_assignments(following)
    if joined != following:
        return joined
    for line in following.split("\n"):
        if line.strip() and not _RULE_LINE.fullmatch(line) and not _FENCE_LINE.fullmatch(line):
            return line
    return ""


# "- 5" is a number, and no item of a list.
_NEGATIVE = re.compile(r"[-−] ?\d[\d.,]*\s*\Z")
# Bold type; between two operands ** is a power.
_BOLD_START = re.compile(r"(?<![\w)\]}])\*\*(.+?)\*\*", re.DOTALL)
# "5!", "n/n!", "(n-1)!": no exclamation.
_FACTORIAL = re.compile(r"(?:(?<![A-Za-z])[A-Za-z]|\d|[)}])!+\s*\Z")


def clean_value(text: str, checker: str) -> str:
    r"""Return an answer without what belongs to its sentence: markup, emoji, quotes, a reason, a full stop.

    >>> clean_value("✅ **86** (since 80 + 6 = 86).", "math")
    '86'
    """
    text = _HTML.sub("", text[: 20 * _LONGEST_LINE]).strip()
    if "```" in text or "~~~" in text:
        text = "\n".join(line for line in text.split("\n") if not _FENCE_LINE.fullmatch(line)).strip()
    if checker in ("math", "exact", "choice"):
        end = _SENTENCE_END.search(text)
        if end and end.start() > 0:
            text = text[: end.start()]
        reason = _REASON.search(text)
        if reason and reason.start() > 0:
            text = text[: reason.start()]
    for _ in range(4):
        before = text
        if not (checker == "math" and _NEGATIVE.match(text)):
            text = _LINE_MARKER.sub("", text, count=1)
        text = _strip_symbols(text)
        text = _BOLD_START.sub(r"\1", text)
        text = re.sub(r"^\*{1,3}(?=\S)|(?<=\S)\*{1,3}$|^_{1,2}(?=[^_\s{])|(?<=[^_\s}])_{1,2}$", "", text).strip()
        if checker == "math" and _FACTORIAL.search(text):
            text = _strip_quotes(text)
            text = _strip_math(text)
            break
        text = text.rstrip(".。!！,，;；:：\\ \n").strip() if not text.endswith(("\\,", "\\!")) else text[:-2]
        text = _strip_quotes(text)
        text = _drop_last_brackets(text)
        text = _strip_math(text)
        if text == before:
            break
    return text


def _drop_last_brackets(text: str) -> str:
    """Return a text without an explanation in brackets at its end; brackets of a formula stay."""
    brackets = _LAST_BRACKETS.search(text)
    if not brackets or brackets.start() == 0 or text[: brackets.start()].endswith(("\\left", "\\big", "\\Big")):
        return text
    explains = _EXPLAINS.search(_LATEX_WORD.sub(" ", brackets[1]))
    return text[: brackets.start()] if explains else text


def _strip_symbols(text: str) -> str:
    """Return a text without emoji, check marks and white space at its ends."""
    start, end = 0, len(text)
    while start < end and _is_decoration(text[start]):
        start += 1
    while end > start and _is_decoration(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_decoration(character: str) -> bool:
    """Return whether a character is white space or an emoji, and no part of an answer such as a degree sign."""
    if character < "\u2190":
        return character.isspace() or character == "\u200b"
    # Arrows and mathematical symbols are of other categories, but for a few that are written before answers.
    return unicodedata.category(character) in ("So", "Mn", "Cf") or character in "→⇒►▶➡"


def _strip_quotes(text: str) -> str:
    """Return a text without the quotation marks around all of it."""
    for quotes in _QUOTES:
        if len(text) > 2 and text[0] == quotes[0] and text[-1] == quotes[1] and text.count(quotes[0], 1, -1) == 0:
            return text[1:-1].strip()
    return text


def _strip_math(text: str) -> str:
    r"""Return a text without the dollars, and the \text{}, around all of it."""
    for opening, closing in _MATH_MARKS:
        inner = text[len(opening) : -len(closing)]
        if (
            len(text) > len(opening) * 2
            and text.startswith(opening)
            and text.endswith(closing)
            and opening not in inner
        ):
            return inner.strip()
    match = re.fullmatch(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox|operatorname|boxed|fbox)\s?\{([^{}]*)\}", text)
    return match[1].strip() if match else text


def _drop_explanation_lines(text: str) -> str:
    """Return a text up to its first line that only explains the answer before it."""
    lines = text.strip().split("\n")
    kept = [lines[0]]
    for line in lines[1:]:
        if _EXPLANATION_LINE.match(line):
            break
        kept.append(line)
    return "\n".join(kept).strip()


def _join_assignments(text: str) -> str:
    """Return lines such as "x = 7" and "y = 8" as one list; any other text as it is."""
    lines = [_LINE_MARKER.sub("", line, count=1).strip().rstrip(",;.") for line in text.strip().split("\n")]
    lines = [line for line in lines if line]
    if not 2 <= len(lines) <= 10:
        return text
    if all(re.fullmatch(r"\$?\\?[A-Za-z]\w{0,8}\s*=[^=\n]{1,60}", line) for line in lines):
        return ", ".join(lines)
    return text


def _read_last_line(reply: str, checker: str) -> str:
    """Return the answer in the last line of a reply, if it is one by itself or ends in one; else an empty text."""
    lines = [line for line in reply.split("\n") if line.strip()]
    while lines and (_RULE_LINE.fullmatch(lines[-1]) or _FENCE_LINE.fullmatch(lines[-1])):
        lines.pop()
    if not lines or lines[-1].rstrip().endswith((":", "：", "?", "？")):
        return ""
    if len(lines) > 1 and lines[-1].lstrip().startswith(("(", "（")) and _EXPLANATION_LINE.match(lines[-1]):
        before = clean_value(lines[-2], checker)
        if lines[-1].rstrip(". ").endswith((")", "）")) and _is_bare(before, checker):
            return before
    line = lines[-1]
    if len(line) > 4 * _LONGEST_LINE or (checker == "math" and _is_no_value(line)):
        return ""
    conclusion = _CONCLUSION.match(line)
    line = line[conclusion.end() :] if conclusion else line
    changed = _read_change(line, checker)
    if changed is not None:
        return changed[0]
    value = clean_value(line, checker)
    first_link = _WEAK_LINK.match(line)
    if first_link and checker != "math":  # "It is Paris."
        named = clean_value(line[first_link.end() :], checker)
        return named if named and not _NEGATION.match(named) and _is_bare(named, checker) else ""
    # "The rest, which is 17": two words that a clause was cut from are no answer.
    is_fragment = checker == "math" and not re.search(r"[\d$\\]", value) and len(line.split()) > 4
    if checker == "exact" and line.rstrip().endswith(".") and _IS.search(line):
        is_fragment = True
    if _is_bare(value, checker) and not is_fragment:
        return value if len(value) <= _LONGEST_LINE else ""
    sentence = re.split(r"(?<=[.!?。])\s+(?=[A-ZÀ-ÞА-Я*\"(])", line.strip())[-1]
    is_computed = checker == "math" and bool(_COMPUTATION.search(sentence))
    is_finished = re.search(r"[.!。*$)]\s*\Z", sentence) or "=" in sentence
    if not is_computed and (_PLAN.match(sentence) or not is_finished):
        return ""
    weak = list(_WEAK_LINK.finditer(sentence))
    if checker == "exact" and not weak:  # "The capital of France is Paris."
        weak = [] if _DOUBT.search(sentence) else list(_IS.finditer(sentence))
    if weak:
        value = clean_value(sentence[weak[-1].end() :], checker)
        if value and not _NEGATION.match(value) and _is_bare(value, checker):
            return value
    return _read_sentence(sentence) if checker == "math" else ""


def last_paragraph(reply: str) -> str:
    """Return the last lines of a reply, from its last empty line on, without a fence around them."""
    lines = reply.strip().split("\n")
    lines = [line for line in lines if not _FENCE_LINE.fullmatch(line)]
    start = max((i + 1 for i, line in enumerate(lines) if not line.strip()), default=0)
    return "\n".join(lines[start:]).strip()


def _read_sentence(sentence: str) -> str:
    """Return the number that a sentence tells, if it tells one only: "She makes $18 a day"; else an empty text."""
    if len(sentence) > 2 * _LONGEST_LINE or "\n" in sentence.strip():
        return ""
    before, equals, after = sentence.rpartition("=")
    result = _NUMBER_FIRST.match(after) if equals else None
    if _SEVERAL_EQUATIONS.search(sentence):
        return ""
    if result and _COMPUTATION.search(sentence) and not _DOUBT.search(before):
        return result[1]
    if _DOUBT.search(sentence):
        return ""
    bold = [match[1] or match[2] for match in _BOLD.finditer(sentence)]
    if len(bold) == 1 and _is_bare(clean_value(bold[0], "math"), "math") and re.search(r"[\d$\\]", bold[0]):
        return clean_value(bold[0], "math")
    if result:
        return result[1]
    numbers = [match[0] for match in _NUMBER.finditer(sentence)]
    return numbers[0] if len(numbers) == 1 else ""


def _is_bare(value: str, checker: str) -> bool:
    """Return whether a text is an answer by itself and no sentence."""
    if not value or len(value) > _LONGEST_LINE or "\n" in value.strip():
        return False
    if checker != "math":
        return len(value.split()) <= _MOST_WORDS
    words = _WORD.findall(_LATEX_WORD.sub(" ", value))
    if not words:
        return bool(re.search(r"\w", value))
    if len(_NUMBER.findall(value)) > 1:
        return False
    starts_with_number = re.match(r"[-−+$€£\\(]{0,3}[\dA-Za-z]{0,3}\d", value)
    return len(words) <= 2 if starts_with_number else len(value.split()) <= 2
