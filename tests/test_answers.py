"""Which answers are the same. Expected verdicts are written by hand; sympy generates the formulas of one test."""

import json
import random
import time
from fractions import Fraction
from pathlib import Path

import pytest
import sympy

from r1kit.answers.normalise import clean_answer
from r1kit.answers.quantities import parse_quantity, parse_unit
from r1kit.answers.quick_verdict import is_too_large_to_parse, quick_verdict
from r1kit.answers.symbolic import judge_answers
from r1kit.answers.text_match import same_choice, same_text
from r1kit.answers.verdict import AnswerVerdict
from r1kit.answers.workers import verify_answers


def pairs(table):
    """Read a table of `gold ~ answer ;; gold ~ answer`."""
    return [tuple(pair.split(" ~ ")) for line in table.strip().splitlines() for pair in line.strip().split(" ;; ")]


def verdict(gold, answer):
    """The verdict without a pool: by text and numbers, else by algebra in this process."""
    return quick_verdict(gold, answer) or judge_answers(gold, answer)


# Numbers, which need no worker

SAME_NUMBERS = pairs(r"""
    4 ~ 4 ;; 4 ~ 4. ;; 4 ~ +4.00 ;; 4 ~ ۴ ;; -3 ~ −3 ;; 0.5 ~ .5 ;; 1/2 ~ 0.5 ;; 1/2 ~ ½ ;; -1/2 ~ \frac{-1}{2}
    0.5 ~ \dfrac12 ;; 1000 ~ 1,000 ;; 1234567 ~ 1{,}234{,}567 ;; 10000 ~ 10\,000 ;; 1.5 ~ 1\frac{1}{2}
    -1.5 ~ -1 1/2 ;; 1500 ~ 1.5e3 ;; 0.0015 ~ 1.5 \times 10^{-3} ;; 1500 ~ 1.5·10³ ;; 1/3 ~ 0.\overline{3}
    1/3 ~ 0.\dot{3} ;; 1/3 ~ 0.(3) ;; 1/6 ~ 0.1666... ;; 1/7 ~ 0.\dot{1}4285\dot{7} ;; 9\% ~ 9% ;; 9\% ~ 9
    9\% ~ 0.09 ;; 0.09 ~ 9 percent ;; 2516_8 ~ 2516_{8} ;; 2516_8 ~ 2516 base 8 ;; 2516_8 ~ 2516_{\text{eight}}
    2516_8 ~ 2516 ;; 90^\circ ~ 90 ;; 90 ~ 90 degrees ;; 5 ~ \$5 ;; $5$ ~ 5 dollars ;; 5 ~ **5** ;; 5 ~ \boxed{5}
    5 ~ The answer is $5$. ;; 42 ~ Final answer: \(42\) ;; 5 ~ 5\text{ cm} ;; 5 \text{ cm} ~ 5 centimeters
    12 cm^2 ~ 12 square centimeters ;; 5 ~ 5 square units ;; 5 ~ 5 people ;; 60 mph ~ 60 miles per hour
    5000000 ~ 5 million ;; 17 ~ seventeen ;; 3.14 ~ 3.14159 ;; 3.14159 ~ 3.1416 ;; 0.3 ~ 0.30000000000000004
""")
OTHER_NUMBERS = pairs(r"""
    4 ~ 5 ;; 4 ~ -4 ;; 4 ~ 40 ;; 1/3 ~ 0.3 ;; 1/3 ~ 0.333333 ;; 0.3 ~ 0.33 ;; 0.0000001 ~ 0.0000002 ;; 3.14 ~ 3.15
    3.14159 ~ 3.1 ;; 1234.56 ~ 1235 ;; 9 ~ 9\% ;; 9\% ~ 90 ;; 2516_8 ~ 2516_7 ;; 2516_8 ~ 1358 ;; 1101_2 ~ 15_8
    5 cm ~ 5 m ;; 5 cm ~ 5 cm^2 ;; 12 kg ~ 12 lb ;; 2 hours ~ 120 minutes ;; 10 dollars ~ 10 cents ;; 5 PM ~ 5 AM
    5 ~ 5 million
""")


@pytest.mark.parametrize(("gold", "answer"), SAME_NUMBERS)
def test_the_same_number_is_right_without_a_worker(gold, answer):
    assert quick_verdict(gold, answer) is AnswerVerdict.RIGHT


