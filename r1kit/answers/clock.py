"""Compare times of day and dates: "3:30 p.m." is 15:30, and "January 5, 2024" is 2024-01-05.

Uses the standard library only.

>>> same_time("3:30 p.m.", "15:30")
True
>>> same_time("2:3", "4:6") is None  # ratios, for all that this module knows
True
"""

import re
from dataclasses import dataclass

_TIME = re.compile(
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?(?::(?P<second>\d{2}))?\s*(?P<clock>o'?clock\b)?\s*"
    r"(?P<half>[ap]\.?\s?m\b\.?|noon|midnight)?",
    re.IGNORECASE,
)
_NAMED_TIMES = {"noon": "12:00 pm", "midday": "12:00 pm", "midnight": "12:00 am"}
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_WEEKDAY = r"(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s+)?"
_DATES = (
    re.compile(r"(?P<year>\d{4})([-/])(?P<month>\d{2})\2(?P<day>\d{2})"),
    re.compile(rf"{_WEEKDAY}{_MONTH}\s+{_DAY}(?:,?\s+(?P<year>\d{{4}}))?", re.IGNORECASE),
    re.compile(rf"{_WEEKDAY}(?:the\s+)?{_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+(?P<year>\d{{4}}))?", re.IGNORECASE),
)
_HALF_DAY = 12 * 3600  # seconds


@dataclass(frozen=True)
class TimeOfDay:
    """A time as it is written in an answer."""

    seconds: int
    """Since midnight; since midnight or noon where the text does not say which."""

    half: str
    """am or pm, "" where the text does not say."""

    numbers: int
    """How many numbers the text has: hours, minutes and seconds."""


def parse_time(text: str) -> TimeOfDay | None:
    """Return the time of day that a cleaned answer consists of, None where it is anything else."""
    match = _TIME.fullmatch(_NAMED_TIMES.get(text.casefold(), text))
    if match is None or not (match["minute"] or match["half"] or match["clock"]):
        return None
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    if hour > 24 or minute > 59 or second > 59:
        return None
    half = re.sub(r"[\s.]", "", (match["half"] or "").casefold())
    half = {"noon": "pm", "midnight": "am"}.get(half, half)
    if half and hour <= 12:
        hour = hour % 12 + (12 if half == "pm" else 0)
    numbers = 1 + bool(match["minute"] or match["clock"]) + bool(match["second"])
    return TimeOfDay(hour * 3600 + minute * 60 + second, half, numbers)


def parse_date(text: str) -> tuple[int, int, int] | None:
    """Return the year (0 where there is none), month and day of a cleaned answer, None where it is no date.

    2024-01-05 is the fifth of January; a date with slashes or points in another order could be two things.
    """
    for pattern in _DATES:
        match = pattern.fullmatch(text)
        if match:
            name = match["month"].casefold()
            month = int(name) if name.isdigit() else _MONTHS.index(name[:3]) + 1
            day = int(match["day"])
            is_date = 1 <= month <= 12 and 1 <= day <= 31
            return (int(match["year"] or 0), month, day) if is_date else None
    return None


def same_date(gold: str, answer: str) -> bool | None:
    """Return whether two cleaned answers are the same date; None where neither is one.

    A date of digits is no difference: 2024-01-05 is not 2018.
    """
    gold_date = parse_date(gold)
    answer_date = parse_date(answer)
    if gold_date is None and answer_date is None:
        return None
    if gold_date is None or answer_date is None:
        has_digits_alone = (gold if gold_date else answer)[:4].isdigit()
        return False if has_digits_alone else None
    years = {gold_date[0], answer_date[0]} - {0}
    return gold_date[1:] == answer_date[1:] and len(years) < 2


def same_time(gold: str, answer: str) -> bool | None:
    """Return whether two cleaned answers are the same time of day.

    None where they are no times, or could be ratios: neither names the half of the day, and both have as many numbers.
    A time without its half ("3:30") is the same as that time in either half.
    """
    gold_time = parse_time(gold)
    answer_time = parse_time(answer) if gold_time else None
    if gold_time is None or answer_time is None:
        return None
    if gold_time.seconds == answer_time.seconds:
        return True
    if not (gold_time.half or answer_time.half):
        return None if gold_time.numbers == answer_time.numbers else False
    if gold_time.half and answer_time.half:
        return False
    bare, full = (answer_time, gold_time) if gold_time.half else (gold_time, answer_time)
    # A time without a half that is before 1:00 or after 13:00 is one of 24 hours.
    return 3600 <= bare.seconds < 13 * 3600 and bare.seconds % _HALF_DAY == full.seconds % _HALF_DAY
