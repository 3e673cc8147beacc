"""Small facts: opposites, colours, capitals and the days of the week."""

from collections.abc import Sequence
from random import Random
from typing import ClassVar

from .base import LANGUAGES, Language, Sample, Skill, vary


class Opposites(Skill):
    """Names the opposite of a word, in both directions."""

    name = "opposites"
    weight = 1.4

    PAIRS = (
        ("大", "小", "big", "small"),
        ("高", "低", "high", "low"),
        ("长", "短", "long", "short"),
        ("快", "慢", "fast", "slow"),
        ("冷", "热", "cold", "hot"),
        ("黑", "白", "black", "white"),
        ("上", "下", "up", "down"),
        ("左", "右", "left", "right"),
        ("前", "后", "front", "back"),
        ("里", "外", "inside", "outside"),
        ("多", "少", "many", "few"),
        ("新", "旧", "new", "old"),
        ("好", "坏", "good", "bad"),
        ("轻", "重", "light", "heavy"),
        ("强", "弱", "strong", "weak"),
        ("远", "近", "far", "near"),
        ("深", "浅", "deep", "shallow"),
        ("早", "晚", "early", "late"),
        ("开", "关", "open", "closed"),
        ("胖", "瘦", "fat", "thin"),
        ("干", "湿", "dry", "wet"),
        ("软", "硬", "soft", "hard"),
        ("真", "假", "true", "false"),
        ("难", "易", "difficult", "easy"),
        ("贵", "便宜", "expensive", "cheap"),
        ("高兴", "难过", "happy", "sad"),
        ("安静", "吵闹", "quiet", "noisy"),
        ("干净", "肮脏", "clean", "dirty"),
        ("开始", "结束", "begin", "end"),
        ("成功", "失败", "success", "failure"),
        ("朋友", "敌人", "friend", "enemy"),
        ("白天", "黑夜", "day", "night"),
        ("东", "西", "east", "west"),
        ("南", "北", "south", "north"),
        ("富有", "贫穷", "rich", "poor"),
        ("聪明", "愚蠢", "clever", "stupid"),
        ("勇敢", "胆小", "brave", "timid"),
        ("美丽", "丑陋", "beautiful", "ugly"),
        ("厚", "薄", "thick", "thin"),
        ("宽", "窄", "wide", "narrow"),
    )

    def sample(self, rng: Random) -> Sample:
        pair = rng.choice(self.PAIRS)
        forward = rng.random() < 0.5
        if rng.choice(LANGUAGES) == "zh":
            word, other = pair[:2] if forward else pair[1::-1]
            frame = rng.choice(
                ("{}的反义词是什么？", "“{}”的反义词是什么？", "{}的反义词", "和{}相反的词是什么？", "{}反过来是什么？")
            )
            return Sample([], vary(rng, frame.format(word), "zh"), f"“{word}”的反义词是“{other}”。")
        word, other = pair[2:] if forward or pair[3] == "thin" else pair[:1:-1]  # "thin" has two opposites
        frame = rng.choice(
            (
                "What is the opposite of {}?",
                'What is the opposite of "{}"?',
                "Opposite of {}?",
                "The opposite of {} is?",
            )
        )
        return Sample([], vary(rng, frame.format(word), "en"), f'The opposite of "{word}" is "{other}".')


