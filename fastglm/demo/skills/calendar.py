"""The calendar and the clock: days of the week, months and times, before and after one another."""

import re
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import ClassVar

from .base import LANGUAGES, PHRASINGS, Language, Sample, Skill, vary

DAYS = (
    ("星期一", "Monday"),
    ("星期二", "Tuesday"),
    ("星期三", "Wednesday"),
    ("星期四", "Thursday"),
    ("星期五", "Friday"),
    ("星期六", "Saturday"),
    ("星期日", "Sunday"),
)
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
MONTH_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
YEARS = range(1901, 2100)  # every fourth is a leap year, 2000 too
_NUMERALS = ("一", "二", "三", "四", "五", "六", "七", "八", "九", "十", "十一", "十二")
_QUARTERS = (("一", "first"), ("二", "second"), ("三", "third"), ("四", "fourth"))

_NEAR_DAYS = {
    1: {"when": "明天", "offset": "后一天", "en_when": "tomorrow", "en_offset": "the day after"},
    -1: {"when": "昨天", "offset": "前一天", "en_when": "yesterday", "en_offset": "the day before"},
    2: {"when": "后天", "en_when": "the day after tomorrow"},
    -2: {"when": "前天", "en_when": "the day before yesterday"},
}
_NEAR_MONTHS = {
    1: {"when": "下个月", "en_when": "next month", "en_offset": "the month after"},
    -1: {"when": "上个月", "en_when": "last month", "en_offset": "the month before"},
}


_WEEKDAY, _MONTH, _MONTH_LENGTH, _QUARTER, _TIME, _TWELVE_HOUR = (
    PHRASINGS[f"calendar: {asked}"]
    for asked in ("weekday", "month", "month length", "quarter", "time", "12-hour clock")
)


class Weekdays(Skill):
    """Names the day of the week up to 30 days after or before another, by removing whole weeks and counting the
    rest.
    """

    name = "weekdays"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "星期", "en": "Days of the week"}
    examples: ClassVar[Mapping[Language, str]] = {
        "zh": "今天是星期五，10天后是星期几？",
        "en": "If today is Friday, what day will it be in 10 days?",
    }
    kind = "rule"
    weight = 1.6
    practice = 5.0
    phrasings = _WEEKDAY

    def sample(self, rng: Random) -> Sample:
        start = rng.randrange(7)
        days = rng.randint(1, 30) if rng.random() < 0.7 else rng.randint(1, 6)
        sign = rng.choice((1, -1))
        language = rng.choice(LANGUAGES)
        slots = _moved(sign * days, language, ("天", "day"), _NEAR_DAYS if rng.random() < 0.5 else {})
        phrasing = rng.choice(self.phrasings[language])
        question = vary(rng, phrasing.format(day=_weekday_as_typed(rng, start, language), **slots), language)

        weeks, rest = divmod(days, 7)
        names = [DAYS[(start + sign * gone) % 7][LANGUAGES.index(language)] for gone in range(rest + 1)]
        steps = []
        if weeks and language == "zh":
            steps.append(f"{days}天={weeks}周" + (f"+{rest}天" if rest else ""))
        elif weeks:
            steps.append(f"{days} days = {_counted(weeks, 'week')}" + (f" + {_counted(rest, 'day')}" if rest else ""))
        if rest:
            zh, en = ("往后数", "count on") if sign > 0 else ("往前数", "count back")
            steps.append(
                f"从{names[0]}{zh}：1{names[1]}" if language == "zh" else f"{en} from {names[0]}: 1 {names[1]}"
            )
            steps += [f"{gone}{' ' * (language == 'en')}{names[gone]}" for gone in range(2, rest + 1)]
        answer = _concluded(steps, names[-1], language)
        answer = answer[0].upper() + answer[1:]
        return Sample([], question, answer, language, phrasing, f"{DAYS[start][1]}{sign * days:+}")

    def check(self, answer: str, expected: str) -> bool:
        """Compare the day at the end of the answer."""
        return _last_day(answer) == _last_day(expected)


class Months(Skill):
    """Names the month up to 12 months after or before another, the days of a month and its quarter."""

    name = "months"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "月份", "en": "Months"}
    examples: ClassVar[Mapping[Language, str]] = {
        "zh": "现在是11月，3个月后是几月？",
        "en": "How many days are there in February 2024?",
    }
    kind = "rule"
    weight = 1.3
    practice = 2.0
    phrasings: Mapping[Language, Sequence[str]] = {
        language: (*_MONTH[language], *_MONTH_LENGTH[language], *_QUARTER[language]) for language in LANGUAGES
    }

    def groups(self) -> Iterable[Sequence[str]]:
        """Months later or earlier, days, quarters."""
        return (*_MONTH.values(), *_MONTH_LENGTH.values(), *_QUARTER.values())

    def sample(self, rng: Random) -> Sample:
        language = rng.choice(LANGUAGES)
        draw = rng.choices((_later_month, _month_length, _quarter), (6, 3, 2))[0]
        return draw(rng, language)

    def check(self, answer: str, expected: str) -> bool:
        """Compare the text after the steps."""
        return _conclusion(answer) == _conclusion(expected)


