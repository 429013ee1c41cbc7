"""Say which of r1kit's columns came from which of a source's, and guess it for columns that r1kit does not know.

find_origins(rows, stored, {"Question", "Answer"})   {"prompt": "Question", "answer": "Answer"}
guess_columns(["QUESTION", "ANS"])                   {"prompt": "QUESTION", "answer": "ANS"}
"""

import difflib
import re
import unicodedata
from collections.abc import Collection, Sequence
from typing import Any

from r1kit.rows import Row

# What people call the columns that r1kit has, in small letters and without signs; the first ones are the likeliest. The
# second text of each has the words of other languages: German, French, Spanish, Italian, Portuguese, Dutch, Russian,
# Chinese, Japanese and Korean.
_NAMES_OF_COLUMNS = {
    "messages": (
        "messages conversations conversation dialogue dialog chat turns",
        "nachrichten gespräch unterhaltung conversación conversazione conversa 对话 對話 会话 消息 対話 会話 대화",
    ),
    "prompt": (
        "prompt question problem query instruction input user human q ques request task exercise "
        "problem_statement question_text problem_text prompt_text",
        "frage aufgabe aufgabenstellung anweisung eingabe problème énoncé consigne exercice pregunta problema "
        "enunciado ejercicio instrucción domanda quesito istruzione pergunta questão instrução vraag opgave "
        "вопрос задача задание инструкция 问题 題目 题目 問題 提问 指令 输入 試題 试题 質問 設問 指示 질문 문제 지시",
    ),
    "completion": (
        "completion response output reply assistant gpt generation model_output generated_text "
        "response_text assistant_response reasoning_and_answer",
        "ausgabe sortie salida uscita saída ответ_модели 输出 輸出 回复 回覆 响应 出力 応答 출력 응답",
    ),
    "answer": (
        "answer solution target label gold ground_truth final_answer result a ans expected correct reference key "
        "gt answer_text",
        "antwort lösung loesung ergebnis endergebnis musterlösung réponse resultat solución respuesta resultado "
        "risposta soluzione risultato resposta solução solucao antwoord oplossing ответ решение 答案 标准答案 正确答案 "
        "参考答案 最终答案 回答 解答 答 正解 答え 정답 답 답변 해답",
    ),
    "tests": ("tests test test_cases test_list unit_tests", "testfälle casos_de_prueba cas_de_test 测试 测试用例"),
    "text": (
        "text content document body article passage",
        "inhalt dokument texte contenu texto contenido testo contenuto conteúdo tekst текст 文本 内容 正文 本文 "
        "テキスト 텍스트 본문",
    ),
}
# How alike a misspelt name of a column must be, from 0 to 1.
_LEAST_LIKENESS = 0.8
_MISSPELT_WORDS = 3  # of each column, the words of which misspelt forms are looked for
# Which share of a column's values must stand in a column of the source, so that they came from it.
_LEAST_SHARE = 0.9


def find_origins(rows: Sequence[Row], stored_rows: Sequence[Row], read_columns: Collection[str]) -> dict[str, str]:
    """Return for columns of adapted rows the column of the stored rows that they were taken from unchanged.

    Rows may have been dropped, so values are looked up anywhere in the stored column. A column that is made of several,
    or of a part of one, has no entry.
    """
    values_by_column: dict[str, set[str]] = {}
    if stored_rows:
        for name in sorted(read_columns):
            values_by_column[name] = {_as_key(row.get(name)) for row in stored_rows}
    origins: dict[str, str] = {}
    for name in rows[0] if rows else []:
        values = [_as_key(row[name]) for row in rows if row.get(name) is not None]
        for column, stored_values in values_by_column.items():
            share = sum(value in stored_values for value in values) / max(1, len(values))
            if values and share >= _LEAST_SHARE and column not in origins.values():
                origins[name] = column
                break
    return origins


def _as_key(value: Any) -> str:
    """Return a value as text that can be compared: without spaces at its ends."""
    return str(value).strip()


def guess_columns(names: Sequence[str]) -> dict[str, str]:
    """Return which columns of a source are most likely r1kit's, as new name: old name; empty without a likely one."""
    guesses: dict[str, str] = {}
    for find_name in (_find_name, _find_misspelt_name):  # a name that is a word of one column may be like another's
        for column, words in _NAMES_OF_COLUMNS.items():
            free = [name for name in names if name not in guesses.values()]
            guess = None if column in guesses else find_name(free, " ".join(words).split())
            if guess is not None:
                guesses[column] = guess
    if "prompt" in guesses or "messages" in guesses:
        guesses.pop("text", None)
    if "prompt" not in guesses and "messages" not in guesses:
        guesses = {name: old for name, old in guesses.items() if name == "text"}
    return guesses


def _find_name(names: Sequence[str], words: Sequence[str]) -> str | None:
    """Return the one of `names` that is one of `words`, None without one."""
    plain_names = {_plain(name).removesuffix("_text"): name for name in reversed(names)}
    plain_names |= {_plain(name): name for name in reversed(names)}
    return next((plain_names[word] for word in map(_plain, words) if word in plain_names), None)


def _find_misspelt_name(names: Sequence[str], words: Sequence[str]) -> str | None:
    """Return the one of `names` that is spelt like one of the likeliest of `words`, None without one."""
    plain_names = {_plain(name): name for name in reversed(names)}
    for word in words[:_MISSPELT_WORDS]:
        nearest = difflib.get_close_matches(word, plain_names, n=1, cutoff=_LEAST_LIKENESS)
        if nearest:
            return plain_names[nearest[0]]
    return None


def _plain(name: str) -> str:
    """Return a column's name in small letters, without accents and with underscores for signs.

    _plain("Problem Statement")   "problem_statement"        _plain("Réponse")   "reponse"
    """
    letters = [char for char in unicodedata.normalize("NFKD", name) if not unicodedata.combining(char)]
    return re.sub(r"\W+", "_", "".join(letters).strip()).strip("_").lower()


def is_row_of_values(names: Sequence[str]) -> bool:
    """Return whether the names of a table's columns look like a row of values, as of a file without a line of names."""
    return all(re.fullmatch(r"[\W\d]*|.*[?=!？！＝].*|.*\s.*\s.*\s.*", name) is not None for name in names)
