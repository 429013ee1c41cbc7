"""The language reward: measured on labelled chains of thought, and what it does with what is not words."""

import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import mean

import pytest
from helpers import shared_folder

from r1kit.languages.detect import LANGUAGES, detect_language, is_known_language, language_fraction
from r1kit.languages.words import word_scripts
from r1kit.rewards.language import language

ROOT = Path(__file__).parent.parent


def read_rows(name):
    return [json.loads(line) for line in (ROOT / "tests/data" / name).read_text(encoding="utf-8").splitlines()]


CHAINS = read_rows("chains.jsonl")
KNOWN = read_rows("known_languages.jsonl")
UNKNOWN = read_rows("other_languages.jsonl")

ENGLISH = "Let me check the sum of the digits before I go on, because the last result looks wrong."
GERMAN = "Ich prüfe zuerst die Quersumme, denn das letzte Ergebnis sieht falsch aus."
FRENCH = "Je vérifie d'abord la somme des chiffres, car le dernier résultat semble faux."


# The labelled chains


def test_the_chains_are_many_and_of_seven_languages():
    assert len(CHAINS) >= 330
    assert {row["language"] for row in CHAINS} == {"en", "de", "fr", "es", "ru", "fa", "zh"}
    assert {row["kind"] for row in CHAINS} == {"pure", "sentences", "clauses", "phrases", "noise", "foreign"}
    assert all(0 <= row["share"] <= 1 for row in CHAINS)
    assert len({row["text"] for row in CHAINS}) > 0.9 * len(CHAINS)


def test_the_mean_error_of_the_fraction_is_below_three_hundredths():
    errors = defaultdict(list)
    for row in CHAINS:
        error = abs(language_fraction(row["text"], row["language"]) - row["share"])
        for key in ("all", row["kind"], row["pair"]):
            errors[key].append(error)
    mean_errors = {key: mean(values) for key, values in errors.items()}
    assert mean_errors["all"] < 0.03
    assert {key: error for key, error in mean_errors.items() if error >= 0.03} == {}  # each kind and each pair too


@pytest.mark.parametrize("kind", ["pure", "foreign"])
def test_a_chain_in_one_language_is_wholly_in_it_or_not_at_all(kind):
    assert all(language_fraction(row["text"], row["language"]) == row["share"] for row in CHAINS if row["kind"] == kind)


# Which language


@pytest.mark.parametrize("own", ["en", "de", "fr"])
def test_sentences_in_latin_letters_are_told_apart(own):
    texts = {"en": ENGLISH, "de": GERMAN, "fr": FRENCH}
    counts = {code: len(word_scripts(text)) for code, text in texts.items()}
    assert language_fraction(" ".join(texts.values()), own) == pytest.approx(counts[own] / sum(counts.values()))


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("Controlliamo prima la somma delle cifre, perché il risultato sembra sbagliato.", "it"),
        ("Vou verificar a soma dos algarismos, porque o resultado parece errado.", "pt"),
        ("Ik controleer eerst de som van de cijfers, want de uitkomst lijkt verkeerd.", "nl"),
        ("Sprawdzam najpierw sumę cyfr, ponieważ ostatni wynik wygląda na błędny.", "pl"),
        ("Jag kontrollerar först siffersumman, eftersom det sista resultatet verkar fel.", "sv"),
        ("Önce rakamların toplamını kontrol edelim, çünkü son sonuç yanlış görünüyor.", "tr"),
        ("Trước hết hãy kiểm tra tổng các chữ số, vì kết quả cuối cùng có vẻ sai.", "vi"),
        ("先检查各位数字之和，因为最后的结果看起来不对。", "zh"),
        ("まず各桁の和を確かめる。最後の結果がおかしいからだ。", "ja"),
        ("먼저 각 자리 숫자의 합을 확인하자.", "ko"),
        ("पहले अंकों का योग जाँचते हैं।", "hi"),
        ("קודם נבדוק את סכום הספרות.", "he"),
        ("Πρώτα ελέγχουμε το άθροισμα των ψηφίων.", "el"),
        ("ก่อนอื่นตรวจสอบผลรวมของตัวเลข", "th"),
        ("Спочатку перевіримо суму цифр, бо останній результат хибний.", "uk"),
        ("نتحقق أولا من مجموع الأرقام لأن النتيجة الأخيرة خاطئة.", "ar"),
        ("پہلے ہندسوں کا مجموعہ دیکھتے ہیں۔", "ur"),
    ],
)
def test_other_languages(text, own):
    assert detect_language(text) == own
    assert language_fraction(text, own) == 1.0
    assert language_fraction(text, "en") == 0.0