class ClockTimes(Skill):
    """Tells the time some minutes or hours after or before another, and afternoon times on the 12-hour clock."""

    name = "clock"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "时间", "en": "Clock times"}
    examples: ClassVar[Mapping[Language, str]] = {
        "zh": "现在是3:45，50分钟后是几点？",
        "en": "What time is 50 minutes after 3:45?",
    }
    kind = "rule"
    weight = 2.0
    phrasings: Mapping[Language, Sequence[str]] = {
        language: (*_TIME[language], *_TWELVE_HOUR[language]) for language in LANGUAGES
    }

    def groups(self) -> Iterable[Sequence[str]]:
        """Later or earlier, and the 12-hour clock."""
        return (*_TIME.values(), *_TWELVE_HOUR.values())

    def sample(self, rng: Random) -> Sample:
        language = rng.choice(LANGUAGES)
        return _twelve_hour(rng, language) if rng.random() < 0.25 else _later_time(rng, language)

    def check(self, answer: str, expected: str) -> bool:
        """Compare the text after the steps."""
        return _conclusion(answer) == _conclusion(expected)


def is_leap(year: int) -> bool:
    """Tell whether one of `YEARS` has a 29 February."""
    return year % 4 == 0


def _later_month(rng: Random, language: Language) -> Sample:
    start, months, sign = rng.randint(1, 12), rng.randint(1, 12), rng.choice((1, -1))
    slots = _moved(sign * months, language, ("个月", "month"), _NEAR_MONTHS if rng.random() < 0.5 else {})
    phrasing = rng.choice(_MONTH[language])
    question = vary(rng, phrasing.format(month=_month_as_typed(rng, start, None, language), **slots), language)
    steps, end = _steps(start, sign * months, lowest=1, around=12)
    if language == "en":
        steps.insert(0, f"{MONTHS[start - 1]} is month {start}")
    answer = _concluded(steps, f"{end}月" if language == "zh" else MONTHS[end - 1], language)
    return Sample([], question, answer, language, phrasing, f"{MONTHS[start - 1]}{sign * months:+}")


def _month_length(rng: Random, language: Language) -> Sample:
    month = 2 if rng.random() < 0.6 else rng.randint(1, 12)
    year = rng.choice(YEARS) if rng.random() < (0.9 if month == 2 else 0.5) else None
    phrasing = rng.choice(_MONTH_LENGTH[language])
    question = vary(rng, phrasing.format(month=_month_as_typed(rng, month, year, language)), language)
    leap = year is not None and is_leap(year)
    days = MONTH_LENGTHS[month - 1] + (month == 2 and leap)
    answer = f"{month}月有{days}天。" if language == "zh" else f"{MONTHS[month - 1]} has {days} days."
    if month == 2 and not year:
        answer = answer[:-1] + ("，闰年有29天。" if language == "zh" else ", and 29 in a leap year.")
    elif month == 2:
        reason = f"{year}年{'是' if leap else '不是'}闰年，所以"
        en_reason = f"{year} is {'a' if leap else 'not a'} leap year, so "
        answer = (reason if language == "zh" else en_reason) + answer
    return Sample([], question, answer, language, phrasing, f"days in {_name(month, year)}")