class Colours(Skill):
    """Says which colour a thing has, and what two colours mix to."""

    name = "colours"
    weight = 1.1

    THINGS = (
        ("天空", "the sky", "蓝", "blue"),
        ("大海", "the sea", "蓝", "blue"),
        ("草", "grass", "绿", "green"),
        ("树叶", "a leaf", "绿", "green"),
        ("黄瓜", "a cucumber", "绿", "green"),
        ("雪", "snow", "白", "white"),
        ("牛奶", "milk", "白", "white"),
        ("云", "a cloud", "白", "white"),
        ("盐", "salt", "白", "white"),
        ("煤", "coal", "黑", "black"),
        ("乌鸦", "a crow", "黑", "black"),
        ("香蕉", "a banana", "黄", "yellow"),
        ("柠檬", "a lemon", "黄", "yellow"),
        ("向日葵", "a sunflower", "黄", "yellow"),
        ("血", "blood", "红", "red"),
        ("番茄", "a tomato", "红", "red"),
        ("草莓", "a strawberry", "红", "red"),
        ("樱桃", "a cherry", "红", "red"),
        ("橙子", "an orange", "橙", "orange"),
        ("胡萝卜", "a carrot", "橙", "orange"),
        ("南瓜", "a pumpkin", "橙", "orange"),
        ("茄子", "an aubergine", "紫", "purple"),
        ("葡萄", "a grape", "紫", "purple"),
        ("大象", "an elephant", "灰", "grey"),
        ("巧克力", "chocolate", "棕", "brown"),
        ("火烈鸟", "a flamingo", "粉", "pink"),
        ("青蛙", "a frog", "绿", "green"),
        ("菠菜", "spinach", "绿", "green"),
        ("纸", "paper", "白", "white"),
        ("夜晚", "the night", "黑", "black"),
    )
    MIXTURES = (("红", "黄", "橙"), ("蓝", "黄", "绿"), ("红", "蓝", "紫"), ("红", "白", "粉"), ("黑", "白", "灰"))
    _ENGLISH: ClassVar[dict[str, str]] = {zh: en for _, _, zh, en in THINGS}

    def sample(self, rng: Random) -> Sample:
        chinese = rng.choice(LANGUAGES) == "zh"
        if rng.random() < 0.2:
            first, second, mixed = rng.choice(self.MIXTURES)
            first, second = rng.sample((first, second), 2)
            if chinese:
                frame = rng.choice(
                    ("{}色和{}色混在一起是什么颜色？", "{}色加{}色是什么颜色？", "{}色和{}色混合会变成什么颜色？")
                )
                return Sample(
                    [], vary(rng, frame.format(first, second), "zh"), f"{first}色和{second}色混在一起是{mixed}色。"
                )
            first, second, mixed = (self._ENGLISH[colour] for colour in (first, second, mixed))
            frame = rng.choice(
                ("What colour do {} and {} make?", "What is {} mixed with {}?", "Which colour is {} and {} together?")
            )
            return Sample(
                [], vary(rng, frame.format(first, second), "en"), f"{first.capitalize()} and {second} make {mixed}."
            )
        zh, en, zh_colour, en_colour = rng.choice(self.THINGS)
        if chinese:
            frame = rng.choice(
                ("{}是什么颜色的？", "{}是什么颜色？", "{}的颜色是什么？", "{}什么颜色？", "{}是啥颜色？")
            )
            return Sample([], vary(rng, frame.format(zh), "zh"), f"{zh}是{zh_colour}色的。")
        frame = rng.choice(
            ("What colour is {}?", "What color is {}?", "Which colour is {}?", "What is the colour of {}?")
        )
        return Sample([], vary(rng, frame.format(en), "en"), f"{en[0].upper()}{en[1:]} is {en_colour}.")


