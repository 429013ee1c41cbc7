"""The words by which models introduce, deny, correct and explain answers, in the languages in which they are asked.

All quantifiers are bounded or possessive, so that each search is linear on whatever a model writes.
"""

import re

# "Answer", and what else stands for it.
ANSWER_WORDS = (
    "answer|ans|solution|result|antwort|lösung|ergebnis|réponse|reponse|résultat|respuesta|solución|resultado|risposta|"
    "soluzione|risultato|resposta|solução|ответ|результат|відповідь|odpowiedź|odpověď|odpoveď|antwoord|svaret|svar|"
    "vastaus|cevap|cevabı|yanıt|jawaban|jawapan|válasz|răspuns|răspunsul|απάντηση|odgovor|jibu|trả lời|đáp án|đáp số|"
    "คำตอบ|答案|结果|結果|答え|正解|解答|回答|答复|答|정답|답변|답|الجواب|الإجابة|الاجابة|إجابة|جواب|پاسخ|उत्तर|উত্তর|תשובה"
)
# Where an answer may be introduced: by such a word in any of its forms, or by "therefore we get". Chinese, Japanese and
# Korean words may stand directly behind a letter.
ANSWER_WORD = re.compile(
    rf"(?<![^\W\d_])(?:{ANSWER_WORDS})(?:wort|es|en|et|t|s|о|а)?(?![a-zà-ÿ])"
    r"|(?<![^\W\d_])(?:therefore|thus|hence|so),? (?:we (?:get|have|find|obtain)|it (?:is|equals))(?= )"
    r"|答案|结果|結果|答え|正解|답은",
    re.IGNORECASE,
)
# "Is" between the word "answer" and the answer.
LINK_VERBS = (
    "is|are|was|be|ist|lautet|sind|est|sont|es|son|è|sono|é|são|är|er|on|adalah|ialah|là|jest|je|este|είναι|هي|هو|"
    "است|है|হল|היא|הוא|ni"
)
# What stands between such a word and the answer: "to the problem is", "(in dollars):", "** is", "は".
LINK = re.compile(
    r"[^\n.:：=。!?]{0,60}?"
    rf"(?:[:：=→]|(?<![^\W\d_])(?:{LINK_VERBS}|becomes|equals|to|zijn|برابر است با)(?![^\W\d_])"
    r"|是|为|為|は|が|은|는|คือ|—|–| - | of(?= [\d$\\*]))"
    r"[ \t]*(?:that|given by|equal to|simply|just|therefore|thus|donc|also|daher|somit|quindi|portanto|as follows|"
    r"exactly|indeed|actually|really|in fact|probably|(?:most )?likely|:|\*\*|：)?[ \t]*[:：]?",
    re.IGNORECASE,
)
# Where the word introduces no answer, by what follows it ("the answer choices are", "answer the question:") and by what
# stands before it ("is not the answer:", "my first answer was").
NO_INTRODUCTION = re.compile(
    r"\s*(?:choices|options|options?\b|key|sheet|format|the\b|this\b|these\b|with\b|by\b|must\b|depends|in the form)",
    re.IGNORECASE,
)
BEFORE_NO_INTRODUCTION = re.compile(
    r"(?:\bto|\bno|\bcan(?:not)?|\bcould|\bwill|\bplease|\bnot the|\bwrong|\bincorrect|n't the|\bto find the|"
    r"\bcheck the|\bverify the|\bprevious|\bearlier|\bfirst)\s{0,3}[*_]{0,3}$",
    re.IGNORECASE,
)
# A whole line that only says that the answer follows: "## Answer", "**Final Answer**", "✅ Final answer:".
HEADING = re.compile(
    rf"(?:[^\W\d_]{{1,15}}[\s'’]{{1,3}}){{0,3}}(?:{ANSWER_WORDS})(?:t|о|а)?"
    r"(?:\s(?:finale?|definitiva|correcta?|correcte|korrekt|końcowa|is))?\s*[:：]?",
    re.IGNORECASE,
)
# What marks an answer as the last word on it, so that it replaces an earlier one.
FINAL = re.compile(r"final|####|endgültig|finale?\b|окончательн|最终|最終|نهائي|نهایی", re.IGNORECASE)