@pytest.mark.parametrize(("gold", "answer"), OTHER_NUMBERS)
def test_another_number_is_wrong_without_a_worker(gold, answer):
    assert quick_verdict(gold, answer) is AnswerVerdict.WRONG


def test_numbers_are_exact():
    assert parse_quantity(clean_answer("0.1\\overline{6}")).value == Fraction(1, 6)
    assert parse_quantity(clean_answer("0.\\overline{142857}")).value == Fraction(1, 7)
    assert parse_quantity(clean_answer("-2\\frac{3}{4}")).value == Fraction(-11, 4)
    assert parse_quantity(clean_answer("0.1")).value == Fraction(1, 10)
    assert parse_quantity(clean_answer("FF_{16}")).value == 255


@pytest.mark.parametrize(
    "text", ["1, 2", "5 or 6", "3x", "5 m^4 x", "1 2 3", "2 remainder 3", "half", "1/0", "5 pi", ""]
)
def test_text_that_is_more_than_a_number_is_no_quantity(text):
    assert parse_quantity(clean_answer(text)) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", ""),
        (" cm", "centimetre"),
        ("km", "kilometre"),
        (" m/s", "metre/second"),
        (" meters per second", "metre/second"),
        (" cubic inches", "inch3"),
        (" ft^{2}", "foot2"),
        (" red apples", ""),
        (" x", None),
        ("m", None),  # 5m may be a product
        (" times 3", None),
        (" or so", None),
    ],
)
def test_parse_unit(text, name):
    assert parse_unit(text) == name


# Algebra

SAME = pairs(r"""
    4\pi ~ \pi(2)^2 ;; 120 ~ {10 \choose 3} ;; \angle A = 50^\circ ~ 50 ;; f^{-1}(x) = 2x ~ y = 2x
    A, B, and C ~ C, B, A
    2\sqrt{3} ~ \sqrt{12} ;; \frac{\sqrt{3}}{3} ~ \frac{1}{\sqrt 3} ;; x^2+2x+1 ~ (x+1)^2 ;; 2\sin x\cos x ~ \sin 2x
    \frac{x^2-1}{x-1} ~ x+1 ;; 6 ~ 2(3) ;; 120 ~ 5! ;; 10 ~ \binom{5}{2} ;; 3 ~ \log_2 8 ;; \frac12 ~ \sin 30^\circ
    -2 ~ \sqrt[3]{-8} ;; -2 ~ (-8)^{1/3} ;; -1 ~ i^2 ;; 3+4i ~ 4i+3 ;; e^{i\pi} ~ -1 ;; 3.14 ~ \pi
    1.618 ~ \frac{1+\sqrt5}{2} ;; 25\pi ~ 25π cm² ;; x^2 ~ x**2 ;; \sqrt{2} ~ sqrt(2)
    \sqrt{2} ~ \sqrt{2} \approx 1.414 ;; 5 ~ x = 5 ;; 5 ~ x = 2 + 3 = 5 ;; x = 5 ~ 5 ;; 1, 2 ~ 2 and 1
    1,2 ~ x=2 or x=1 ;; \pm 2 ~ -2, 2 ;; \{1, 2\} ~ \{2, 1\} ;; (1, 2) ~ \left(1, \frac{4}{2}\right)
    (1, 2) ~ x = 1, y = 2 ;; [2,\infty) ~ x \ge 2 ;; 1 < x \le 3 ~ (1, 3] ;; x > 2 ~ 2 < x
    (-\infty,2)\cup(3,\infty) ~ x<2 or x>3 ;; [1,2]\cup[2,3] ~ [1,3] ;; \mathbb{R}\setminus\{2\} ~ x \ne 2
    \mathbb{R} ~ all real numbers ;; \emptyset ~ no solution ;; ]1, 2[ ~ (1, 2)
    \begin{pmatrix}1&2\\3&4\end{pmatrix} ~ \begin{bmatrix} 1 & 2 \\ 3 & \frac{8}{2} \end{bmatrix}
    \begin{pmatrix}1\\2\end{pmatrix} ~ (1, 2) ;; y = 2x + 1 ~ 2x - y + 1 = 0 ;; y = 2x + 1 ~ 2x + 1
    x + y < 3 ~ y < 3 - x ;; 2:3 ~ 4:6 ;; 2:3 ~ \frac{2}{3} ;; 3:30 ~ 03:30 ;; Evelyn ~ \text{Evelyn}.
    \text{red, blue} ~ blue and red ;; B ~ \text{(B)}
""")
OTHER = pairs(r"""
    (-\infty, 3) ~ (-3, 3) ;; \mathbb{R} ~ (0, \infty) ;; \sqrt2 ~ \sqrt{2}+10^{-50} ;; 5 ~ \infty
    x+1 ~ x-1 ;; 3x ~ 3 ;; 3c ~ 3 ;; x^2 ~ 2 ;; |x| ~ x ;; \pi ~ 3.14 ;; \sqrt{2} ~ 1.41421356
    \frac{1}{2004!} ~ \frac{1}{2006!} ;; \frac{1}{2^{99}} ~ \frac{1}{2^{98}} ;; 1-\frac{1}{e} ~ 1+\frac{1}{e}
    5 ~ 5 or 6 ;; 5 ~ \boxed{5} or \boxed{6} ;; 6 ~ x = 5 = 6 ;; 4 ~ 1 2 3 4 ;; 11 ~ 5 6 ;; 1,234 ~ 1,2
    (1, 2) ~ (2, 1) ;; (1, 2) ~ [1, 2] ;; (1, 2) ~ \{1, 2\} ;; [0, 1) ~ (0, 1] ;; x \ge 2 ~ x > 2
    x \ge 2 ~ y \ge 2 ;; (2, \infty) ~ 2x + 1 > 5 ;; x = 5 ~ 2x = 10 ;; x = 5 ~ y = 5 ;; y = 2x ~ x = 2y
    3x+4y+14=0 ~ 3x-y+13=0 ;; x=1, y=2 ~ 2, 1 ;; n = 2, 3, 4 ~ n = 1, 2, 3 ;; \pm 2021 ~ 2021 ;; 12:00 ~ 1:00
    3:30 ~ 7:60 ;; 3:30 PM ~ 3:30 AM ;; 2:3 ~ 3:2
    \begin{pmatrix}1&2\\3&4\end{pmatrix} ~ \begin{pmatrix}1&2\\4&3\end{pmatrix} ;; 4 ~ \int_0^2 2x \, dx
    even ~ odd ;; no ~ on ;; 5 ~ Evelyn ;; 5 ~ \frac{5}{0}
""")