def test_languages_of_one_script_are_told_apart_by_their_letters():
    persian, arabic = "پس نتیجه می‌گیریم که عدد زوج است", "إذن نستنتج أن العدد زوجي"
    russian, ukrainian = "значит это число чётное", "отже це число є парним і цілим"
    assert language_fraction(f"{persian}. {arabic}.", "fa") == pytest.approx(8 / 13)
    assert language_fraction(f"{persian}، {arabic}.", "ar") == pytest.approx(5 / 13)
    assert language_fraction(f"{russian}. {ukrainian}.", "ru") == pytest.approx(4 / 9)  # "є" and "і" are single letters
    assert language_fraction(f"{russian}. {ukrainian}.", "uk") == pytest.approx(5 / 9)
    assert language_fraction("まず計算する。所以答案一定是正确的。", "ja") == pytest.approx(6 / 16)


def test_a_single_odd_word_changes_nothing():
    assert (
        language_fraction("Then Professor Schmidt computes the Eigenvektor of the matrix, and we are done.", "en")
        == 1.0
    )
    assert (
        language_fraction("plus", "en")
        == language_fraction("three plus four", "en")
        == language_fraction("minus", "de")
        == 1.0
    )


def test_a_clause_counts_for_its_own_language():
    text = "Wenn die Zahl gerade ist, then the remainder must be zero."
    assert language_fraction(text, "de") == pytest.approx(5 / 11)
    assert language_fraction(text, "en") == pytest.approx(6 / 11)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Combien font deux plus trois ?", "fr"),
        ("Quelle est la somme des nombres premiers inférieurs à 20 ?", "fr"),
        ("Wie viele Primzahlen gibt es zwischen 10 und 30?", "de"),
        ("Berechne den Flächeninhalt des Dreiecks mit den Seiten 3, 4 und 5.", "de"),
        ("¿Cuántos números primos hay entre 10 y 30?", "es"),
        ("Un tren sale a las 8 y llega a las 11. ¿Cuánto tarda?", "es"),
        ("How many primes are there between 10 and 30?", "en"),
        ("Natalia sold clips to 48 of her friends in April. How many clips did she sell?", "en"),
        ("Write a function `somme(liste)` that returns the total.", "en"),
        ("Compute $\\int_0^1 x\\,dx$.", "en"),
        ("x = ?", "en"),
        ("Find gcd(12, 18) mod 5.", "en"),
        ("Capital of Italy?", "en"),
        ("Mario has 3 pizzas, Luigi eats 1.", "en"),
        ("", "en"),
    ],
)
def test_detect(text, expected):
    assert detect_language(text) == expected


# Languages that r1kit does not know


@pytest.mark.parametrize("row", UNKNOWN, ids=lambda row: row["name"])
def test_a_language_that_is_not_known_passes_for_no_other(row):
    fractions = {code: language_fraction(row["text"], code) for code in LANGUAGES}
    relative = {"su": "id", "gsw": "de"}.get(row["language"])  # a dialect or a close relative may pass for its language
    assert {code: share for code, share in fractions.items() if share > 1 / 3 and code != relative} == {}
    assert fractions["en"] < 0.1
    assert detect_language(row["text"]) in ("und", relative)


@pytest.mark.parametrize("row", KNOWN, ids=lambda row: row["language"])
def test_a_known_language_stays_itself(row):
    assert detect_language(row["text"]) == row["language"]
    assert language_fraction(row["text"], row["language"]) == 1.0


def test_a_sentence_in_an_unknown_language_counts_as_foreign():
    irish = UNKNOWN[1]["text"].split(". ")[0] + "."
    words = {code: len(word_scripts(text)) for code, text in {"en": ENGLISH, "ga": irish}.items()}
    assert language_fraction(f"{ENGLISH} {irish}", "en") == pytest.approx(words["en"] / sum(words.values()))


def test_public_problems_in_english_stay_english():
    folder = shared_folder("data")
    for name in ("gsm8k_test", "math500", "mmlu_stem"):
        rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        questions = [row.get("question") or row["problem"] for row in rows]
        assert [question for question in questions if detect_language(question) == "und"] == []
        assert mean(language_fraction(question, "en") for question in questions[::5]) > 0.995


def test_the_reward_of_an_unknown_language_is_none():
    irish, english = UNKNOWN[0]["text"], ENGLISH
    completions = [f"<think>{text}</think><answer>8</answer>" for text in (irish, english, irish)]
    assert language(completions, [irish, irish, english]) == [None, None, 0.0]
    assert language(completions, ["?"] * 3, language=["und", "en", "en"]) == [None, 1.0, 0.0]


# What is not words