def _quarter(rng: Random, language: Language) -> Sample:
    month, year = rng.randint(1, 12), rng.choice(YEARS) if rng.random() < 0.5 else None
    phrasing = rng.choice(_QUARTER[language])
    question = vary(rng, phrasing.format(month=_month_as_typed(rng, month, year, language)), language)
    zh, en = _QUARTERS[(month - 1) // 3]
    answer = f"{month}月属于第{zh}季度。" if language == "zh" else f"{MONTHS[month - 1]} is in the {en} quarter."
    return Sample([], question, answer, language, phrasing, f"quarter of {_name(month, year)}")


def _later_time(rng: Random, language: Language) -> Sample:
    hour, minute = rng.randrange(24), rng.randrange(60)
    sign = rng.choice((1, -1))
    phrasing = rng.choice(_TIME[language])
    if rng.random() < 0.3:
        count, unit = rng.randint(1, 12), ("小时", "hour")
        steps, hour_then = _steps(hour, sign * count, lowest=0, around=24)
        minute_then = minute
    else:
        # Never two odd numbers of minutes: either one is a multiple of ten, or both are multiples of five.
        count, unit = rng.randrange(10, 60, 10), ("分钟", "minute")
        if rng.random() < 0.6:
            count, minute = rng.randrange(5, 60, 5), minute // 5 * 5
        steps, minute_then = _steps(minute, sign * count, lowest=0, around=60)
        hour_then = (hour * 60 + minute + sign * count) // 60 % 24
    slots = _moved(sign * count, language, unit, {})
    question = vary(rng, phrasing.format(time=_time_as_typed(rng, hour, minute, language), **slots), language)
    answer = _concluded(steps, f"{hour_then}:{minute_then:02}", language)
    return Sample([], question, answer, language, phrasing, f"{hour}:{minute:02} {sign * count:+} {unit[1]}")


def _twelve_hour(rng: Random, language: Language) -> Sample:
    # Noon and midnight have names of their own.
    hour = rng.randint(13, 23) if rng.random() < 0.75 else rng.randint(1, 11)
    minute = rng.randrange(60)
    phrasing = rng.choice(_TWELVE_HOUR[language])
    question = vary(rng, phrasing.format(time=_time_as_typed(rng, hour, minute, language)), language)
    time = f"{hour % 12}:{minute:02}"
    zh_time, time = ("下午" + time, time + " pm") if hour > 12 else ("上午" + time, time + " am")
    morning = f"{hour}比12小" if language == "zh" else f"{hour} is less than 12"
    step = f"{hour}-12={hour % 12}" if hour > 12 else morning
    answer = _concluded([step], zh_time if language == "zh" else time, language)
    return Sample([], question, answer, language, phrasing, f"{hour}:{minute:02} on the 12-hour clock")


def _moved(
    count: int, language: Language, unit: tuple[str, str], near: Mapping[int, Mapping[str, str]]
) -> dict[str, str]:
    """The parts of a question that give distance and direction; `near` has words for the nearest days."""
    span, later, names = abs(count), count > 0, near.get(count, {})
    if language == "zh":
        zh = f"{span}{unit[0]}"
        after = f"{zh}{'后' if later else '前'}"
        return {
            "shift": f"往{'后' if later else '前'}{zh}",
            "when": names.get("when", after),
            "offset": names.get("offset", after),
        }
    en = _counted(span, unit[1])
    return {
        "is_it": "will it be" if later else "was it",
        "when": names.get("en_when", f"in {en}" if later else f"{en} ago"),
        "offset": names.get("en_offset", f"{en} {'after' if later else 'before'}"),
    }


def _steps(start: int, change: int, lowest: int, around: int) -> tuple[list[str], int]:
    """Steps from `start` by `change` on a dial that begins at `lowest` and has `around` positions; returns the steps
    and the end.
    """
    end = start + change
    if lowest <= end < lowest + around:
        return [f"{start}{change:+}={end}"], end
    if change > 0:
        return [f"{start}{change:+}={end}", f"{end}-{around}={end - around}"], end - around
    return [f"{start}+{around}={start + around}", f"{start + around}{change:+}={end + around}"], end + around


def _concluded(steps: Sequence[str], result: str, language: Language) -> str:
    if language == "zh":
        return "，".join(steps) + f"，所以是{result}。"
    return ", ".join(steps) + f", so it is {result}."


def _conclusion(answer: str) -> str:
    return re.split("，所以|, so ", answer.strip())[-1]


def _last_day(answer: str) -> list[str]:
    return re.findall("|".join(name for names in DAYS for name in names), answer)[-1:]


def _weekday_as_typed(rng: Random, day: int, language: Language) -> str:
    zh, en = DAYS[day]
    if language == "en":
        return en
    if rng.random() < 0.3:
        return zh.replace("星期", "周")
    return zh.replace("日", "天") if rng.random() < 0.5 else zh


def _month_as_typed(rng: Random, month: int, year: int | None, language: Language) -> str:
    if language == "en":
        return _name(month, year)
    if year:
        return f"{year}年{month}月"
    return f"{_NUMERALS[month - 1]}月" if rng.random() < 0.25 else f"{month}月"


def _name(month: int, year: int | None) -> str:
    return f"{MONTHS[month - 1]} {year}" if year else MONTHS[month - 1]


def _time_as_typed(rng: Random, hour: int, minute: int, language: Language) -> str:
    time = f"{hour}:{minute:02}"
    if language == "zh" and rng.random() < 0.4:
        return rng.choice((time.replace(":", "："), f"{hour}点{minute}分" if minute else f"{hour}点"))
    return time


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