@pytest.mark.parametrize(("gold", "answer"), SAME)
def test_the_same_mathematics_is_right(gold, answer):
    assert verdict(gold, answer) is AnswerVerdict.RIGHT


@pytest.mark.parametrize(("gold", "answer"), OTHER)
def test_other_mathematics_is_wrong(gold, answer):
    assert verdict(gold, answer) is AnswerVerdict.WRONG


def random_formula(rng, depth):
    """Return a random sympy formula of two variables."""
    x, y = sympy.symbols("x y")
    if depth == 0:
        return rng.choice([x, y, sympy.Integer(rng.randint(1, 9)), sympy.Rational(rng.randint(1, 9), 7), sympy.pi])
    one = random_formula(rng, depth - 1)
    two = random_formula(rng, depth - 1)
    return rng.choice([one + two, one - two, one * two, one**2 + two, sympy.sqrt(one**2 + 1) * two])


@pytest.mark.parametrize("seed", range(20))
def test_what_sympy_expands_is_the_same_and_one_more_is_not(seed):
    expression = random_formula(random.Random(seed), 3)
    latex, expanded = sympy.latex(expression), sympy.latex(sympy.expand(expression))
    assert verdict(latex, expanded) is AnswerVerdict.RIGHT
    assert verdict(latex, f"{expanded} + 1") is AnswerVerdict.WRONG


# What is no mathematics, or too much of it


@pytest.mark.parametrize("gold", ["", "  ", "\\frac{1}{0}", "x + ", "\\sqrt{", "9^{9^9}", "1" * 2001])
def test_a_gold_that_nobody_can_match_is_broken(gold):
    assert verdict(gold, "5") is AnswerVerdict.BROKEN_GOLD


@pytest.mark.parametrize("text", ["9^{9^9}", "x + ", "1" * 2001, "the cat, the dog"])
def test_equal_text_is_right_whatever_it_is(text):
    assert verdict(text, f" {text}.") is AnswerVerdict.RIGHT


