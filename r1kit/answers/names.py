r"""Names of quantities: which left sides of an equation only name what the right side is.

In "f(80) = 12.5" and "|AB| = 1" the value alone is the answer. "2x + 1 = 7" is an equation that is still to be solved.
Uses the standard library only.

>>> is_quantity("f(80)"), is_quantity(r"\tan\alpha"), is_quantity("2x + 1")
(True, True, False)
"""

import re

from r1kit.answers.normalise import has_prose

# What an answer may be called: x, \theta, f(x), x_1, \angle ABC, f^{-1}(x).
NAME = (
    r"(?:m\s*)?(?:\\(?:angle|triangle|overline|vec|bar|hat)\s*\{?)?\\?[a-zA-Z]+\}?'?(?:_\{?\w+\}?)?(?:\^\{-1\})?"
    r"(?:\([a-zA-Z](?:, ?[a-zA-Z])*\))?"
)
SYMBOL_NAMES = re.compile(rf"{NAME}|\({NAME}(?:, ?{NAME})*\)")
# Left sides of "quantity = value" that are no equation to be solved, besides names.
_SIMPLE = r"(?:\\?[a-zA-Z]+(?:_\{[^{}]*\}|_\w)?'{0,3}|\\(?:vec|overline|overrightarrow|hat|bar|mathbf)\s*\{?\w{1,3}\}?)"
_QUANTITY_PATTERNS = (
    rf"\|\s*(?:{_SIMPLE}|\\vec.*|[^|=<>xyz]*)\s*\||\\\|.*\\\|",  # |AB|, |\vec{a} + \vec{b}|, |a + bi|, \|v\|
    r"\\frac\s*\{\s*(?:d|\\partial)\s*\}.*",  # \frac{d}{dx} x^2
    r"(?![xyz]\s*\()\\?[a-zA-Z]+(?:_\{?\w+\}?)?'{0,3}(?:\^\{?\(?[-\w]+\)?\}?)?\s*[(\[].*[)\]]",  # f(80), P(A|B), f''(2)
    r"\\(?:sin|cos|tan|cot|sec|csc|log|ln|det|dim|arg|deg|Re|Im|max|min|gcd|lim|angle|operatorname)(?![a-zA-Z]).*",
    r"\\(?:i*int|sum|prod|nabla|Delta|partial)(?![a-zA-Z]).*",
    r"(?:[a-zA-Z]{1,3}\s*:\s*)+[a-zA-Z]{1,3}",  # A:B
    rf"\\frac\s*\{{\s*(?:d|\\partial)?\s*{_SIMPLE}\s*\}}\s*\{{\s*(?:d|\\partial)?\s*{_SIMPLE}\s*\}}",  # a/b, dy/dx
    rf"{_SIMPLE}\s*/\s*{_SIMPLE}",
    rf"{_SIMPLE}(?:\s*(?:\\cdot|\\times)\s*{_SIMPLE})+",  # \vec{a} \cdot \vec{b}
    rf"{_SIMPLE}",  # y'', x_{\max}
    r"[A-Z]{2}\s*\^\s*\{\d\}",  # AB^2
    r"[SVA]_\{.*\}",  # S_{\triangle ABC}
)
_QUANTITY = re.compile("|".join(_QUANTITY_PATTERNS))


def is_quantity(text: str) -> bool:
    """Return whether the left side of an equation names a quantity, as in f(80) = 12.5; 2x + 1 is to be solved."""
    if SYMBOL_NAMES.fullmatch(text) or _QUANTITY.fullmatch(text):
        return True
    words = re.findall("[a-zA-Z]{3,}", re.sub(r"\\[a-zA-Z]+", "", text))
    return bool(words) and has_prose(text) and not re.search(r"[-+*/^<>]", text)


def has_no_letters(text: str) -> bool:
    """Return whether a text is a computation, such as 2 + 3 or a fraction."""
    return not re.search("[a-zA-Z]", re.sub(r"\\(?:frac|cdot|times|div|sqrt|binom|pi|%)(?![a-zA-Z])", "", text))


def plain_name(name: str) -> str:
    r"""Return a name without what only decorates it: AB for |AB|, \overline{AB} and A B."""
    name = re.sub(r"\\(?:overline|overrightarrow|mathrm|mathbf|vec|hat|bar)(?![a-zA-Z])|[\s{}|]", "", name)
    return name.casefold()