class Capitals(Skill):
    """Names the capital of a country, the country of a capital, and goes on from an earlier round."""

    name = "capitals"
    weight = 2.0

    COUNTRIES = (
        ("中国", "China", "北京", "Beijing"),
        ("法国", "France", "巴黎", "Paris"),
        ("德国", "Germany", "柏林", "Berlin"),
        ("英国", "the United Kingdom", "伦敦", "London"),
        ("美国", "the United States", "华盛顿", "Washington"),
        ("日本", "Japan", "东京", "Tokyo"),
        ("韩国", "South Korea", "首尔", "Seoul"),
        ("俄罗斯", "Russia", "莫斯科", "Moscow"),
        ("意大利", "Italy", "罗马", "Rome"),
        ("西班牙", "Spain", "马德里", "Madrid"),
        ("葡萄牙", "Portugal", "里斯本", "Lisbon"),
        ("希腊", "Greece", "雅典", "Athens"),
        ("埃及", "Egypt", "开罗", "Cairo"),
        ("印度", "India", "新德里", "New Delhi"),
        ("泰国", "Thailand", "曼谷", "Bangkok"),
        ("越南", "Vietnam", "河内", "Hanoi"),
        ("加拿大", "Canada", "渥太华", "Ottawa"),
        ("澳大利亚", "Australia", "堪培拉", "Canberra"),
        ("巴西", "Brazil", "巴西利亚", "Brasilia"),
        ("墨西哥", "Mexico", "墨西哥城", "Mexico City"),
        ("土耳其", "Turkey", "安卡拉", "Ankara"),
        ("瑞士", "Switzerland", "伯尔尼", "Bern"),
        ("瑞典", "Sweden", "斯德哥尔摩", "Stockholm"),
        ("挪威", "Norway", "奥斯陆", "Oslo"),
        ("芬兰", "Finland", "赫尔辛基", "Helsinki"),
        ("丹麦", "Denmark", "哥本哈根", "Copenhagen"),
        ("波兰", "Poland", "华沙", "Warsaw"),
        ("奥地利", "Austria", "维也纳", "Vienna"),
        ("荷兰", "the Netherlands", "阿姆斯特丹", "Amsterdam"),
        ("比利时", "Belgium", "布鲁塞尔", "Brussels"),
        ("古巴", "Cuba", "哈瓦那", "Havana"),
        ("秘鲁", "Peru", "利马", "Lima"),
        ("蒙古", "Mongolia", "乌兰巴托", "Ulaanbaatar"),
        ("伊朗", "Iran", "德黑兰", "Tehran"),
        ("肯尼亚", "Kenya", "内罗毕", "Nairobi"),
        ("阿根廷", "Argentina", "布宜诺斯艾利斯", "Buenos Aires"),
    )

    _ASK: ClassVar[dict[Language, Sequence[str]]] = {
        "zh": ("{}的首都是哪里？", "{}的首都是哪个城市？", "{}的首都是什么？", "{}的首都在哪里？", "{}首都是哪？"),
        "en": (
            "What is the capital of {}?",
            "Which city is the capital of {}?",
            "The capital of {}?",
            "What is {}'s capital?",
        ),
    }
    _ASK_ON: ClassVar[dict[Language, Sequence[str]]] = {
        "zh": ("那{}呢？", "{}呢？"),
        "en": ("And {}?", "What about {}?"),
    }
    _ASK_COUNTRY: ClassVar[dict[Language, Sequence[str]]] = {
        "zh": ("{}是哪个国家的首都？", "{}是哪国的首都？", "哪个国家的首都是{}？"),
        "en": (
            "{} is the capital of which country?",
            "Which country has the capital {}?",
            "Which country's capital is {}?",
        ),
    }

    def sample(self, rng: Random) -> Sample:
        language = rng.choice(LANGUAGES)
        kind = rng.random()
        country, capital = self._draw(rng, language)
        if kind < 0.25:
            question = vary(rng, rng.choice(self._ASK_COUNTRY[language]).format(capital), language)
            answer = f"{capital}是{country}的首都。" if language == "zh" else f"{capital} is the capital of {country}."
            return Sample([], question, answer)
        question = vary(rng, rng.choice(self._ASK[language]).format(country), language)
        answer = self._answer(language, country, capital)
        if kind < 0.85:
            return Sample([], question, answer)
        other, other_capital = self._draw(rng, language)
        follow_up = rng.choice(self._ASK_ON[language]).format(other)
        return Sample([(question, answer)], follow_up, self._answer(language, other, other_capital))

    def _draw(self, rng: Random, language: Language) -> tuple[str, str]:
        zh, en, zh_capital, en_capital = rng.choice(self.COUNTRIES)
        return (zh, zh_capital) if language == "zh" else (en, en_capital)

    @staticmethod
    def _answer(language: Language, country: str, capital: str) -> str:
        return f"{country}的首都是{capital}。" if language == "zh" else f"The capital of {country} is {capital}."


class Weekdays(Skill):
    """The order of the days, and how many there are."""

    name = "weekdays"
    weight = 1.0

    ZH = tuple("星期" + day for day in "一二三四五六日")
    EN = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

    def sample(self, rng: Random) -> Sample:
        chinese = rng.choice(LANGUAGES) == "zh"
        if rng.random() < 0.15:
            if chinese:
                question = rng.choice(("一个星期有几天？", "一周有几天？", "一个星期有哪几天？", "一周有多少天？"))
                return Sample([], vary(rng, question, "zh"), f"一个星期有七天：{'、'.join(self.ZH)}。")
            question = rng.choice(
                (
                    "How many days are in a week?",
                    "How many days does a week have?",
                    "What are the days of the week?",
                    "Name the days of the week.",
                )
            )
            return Sample(
                [], vary(rng, question, "en"), f"A week has seven days: {', '.join(self.EN[:6])} and {self.EN[6]}."
            )
        day, step = rng.randrange(7), rng.choice((-1, 1))
        other = (day + step) % 7
        if chinese:
            frames = {
                1: ("{}的后一天是星期几？", "今天是{}，明天是星期几？", "{}之后是星期几？"),
                -1: ("{}的前一天是星期几？", "今天是{}，昨天是星期几？", "{}之前是星期几？"),
            }
            answer = f"{self.ZH[day]}的{'后' if step == 1 else '前'}一天是{self.ZH[other]}。"
            return Sample([], vary(rng, rng.choice(frames[step]).format(self.ZH[day]), "zh"), answer)
        frames = {
            1: ("What day comes after {}?", "Which day is after {}?", "Today is {}. What day is tomorrow?"),
            -1: ("What day comes before {}?", "Which day is before {}?", "Today is {}. What day was yesterday?"),
        }
        answer = f"The day {'after' if step == 1 else 'before'} {self.EN[day]} is {self.EN[other]}."
        return Sample([], vary(rng, rng.choice(frames[step]).format(self.EN[day]), "en"), answer)