# What denies the word behind it. "No solution" is an answer.
DENIAL_WORDS = (
    r"\bnot\b|n['’]t\b|\bno\b(?=\s)(?! (?:real |integer |such |exact )?(?:solutions?|answer|roots?|value))|\bnever\b|"
    r"\bnicht\b|\bkeine?\w?\b|\bpas\b|\bnon\b|\bnão\b|\bне(?:т|\b)|\bnie\b|\bniet\b|\bgeen\b|\binte\b|\bikke\b|"
    r"\bbukan\b|\bkhông\b|不是|不为|不為|并非|並非|ليس|ليست|אינו|אינה|לא"
)
DENIAL = re.compile(DENIAL_WORDS, re.IGNORECASE)
# Languages that deny behind the complement: "42ではありません", "42가 아닙니다", "42 değil".
DENIAL_BEHIND = re.compile(
    r"(?:では|じゃ)(?:な|あり)|아니|아닙|نیست|नहीं|নয়|değil|\bis (?:not|wrong|incorrect)\b|错误|不对"
)
# A number behind these words is no answer: the answer is only compared with it ("less than 42"), or computed from it
# ("half of 42") ...
COMPARISON_WORDS = (
    r"\b(?:(?:less|more|fewer|greater|smaller|larger|bigger|higher|lower|rather|other) than|anything but|all but|"
    r"except|none of|half of|twice|under|over|below|above|at (?:least|most)|up to|"
    r"(?:weniger|mehr|größer|kleiner) als|mindestens|höchstens|(?:moins|plus|supérieur|inférieur) (?:de|à)|"
    r"au (?:moins|plus)|"
    r"(?:más|menos|mais) de|(?:al|pelo) menos|(?:più|meno) di|almeno|meer dan|minder dan|ten minste|"
    r"(?:более|менее|больше|меньше)(?: чем)?|lebih dari|kurang dari)\b|"
    r"ningun[oa]s? de|aucune? d[eu]s?|负|負|至少|至多|最多|超过|超過|不到|少于|"
    r"多于|大于|小于|不超过|بیش از|کمتر از|حداقل|حداکثر|أكثر من|"
    r"أقل من|على الأقل"
)
# ... and so is a number before these ("42以上" is "at least 42").
COMPARISON_BEHIND = r"\s{0,3}(?:個|人|개|명|つ)?\s{0,3}(?:以上|以下|未満|未满|이상|이하|미만|से (?:अधिक|कम))"
# "A is wrong", "A can be proved": the letter is what the sentence is about, not what it chooses.
STATEMENT_VERB = re.compile(
    r"[.):]?\s{0,3}(?:is|are|was|were|isn't|aren't|can|cannot|does|do|has|have|would|could|ist|sind|est|sont|es|son)\b",
    re.IGNORECASE,
)
# A text that begins with a denial: "not 42", "incorrect".
NEGATION = re.compile(rf"[\s*_]{{0,9}}(?:{DENIAL_WORDS}|不|(?:incorrect|wrong|false)(?![a-z]))", re.IGNORECASE)
# What shows that a sentence states no answer for certain: "not", "maybe", "or", "?".
DOUBT = re.compile(
    rf"{DENIAL_WORDS}|\b(?:cannot|maybe|perhaps|possibly|either|or|unsure|unclear|between|unless|wrong|"
    r"incorrect|almost)\b|\?",
    re.IGNORECASE,
)
# The sign of a number in words, "is minus 12", and what stands before such a sign. Elsewhere the word is an operator,
# as in "the total minus 12".
SIGN_WORD = re.compile(
    r"(?<![^\W\d_])(?:minus|negative|moins|menos|meno|минус)\s{1,3}(?=\$?\\?[\d(])|(?:负|負|マイナス)\s?(?=\$?\d)",
    re.IGNORECASE,
)
BEFORE_SIGN_WORD = re.compile(
    r"(?:\A|[.:：=\n(*$]\s{0,3}|(?<=\w)['’]s\s{1,3}|[\u3000-\u9fff]|\b(?:is|was|are|to|of|at|on|equals|ist|est|es|è|é|это)\s{1,3})\Z",
    re.IGNORECASE,
)
# What states a value once more: "1/2, or 50%", "2√3 cm, approximately 3.46 cm".
RESTATEMENT = re.compile(
    r"(?:[,;]?\s{1,3}(?=or\b|i\.e|that is|which is|meaning|approx|about|roughly|around|\\approx|≈)"
    r"|\s{1,3}(?P<bracket>\())"
    r"(?:(?:or|i\.e\.|that is|which is|meaning)(?:\s(?:equivalently|simply))?[,:]?\s{1,3}|=\s?)?"
    r"(?P<is_rounded>(?:(?:approximately|approx\.?|about|roughly|around)\s{1,3}|(?:\\approx|≈)\s{0,3})?)"
    r"(?:\$|\\\()?(?P<value>[-−]?[\d.,/]*\d(?:\s?\\?%)?)(?:\$|\\\))?(?(bracket)\))(?=[^\w+*/^=]|\Z)",
    re.IGNORECASE,
)
# "There are 17 primes less than 60": the bound belongs to what is counted.
COUNT_OF_BOUNDED = re.compile(
    r"(?:[^\W\d_]{2,12},? ){0,2}there (?:are|is) (?:exactly |only |a total of )?(?P<count>\d[\d,]*+)\s"
    r"(?:[a-z-]{3,20} ){1,6}(?:that are |which are )?"
    r"(?:(?:less|greater|smaller|larger|more|fewer) than|below|above|under|over|up to|between)\s[^.]{1,40}\.?\Z",
    re.IGNORECASE,
)
# What announces a correction: "wait", "actually", "no,".
CORRECTION_WORDS = (
    r"(?<![^\W\d_])(?:wait|actually|no[,.:;!]|no -|nope|correction|scratch that|hold on|oops|sorry|apologi[sz]e|"
    r"mistake|on second thought|let me (?:re-?(?:check|do|calc|comput|consider|think|evaluat|examin|verif|work|"
    r"visit)|double|"
    r"correct)\w*|hmm|moment|nein|stopp|attends|attendez|en fait|erreur|espera|"
    r"en realidad|corrección|aspetta|in realtà|espere|na verdade|подождите?|стоп|на самом деле|ошибка)(?![^\W\d_])"
    r"|等等|等一下|不对|不對|其实|更正|待って|いや、|訂正|잠깐|아니[,，]"
)
CORRECTION = re.compile(CORRECTION_WORDS, re.IGNORECASE)
# What takes an answer back without stating another one.
REVOCATION = re.compile(
    r"\b(?:wrong|incorrect|not (?:right|correct|it)|isn't (?:right|correct)|mistake|error|can't be|cannot be|falsch|"
    r"faux|incorrecto|sbagliat|errad|неверно|неправильно)|不对|错",
    re.IGNORECASE,
)
# "it should be 86": states an answer after a correction, or in the last line.
WEAK_LINK = re.compile(
    r"(?:\b(?:it|this|that|which|value|total|there)(?:'s|’s| is| was| are| equals| gives| makes)|"
    r"\b(?:it |this )?(?:should|must|would|has to) (?:really |actually )?(?:be|equal)|\bwe (?:get|have|find|obtain)|"
    r"\b(?:es ist|c'est|c’est|es|è|é)\b|это|应该是|是)[ \t]*[:：]?[ \t]*(?=\S)",
    re.IGNORECASE,
)
# "is" in "The length of AB is 5.": the link between a quantity and its value in a sentence (checker `math`).
VALUE_LINK = re.compile(
    r"(?<=\s)(?:is|are|equals|ist|beträgt|est|es|è|é|är|er|jest|wynosi|là|это|равно|равна|равен|هو|هي)\s{1,3}"
    r"(?:(?:exactly|equal to|simply|therefore|thus|given by|about|approximately|roughly|around)\s)?"
    r"(?=[-−]?[\d$\\(]|(?:infinity|zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b)"
)
# Words at the start of a line that say only that an answer comes: "Therefore, ...", "A: ...".
CONCLUSION = re.compile(
    r"\s*(?:(?:so|thus|therefore|hence|finally|consequently|accordingly|in conclusion|in total|overall|altogether|also|"
    r"daher|donc|por lo tanto|quindi|portanto|итак|следовательно)(?:,\s*|\s+)|A: |因此[,，]?|所以[,，]?|故[,，]?|"
    r"したがって、?|よって、?|따라서,?\s?|بنابراین،?\s?|لذلك،?\s?)",
    re.IGNORECASE,
)
# "is" in "The capital of France is Paris", "was developed by" in "The theory was developed by Einstein": the link
# before a name in a sentence (checker `exact`).
NAME_LINK = re.compile(
    r"(?<=\s)(?:is|are|was|were|ist|war|est|es|è|—)\s(?:the\s(?=[A-Z])|(?:called|named)\s|"
    r"\w{2,15}(?:ed|n) (?:by|in|as|on)\s)?"
    r"|(?:(?<=\w)['’]s|\bis) (?:called|named)\s|(?<=\w)\sin\s(?=\d{4}\b)"
    r"|(?<=[\u4e00-\u9fff])是|(?<=[\u3040-\u30ff\u4e00-\u9fff])は|(?<=[\uac00-\ud7a3])[은는]\s"
)
# The start of a line that says what is to be done, and states no result: "First, ...", "We need ...".
PLAN = re.compile(
    r"\s*(?:let|suppose|assume|imagine|consider|first|next|now|then|step|we need|we must|we should|i need|to )\b",
    re.IGNORECASE,
)
# Where the reason behind an answer begins: "86, because 80 + 6 = 86".
REASON = re.compile(
    r"[,;:.]?\s{1,3}(?:\(\s*)?(?:(?:because|since|which|as (?:we|the|it|shown|required|desired|expected|stated)|"
    r"so that|or equivalently|weil|denn|car|parce|puisque|porque|pues|perché|perche|так как|потому)\b|i\.e\.)"
    r"|\s*[,，;；]?\s*(?:因为|因為|なぜなら|لأن|زیرا)",
    re.IGNORECASE,
)
# A line that only explains the answer before it: "(since 80 + 6 = 86)".
EXPLANATION_LINE = re.compile(
    r"[\s*_#>]*(?:\(|（|because|since|explanation|reason(?:ing)?|note|proof|check|verification|justification|as |here,|"
    r"this is|erklärung|begründung|explication|explicación|пояснение|解释|解析|理由|说明)",
    re.IGNORECASE,
)
# A line behind an answer that remarks on it: "Note: ...", "Verification: ...".
NOTE = re.compile(
    r"[\s*_(>]{0,9}(?:note|remark|p\.?s|anmerkung|hinweis|remarque|nota|verification|check(?:ing)?|probe|"
    r"vérification|comprobación|проверка|验证|检验|検算|примечание|注意|注|备注|参考)[^\n]{0,9}[:：]",
    re.IGNORECASE,
)
# A line behind an answer that is headed as its reason: "Explanation: ...".
REASON_LINE = re.compile(
    r"[\s*_(>#-]{0,9}(?:explanation|reason(?:ing)?|justification|rationale|confidence|erklärung|begründung|explication|"
    r"explicación|spiegazione|explicação|пояснение|解释|解析|理由|说明)[^\n]{0,9}[:：]",
    re.IGNORECASE,
)
# A line that goes on with the sentence of the formula before it: "where $k$ is an integer".
CONTINUATION = re.compile(r"\s{0,9}(?:where|with|for (?:all|any|every)|wobei|où|donde|其中)\s?(?=[\s$\\])")
# A last paragraph that offers more help.
OFFER = re.compile(
    r"[\W_]{0,9}(?:(?:please )?(?:let me know|feel free)|(?:i )?hope (?:this|that|it) |"
    r"(?:if|should) you [^.\n]{0,40}(?:question|help|doubt|clarif|expla|detail|assist|like me|would like)|"
    r"would you like|do you (?:want|need|have)|is there anything|happy to help|lass mich wissen|wenn du|"
    r"falls (?:du|sie)|n['’]hésite|si tu|si vous|avísame|si (?:necesitas|tienes)|se (?:você|hai)|если (?:у вас|"
    r"хотите|вам)|"
    r"如果(?:你|您)|如有|希望(?:这|對|对)|何か|ご不明|궁금|اگر )",
    re.IGNORECASE,
)
# Where a base model goes on with the user's next turn.
NEXT_TURN = re.compile(
    r"\n[ \t#*]{0,8}(?:Question|Problem|Exercise|Example) (?:[2-9]|\d\d)[*]{0,2}[:.]|"
    r"<\|im_start\|>\s{0,3}user|<\|start_header_id\|>\s{0,3}user|<start_of_turn>\s{0,3}user|<\|user\|>|\[INST\]|"
    r"\n[ \t]{0,8}(?:Human|User|Q):\s",
)
# Where it may go on with a next example.
NEXT_EXAMPLE = re.compile(
    r"\n[ \t#*]{0,8}(?:Question|Problem|Exercise|Example)(?: \d{1,4})?[*]{0,2}[:.]", re.IGNORECASE
)
# "42です", "42입니다": the verb "is" behind its complement.
COPULA = re.compile(r"(?<=\S)\s?(?:です|である|だ|となります|になります|입니다|이다|예요|이에요)$")
# A yes or no that is set off from the rest of its sentence: "Yes, they are."
YES_OR_NO = re.compile(
    r"[*_]{0,3}(yes|no|true|false|ja|nein|oui|non|sí|да|нет|是的|不是)\b[*_]{0,3}(?=[,.:;!—，。]|\s[—–-]\s)",
    re.IGNORECASE,
)
# "The equation has no real solutions": the answer is that there are none.
NO_SOLUTION = re.compile(r"\b(?:has|have|is|are) (no (?:real |integer )?solutions?)\b[^,;\n]{0,30}$", re.IGNORECASE)
# Languages in which 3,5 is three and a half.
DECIMAL_COMMA_LANGUAGE = re.compile(
    r"(?<![^\W\d_])(?:antwort|lösung|ergebnis|ist|beträgt|réponse|résultat|est|respuesta|solución|resultado|risposta|"
    r"soluzione|risultato|resposta|solução|ответ|результат|відповідь|odpowiedź|odpověď|odpoveď|antwoord|svaret|svar|"
    r"vastaus|cevap|jawaban|válasz|răspuns(?:ul)?|απάντηση|odgovor|trả lời|đáp án|đáp số|è|é|wynosi|kosztuje|kostet|"
    r"kostar|coûte|cuesta|costa|custa|стоит|составляет)(?![^\W\d_])",
    re.IGNORECASE,
)
# The relation that words such as "at least" give to the number behind them.
BOUNDS = {
    "at least": r"\ge",
    "at most": r"\le",
    "up to": r"\le",
    "no more than": r"\le",
    "not more than": r"\le",
    "no greater than": r"\le",
    "not exceed": r"\le",
    "no less than": r"\ge",
    "not less than": r"\ge",
    "no fewer than": r"\ge",
    "less than or equal to": r"\le",
    "greater than or equal to": r"\ge",
    "more than": ">",
    "greater than": ">",
    "larger than": ">",
    "less than": "<",
    "fewer than": "<",
    "smaller than": "<",
}