@pytest.mark.parametrize(
    "extra",
    [
        "$\\frac{\\text{area of the base}}{2}$",
        "$$\\text{speed} = 3$$",
        "\\(\\text{speed and time}\\)",
        "\\[\\text{speed and time}\\]",
        "\\boxed{\\text{seven {red} apples}}",
        "\\begin{align*} left &= right \\end{align*}",
        "`total += value`",
        "```python\nprint(total)\n```",
        "[asy] draw((0,0)--(4,3)); label(box, east, fontsize(9pt)); [/asy]",
        "total_sum my_list2",
        "3.14 and_so 2nd x2 12cm",
        "https://example.org/one/two.html?page=three",
        "www.example.org/one",
        "<step> </step> <br/>",
        '"The New York Times"',
        "“Le Monde”",
        "„Die Zeit“",
        "«Le Monde»",
        "《Le Monde》",
    ],
)
def test_text_that_holds_no_words_does_not_count(extra):
    assert word_scripts(extra) == []
    assert language_fraction(f"ابتدا حاصل {extra} را می‌نویسیم", "fa") == 1.0
    assert language_fraction(f"我们先写出 {extra} 的结果", "zh") == 1.0


def test_a_longer_quotation_counts():
    assert language_fraction("او گفت «we are done with this part»", "fa") == pytest.approx(2 / 8)


def test_prices_are_no_latex():
    assert word_scripts("it costs $5 and then another $7") == ["latin"] * 5


def test_letters_of_unspaced_scripts_are_words():
    assert word_scripts("三角形 かな ไทย") == ["han"] * 3 + ["kana"] * 2 + ["thai"] * 3
    assert word_scripts("그 수는") == ["hangul"] * 2


def test_composed_and_decomposed_letters_are_the_same_word():
    assert word_scripts("ve\u0301rifie") == word_scripts("vérifie") == ["latin"]


# Codes


@pytest.mark.parametrize("code", ["en", "EN", "en-US", "pt_BR", "zh-CN", "zh-Hans-CN", "nb", "fa-IR"])
def test_a_code_with_a_region_is_known(code):
    assert is_known_language(code)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("我们先算", "zh-CN"),
        ("ابتدا می‌نویسیم", "fa_IR"),
        (ENGLISH, "en-GB"),
        ("Vi ser først på det første leddet.", "nb"),
    ],
)
def test_a_code_with_a_region_means_its_language(text, code):
    assert language_fraction(text, code) == 1.0


@pytest.mark.parametrize("code", ["xx", "english", "", "tlh"])
def test_an_unknown_code_is_an_error_that_names_the_known_ones(code):
    assert not is_known_language(code)
    with pytest.raises(ValueError, match="known are ar, cs, da, de") as caught:
        language_fraction("text", code)
    assert all(f" {own}" in str(caught.value) for own in LANGUAGES)


# The reward


def test_the_reward_of_chains_in_latin_letters():
    completion = f"<think>{GERMAN} {ENGLISH}</think><answer>7</answer>"
    german, english = len(word_scripts(GERMAN)), len(word_scripts(ENGLISH))
    prompts = ["Wie groß ist die Summe der Ziffern von 1234?", "What is the sum of the digits?", "?"]
    word_counts = [german, english, english]
    expected = [count / (german + english) for count in word_counts]
    assert language([completion] * 3, prompts) == pytest.approx(expected)


def test_no_chain_of_thought_gets_0_and_none_where_no_thinking_is_wanted():
    completions = ["<answer>7</answer>", "<think> </think><answer>7</answer>", "<answer>7</answer>"]
    assert language(completions, ["Combien ?"] * 3, language=["fr"] * 3, thinking=[True, True, False]) == [0, 0, None]


# Cost


def test_no_detector_is_loaded_for_another_script():
    source = (
        "import sys; from r1kit.languages.detect import detect_language as detect, language_fraction as share\n"
        "share('سه plus چهار is', 'fa'), share('首先 compute', 'zh'), share('значит so', 'ru'), detect('二加二')\n"
        "assert 'py3langid' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", source], check=True, cwd=ROOT)


@pytest.mark.parametrize("text", ["a", "ab ", "$", "\\(", "\\[", '"', "“ab ", "`", "\\a{", "_", "a1", "<a", "\n", "س"])
def test_a_collapsed_chain_takes_no_longer_than_another(text):
    start = time.process_time()
    for code in ("en", "fa"):
        language_fraction(text * (100_000 // len(text)), code)
    assert time.process_time() - start < 10


def test_words_are_not_hidden_in_quotation_marks():
    hidden = " ".join('"the sum is" "five and six"' for _ in range(10))
    assert language_fraction(f"جمع می کنیم {hidden} پس", "fa") < 0.2
    assert language_fraction('شهر "New York" در این مسئله بزرگ است و جواب همین است', "fa") == 1.0
