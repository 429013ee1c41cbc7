"""Which boxes of a text are its answer. Expected answers are written by hand."""

import time

import pytest

from r1kit.answers.boxes import boxed_answer, find_boxes
from r1kit.answers.extract import read_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"The answer is $\boxed{7}$.", "7"),
        (r"$\boxed{7}$ and $\boxed{8}$", "7 and 8"),
        (r"\boxed{7}, \boxed{8}, \boxed{9}", "7, 8, 9"),
        (r"x = \boxed{7} or x = \boxed{8}", "x = 7 or x = 8"),
        (r"\(x = \boxed{7}\) or \(x = \boxed{8}\)", "x = 7 or x = 8"),
        (r"\boxed{x=1} \text{ or } \boxed{x=2}", "x=1 or x=2"),
        (r"\boxed{(3, 3)} \text{ for part (a) and } \boxed{(1, 1)}", "(3, 3) and (1, 1)"),
        (r"The length is $\boxed{3}$ and the width is $\boxed{4}$.", "3 and 4"),
        ("- Length: \\boxed{3}\n- Width: \\boxed{4}", "3, 4"),
        ("(a) $\\boxed{3}$\n\n(b) $\\boxed{4}$", "3, 4"),
        ("The roots are\n\\[ \\boxed{7} \\]\nand\n\\[ \\boxed{8} \\]", "7 and 8"),
        (r"\boxed{\boxed{3}, \boxed{4}}", "3, 4"),
    ],
)
def test_boxes_that_a_short_phrase_links_are_one_answer(text, answer):
    assert boxed_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"first $\boxed{8}$ ... wait, it is $\boxed{7}$", "7"),
        (r"It is not \boxed{3} but \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"We get \boxed{3}, so 3+4 = \boxed{7}", "7"),
        (r"The sum is \boxed{12}. Adding 5 yields \boxed{17}", "17"),
        (r"\boxed{1} no no no no no \boxed{2}", "2"),
        ("\\boxed{1}\n\n" + "Some long second derivation. " * 9 + "\\boxed{2}", "2"),
        ("\\boxed{5}\n\n**Answer:** \\boxed{5}", "5"),
        (r"\boxed{5}, \boxed{5}", "5"),
        (r"\boxed{2\boxed{3}}", "3"),
    ],
)
def test_of_a_corrected_or_repeated_box_the_last_one_counts(text, answer):
    assert boxed_answer(text) == answer


@pytest.mark.parametrize("text", ["", "7", r"\boxed{7", "\\boxed{" * 250])
def test_a_text_without_a_closed_box_has_no_boxed_answer(text):
    assert boxed_answer(text) is None


def test_many_boxes_are_read_in_linear_time():
    start = time.perf_counter()
    assert boxed_answer("\\boxed{1}, \\boxed{2} " * 20_000) is not None
    assert len(find_boxes("\\boxed{7}\n" * 20_000)) == 20_000
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("text", ["2**3", "x**2+1", "- 5", "(n-1)!", "n/n!", "5!"])
def test_powers_signs_and_factorials_are_no_markup(text):
    assert read_answer(f"<answer>{text}</answer>", "math", "tags").text == text
