"""Weekdays, months and times: right by Python's own calendar, and asked in every wording."""

import calendar
import re
from datetime import date, datetime, timedelta

import pytest
from drawing import drawn

from fastglm.demo.skills.base import Sample, Skill
from fastglm.demo.skills.calendar import ClockTimes, Months, Weekdays

DAY_NAMES = {"zh": [f"星期{day}" for day in "一二三四五六日"], "en": list(calendar.day_name)}
MONTH_NAMES = {"zh": [f"{number}月" for number in range(1, 13)], "en": list(calendar.month_name)[1:]}


def moved(question: str) -> int:
    """The distance, negative for backward, by a reading of the question that knows no phrasings."""
    near = {
        "前天|day before yesterday": -2,
        "后天|day after tomorrow": 2,
        "昨天|前一天|yesterday|the day before|上个月|last month|the month before": -1,
        "明天|后一天|tomorrow|the day after|下个月|next month|the month after": 1,
    }
    for names, count in near.items():
        if re.search(names, question):
            return count
    (count,) = re.findall(r"(\d+)(?:天|个月|小时|分钟| days?| months?| hours?| minutes?)", question)
    return -int(count) if re.search("前|before|ago", question) else int(count)


def test_weekdays_are_right() -> None:
    for sample in drawn(Weekdays()):
        names = DAY_NAMES[sample.language]
        asked = re.sub("周(?=[一二三四五六日])", "星期", sample.question).replace("星期天", "星期日")
        start = min((d for d in range(7) if names[d].lower() in asked.lower()), key=lambda d: asked.find(names[d]))
        then = date(2024, 1, 1 + start) + timedelta(days=moved(sample.question))
        assert re.findall("|".join(names), sample.answer)[-1] == names[then.weekday()]
        assert sample.operand == f"{DAY_NAMES['en'][start]}{moved(sample.question):+}"
        if whole := re.match(r"(\d+)(?:天| days) ?= ?(\d+)(?:周| weeks?)(?: ?\+ ?(\d+))?", sample.answer):
            days, weeks, rest = (int(n or 0) for n in whole.groups())
            assert timedelta(days=days) == timedelta(weeks=weeks, days=rest)
        step = 1 if moved(sample.question) > 0 else -1
        counted = re.findall(r"(\d) ?(" + "|".join(names) + ")", sample.answer)
        assert [int(n) for n, _ in counted] == list(range(1, abs(moved(sample.question)) % 7 + 1))
        assert [name for _, name in counted] == [names[(start + step * int(n)) % 7] for n, _ in counted]


def test_weekdays_are_graded_by_the_day() -> None:
    expected = "10 days = 1 week + 3 days, count on from Monday: 1 Tuesday, 2 Wednesday, 3 Thursday, so it is Thursday."
    assert Weekdays().check("Count on from Monday: 3 Thursday, so it is Thursday.", expected)
    assert not Weekdays().check(expected.replace("Thursday", "Friday"), expected)
    assert not Weekdays().check("", expected)


def months_named(sample: Sample) -> list[int]:
    """The months in a question, by their place in the year."""
    numerals = [f"{number}月" for number in (*"一二三四五六七八九十", "十一", "十二")]
    zh, en = MONTH_NAMES["zh"], MONTH_NAMES["en"]
    found = re.findall(
        r"\d+月|十?[一二三四五六七八九十]月" if sample.language == "zh" else "|".join(en), sample.question
    )
    return [next(names.index(name) + 1 for names in (zh, en, numerals) if name in names) for name in found]


def test_months_and_their_lengths_are_right() -> None:
    kinds = set()
    for sample in drawn(Months()):
        (month,) = months_named(sample)
        names, kind = MONTH_NAMES[sample.language], sample.operand.split()[0]
        year = re.search(r"\d{4}", sample.question)
        if kind == "days":
            lengths = {calendar.monthrange(int(year[0]) if year else y, month)[1] for y in (2023, 2024)}
            assert set(map(int, re.findall(r"(?<!\d)\d\d(?!\d|月)", sample.answer))) == lengths
            assert sample.operand == f"days in {MONTH_NAMES['en'][month - 1]}" + (f" {year[0]}" if year else "")
        elif kind == "quarter":
            quarter = {"zh": ("第一", "第二", "第三", "第四"), "en": ("first", "second", "third", "fourth")}
            named = [n for n, name in enumerate(quarter[sample.language], 1) if name in sample.answer]
            assert named == [(month + 2) // 3]
        else:
            then = month
            for _ in range(abs(moved(sample.question))):
                step = timedelta(days=31 if moved(sample.question) > 0 else -1)
                then = (date(2023, then, 1) + step).month
            last = re.findall(r"\d+月" if sample.language == "zh" else "|".join(names), sample.answer)[-1]
            assert last == names[then - 1]
            kind = "move"
        kinds.add(kind)
    assert kinds == {"days", "quarter", "move"}


def test_times_are_right() -> None:
    for sample in drawn(ClockTimes()):
        asked = re.search(r"(\d+)(?:[:：]|点)(?:(\d+)分?)?(?!小)", sample.question)
        assert asked
        start = datetime(2024, 1, 2, int(asked[1]), int(asked[2] or 0))
        told = re.findall(r"(?:[上下]午)?\d+:\d\d(?: [ap]m)?", sample.answer)[-1]
        if "12-hour" in sample.operand:
            hour, half = (start.hour + 11) % 12 + 1, start.hour >= 12
            chinese, english = ("上午", "下午")[half], ("am", "pm")[half]
            clock = f"{hour}:{start:%M}"
            assert told == (f"{chinese}{clock}" if sample.language == "zh" else f"{clock} {english}")
        else:
            unit = "hours" if re.search("hour|小时", sample.question) else "minutes"
            rest = sample.question.replace(asked[0], "", 1)
            then = start + timedelta(**{unit: moved(rest)})
            assert told == f"{then.hour}:{then:%M}"


@pytest.mark.parametrize("skill", [Months(), ClockTimes()], ids=lambda skill: skill.name)
def test_the_working_is_right(skill: Skill) -> None:
    """Each step of a calculation holds."""
    steps = [step for s in drawn(skill) for step in re.findall(r"(\d+)([+-])(\d+)=(\d+)", s.answer)]
    assert len(steps) > 2000
    assert all(int(a) + (int(b) if sign == "+" else -int(b)) == int(c) for a, sign, b, c in steps)


def test_times_are_graded_by_what_follows_from_the_working() -> None:
    expected = "45+50=95, 95-60=35, so it is 4:35."
    assert ClockTimes().check("45+50=95, so it is 4:35.", expected)
    assert not ClockTimes().check("45+50=95, 95-60=35, so it is 3:35.", expected)