@pytest.mark.parametrize(
    "text",
    [
        "9^{9^9}",
        "9^{9^{9}}",
        "2^{10^{6}}",
        "10^{123456}",
        "2^{9!}",
        "(10^9)!",
        "\\binom{10^9}{5}",
        "9999!",
        "(3!)!",
        "5!!",
        "(9^{9999})^{9999}",
        "\\binom{99999}{5}",
        "\\sqrt{" * 31 + "1" + "}" * 31,
        "+".join(["x"] * 300),
        "9⁹⁹⁹⁹⁹⁹",
    ],
)
def test_an_answer_that_is_too_large_is_refused_at_once(text):
    start = time.perf_counter()
    assert is_too_large_to_parse(clean_answer(text))
    assert quick_verdict("5", text) is AnswerVerdict.WRONG
    assert quick_verdict("x+1", text) is AnswerVerdict.WRONG
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize(
    "text",
    ["2^{2024}", "e^{-x^{2}/200}", "(x+1)^{2024}+x^{2024}", "2024!", "\\frac{n!}{(n-1)!}", "2^{2^{4}}", "10^{-23}"],
)
def test_a_large_answer_that_can_be_parsed_is_not_refused(text):
    assert not is_too_large_to_parse(clean_answer(text))


@pytest.mark.parametrize(
    "text", ["\\boxed{" * 250, "**a" * 600, "1 " * 990, "0." + "12" * 900 + "...", "\ud800", "$" * 9]
)
def test_no_text_breaks_or_stalls_the_parser(text):
    start = time.perf_counter()
    assert quick_verdict("5", text) in (AnswerVerdict.WRONG, None)
    assert not same_choice("A", text)
    assert time.perf_counter() - start < 1


# Choices and exact text


@pytest.mark.parametrize(
    "answer",
    [
        *("B", "b", "(B)", "B.", "\\text{(B)}", "**B**", "B) 12", "option B", "Answer: B", "The answer is (B).", "[B]"),
        *("$\\boxed{B}$", "\\textbf{(B)}\\ 12", "B: Berlin", "B Berlin", "The correct option is **B**", "B\nas above"),
        *("As the sum is 7, the answer is (B).", "Choose option (B)", "Option A is wrong, so the answer is B"),
    ],
)
def test_a_choice_in_any_spelling(answer):
    assert same_choice("B", answer)
    assert same_choice("(B)", answer)
    assert not same_choice("A", answer)


@pytest.mark.parametrize(
    "answer",
    [
        "A dog",
        "an A",
        "Apple",
        "AB",
        "A or B",
        "A, B",
        "(A) (B)",
        "A/B",
        "A1",
        "A's",
        "",
        "Answer",
        "A is wrong",
        "B is wrong",
    ],
)
def test_a_word_an_article_or_two_letters_choose_nothing(answer):
    assert not same_choice("A", answer)
    assert not same_choice("B", answer)


@pytest.mark.parametrize("answer", ["A", "a", "(a) the dog", "A. the dog", "A because it is", "Answer: A"])
def test_the_letter_a_may_be_chosen(answer):
    assert same_choice("A", answer)


def test_same_text_ignores_spaces_case_and_the_full_stop():
    assert same_text("New York", " new\n york. ")
    assert not same_text("Paris", "Paris, France")
    assert not same_text("1.0", "1")


def test_the_verdicts_on_the_notations_of_well_known_data_sets():
    lines = (Path(__file__).parent / "data/math_pairs.jsonl").read_text().splitlines()
    cases = [json.loads(line) for line in lines]
    assert len(cases) >= 150
    math = [case for case in cases if case["checker"] == "math"]
    found = dict(zip(map(id, math), verify_answers([(c["gold"], c["answer"]) for c in math]), strict=True))
    for case in cases:
        right = (
            found[id(case)] is AnswerVerdict.RIGHT if id(case) in found else same_choice(case["gold"], case["answer"])
        )
        assert right is case["expected"], case


@pytest.mark.parametrize("gold", [r"\left( 3, \frac{\pi}{2} \right)", r"(-\infty, 2) \cup (3, \infty)"])
def test_brackets_with_tex_commands_are_part_of_an_answer(gold):
    from r1kit.answers.extract import read_answer

    assert read_answer(f"<answer>{gold}</answer>", "math", "any").text == gold
