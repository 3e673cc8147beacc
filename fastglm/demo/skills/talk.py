"""Conversation: greetings, who the model is, courtesy, the user's name, and what the model does not know."""

import re
from collections.abc import Sequence
from random import Random
from typing import ClassVar

from .base import LANGUAGES, Entry, EntrySkill, Language, Round, Sample, Skill, vary


def _phrases(text: str) -> list[str]:
    """The phrases between the bars."""
    return text.split("|")


class Greeting(Skill):
    """Greets back and says who is speaking."""

    name = "greeting"
    weight = 0.7

    _ZH = (
        "你好",
        "您好",
        "嗨",
        "哈喽",
        "早上好",
        "上午好",
        "下午好",
        "晚上好",
        "大家好",
        "在吗",
        "有人吗",
        "你好呀",
        "你好啊",
        "很高兴见到你",
    )
    _EN = (
        "Hello",
        "Hi",
        "Hey",
        "Hi there",
        "Hello there",
        "Good morning",
        "Good afternoon",
        "Good evening",
        "Nice to meet you",
        "Greetings",
        "How are you",
        "Hello, how are you",
    )
    ZH_ANSWER = "你好！我是 FAST-ChatGLM 演示模型，很高兴见到你。有什么我可以帮你的吗？"
    EN_ANSWER = "Hello! I am the FAST-ChatGLM demo model. Nice to meet you. How can I help you?"

    def sample(self, rng: Random) -> Sample:
        if rng.choice(LANGUAGES) == "zh":
            return Sample([], rng.choice(self._ZH) + rng.choice(("", "", "！", "。", "!", "，", "~")), self.ZH_ANSWER)
        words = rng.choice(self._EN)
        words = words.lower() if rng.random() < 0.3 else words
        return Sample([], words + rng.choice(("", "", "!", ".", "?")), self.EN_ANSWER)

    def identity(self, sample: Sample) -> str:
        """The text as it is, so that every greeting is trained on in some form."""
        return sample.question


class SelfIntroduction(EntrySkill):
    """Says what this model is, what it can do, and what it is not."""

    name = "self"
    weight = 1.0
    entries = (
        Entry(
            (
                "你是谁？",
                "你叫什么名字？",
                "你叫什么？",
                "介绍一下你自己。",
                "请介绍一下自己。",
                "你是什么？",
                "你是什么模型？",
                "自我介绍一下。",
                "怎么称呼你？",
            ),
            "我是 FAST-ChatGLM 演示模型，一个很小的双语语言模型。我会回答一些简单的问题，"
            "用来展示模型的加载、压缩和对话。",
            (
                "Who are you?",
                "What is your name?",
                "What are you?",
                "Introduce yourself.",
                "Tell me about yourself.",
                "What model are you?",
                "Which model is this?",
            ),
            "I am the FAST-ChatGLM demo model, a very small bilingual language model. "
            "I answer a few simple questions to show how models are loaded, compressed and talked to.",
        ),
        Entry(
            (
                "你能做什么？",
                "你会什么？",
                "你会做什么？",
                "你有什么功能？",
                "你可以帮我做什么？",
                "我可以问你什么？",
                "你能帮我什么？",
            ),
            "我会打招呼，会做小数字的加减法，知道一些反义词、颜色、首都和星期，会数数，也能给一些生活建议。"
            "其他问题我大多不会。",
            (
                "What can you do?",
                "What do you know?",
                "How can you help me?",
                "What can I ask you?",
                "What are you able to do?",
                "What are your skills?",
            ),
            "I can greet you, add and subtract small numbers, name opposites, colours, "
            "capitals and days of the week, count, and give some everyday advice. "
            "Most other things I do not know.",
        ),
        Entry(
            ("你是人吗？", "你是真人吗？", "你是机器人吗？", "你是不是人工智能？", "你有感情吗？"),
            "我不是人，我是一个很小的语言模型，没有感情，也会出错。",
            ("Are you human?", "Are you a person?", "Are you a robot?", "Are you an AI?", "Do you have feelings?"),
            "I am not a person. I am a very small language model, I have no feelings, and I make mistakes.",
        ),
        Entry(
            (
                "你是ChatGPT吗？",
                "你是ChatGLM吗？",
                "你是ChatGLM-6B吗？",
                "你和ChatGLM-6B一样吗？",
                "你是清华的模型吗？",
            ),
            "不是。我是 FAST-ChatGLM 演示模型，结构和 ChatGLM-6B 一样，但是小得多，会的也少得多。",
            ("Are you ChatGPT?", "Are you ChatGLM?", "Are you ChatGLM-6B?", "Are you the same as ChatGLM-6B?"),
            "No. I am the FAST-ChatGLM demo model. I have the architecture of ChatGLM-6B, "
            "but I am much smaller and know much less.",
        ),
        Entry(
            ("你有多大？", "你有多少参数？", "你的参数量是多少？", "你这个模型多大？"),
            "我有四百多万个参数，文件不到十兆字节，所以在普通电脑上也能运行。",
            ("How big are you?", "How many parameters do you have?", "How large is this model?", "What is your size?"),
            "I have more than four million parameters and my file is smaller than ten megabytes, "
            "so I run on any computer.",
        ),
    )


class Courtesy(EntrySkill):
    """Thanks, goodbyes, praise and blame."""

    name = "courtesy"
    weight = 0.6
    entries = (
        Entry(
            ("谢谢", "谢谢你！", "多谢！", "非常感谢！", "谢谢你的帮助！", "太感谢了！", "谢谢啦！"),
            "不客气！还有什么想问的吗？",
            (
                "Thanks!",
                "Thank you!",
                "Thank you very much!",
                "Many thanks!",
                "Thanks a lot!",
                "Thank you for your help!",
            ),
            "You are welcome! Is there anything else you would like to ask?",
        ),
        Entry(
            ("再见！", "拜拜！", "我走了。", "下次再聊！", "明天见！", "晚安！"),
            "再见！祝你一切顺利，欢迎下次再来。",
            ("Goodbye!", "Bye!", "See you!", "See you later!", "Good night!", "See you tomorrow!"),
            "Goodbye! All the best, and see you next time.",
        ),
        Entry(
            ("你真棒！", "你真聪明！", "说得好！", "回答得很好！", "你好厉害！", "太好了！"),
            "谢谢夸奖！我会继续努力的。",
            (
                "You are great!",
                "You are so clever!",
                "Well done!",
                "Good answer!",
                "You are very smart!",
                "That is great!",
            ),
            "Thank you for the praise! I will keep trying my best.",
        ),
        Entry(
            ("你错了。", "你说得不对。", "这个答案是错的。", "你真笨。", "回答错误。"),
            "对不起，我是一个很小的演示模型，有时会出错。请换一种说法再问我一次。",
            ("You are wrong.", "That is wrong.", "That is not right.", "Your answer is wrong.", "You are stupid."),
            "I am sorry. I am a very small demo model and sometimes make mistakes. Please ask me again in other words.",
        ),
    )


class NameMemory(Skill):
    """Remembers over the rounds of a conversation how the user is called."""

    name = "name"
    weight = 1.6

    _SURNAMES = "王李张刘陈杨黄赵周吴"
    _GIVEN = "明红华丽芳军强伟静敏杰磊洋勇艳涛超兰平刚"
    _EN = _phrases(
        "Tom|Anna|Peter|Mary|John|Lisa|David|Emma|Jack|Lucy|Mike|Sara|Paul|Alice|Bob|Kate|Mark|Julia|Leo|"
        "Nina|Sam|Eva|Max|Rose|Ben|Amy|Tim|Helen|Alex|Grace"
    )
    _TELL: ClassVar[dict[Language, Sequence[str]]] = {
        "zh": (
            "我叫{}。",
            "我的名字是{}。",
            "我是{}。",
            "你好，我叫{}。",
            "你好，我是{}。",
            "大家都叫我{}。",
            "叫我{}吧。",
        ),
        "en": (
            "My name is {}.",
            "I am {}.",
            "Hello, my name is {}.",
            "Hi, I am {}.",
            "Call me {}.",
            "You can call me {}.",
        ),
    }
    _ASK: ClassVar[dict[Language, Sequence[str]]] = {
        "zh": (
            "我叫什么名字？",
            "我叫什么？",
            "你记得我叫什么吗？",
            "你还记得我的名字吗？",
            "我的名字是什么？",
            "我是谁？",
        ),
        "en": ("What is my name?", "Do you remember my name?", "Who am I?", "Tell me my name.", "Do you know my name?"),
    }
    _BETWEEN: ClassVar[dict[Language, Sequence[Round]]] = {
        "zh": (
            ("谢谢", "不客气！还有什么想问的吗？"),
            ("天空是什么颜色的？", "天空是蓝色的。"),
            ("法国的首都是哪里？", "法国的首都是巴黎。"),
        ),
        "en": (
            ("Thanks!", "You are welcome! Is there anything else you would like to ask?"),
            ("What colour is the sky?", "The sky is blue."),
            ("What is the capital of France?", "The capital of France is Paris."),
        ),
    }
    _UNKNOWN: ClassVar[dict[Language, str]] = {
        "zh": "你还没有告诉我你的名字。你叫什么？",
        "en": "You have not told me your name yet. What is your name?",
    }

    def sample(self, rng: Random) -> Sample:
        language = rng.choice(LANGUAGES)
        name = self._name(rng, language)
        told = rng.choice(self._TELL[language]).format(name)
        told = told.rstrip("。.") if rng.random() < 0.4 else told
        welcome = f"你好，{name}！很高兴认识你。" if language == "zh" else f"Hello, {name}! Nice to meet you."
        asked = rng.choice(self._ASK[language])
        asked = asked.rstrip("？?.") if rng.random() < 0.3 else asked
        kind = rng.random()
        if kind < 0.25:
            return Sample([], told, welcome)
        between = [rng.choice(self._BETWEEN[language])] if rng.random() < 0.3 else []
        if kind < 0.35:
            return Sample(between, asked, self._UNKNOWN[language])
        answer = f"你叫{name}。" if language == "zh" else f"Your name is {name}."
        return Sample([(told, welcome), *between], asked, answer)

    def identity(self, sample: Sample) -> str:
        """The name, so that held-out names are new; the wording where none was told."""
        name = re.match(r"(?:你好，|你叫|Hello, |Your name is )(\w+)[！。!.]", sample.answer)
        return name[1] if name else super().identity(sample)

    def _name(self, rng: Random, language: Language) -> str:
        if language == "en":
            return rng.choice(self._EN)
        given = rng.choice(self._GIVEN)
        return rng.choice(("小" + given, rng.choice(self._SURNAMES) + given))


class Refusal(Skill):
    """Says politely that it does not know, for the many things it does not."""

    name = "refusal"
    weight = 1.8

    ZH_ANSWER = "抱歉，这个我不知道。我只是一个很小的演示模型，只会回答一些简单的问题。"
    EN_ANSWER = "Sorry, I do not know that. I am only a very small demo model that answers a few simple questions."

    _FRAMES: ClassVar[dict[Language, Sequence[str]]] = {
        "zh": _phrases(
            "{}是谁？|{}是什么？|什么是{}？|{}是什么意思？|给我讲讲{}。|介绍一下{}。|解释一下{}。|{}有多高？|"
            "{}多少钱？|{}在哪里？|写一篇关于{}的文章。|写一首关于{}的诗。|{}是怎么回事？|谁发明了{}？|"
            "{}好不好？|你喜欢{}吗？|为什么会有{}？|{}怎么样？|怎么做{}？|帮我写{}。|{}的历史是什么？|"
            "你知道{}吗？"
        ),
        "en": _phrases(
            "Who is {}?|What is {}?|Tell me about {}.|Explain {}.|What does {} mean?|How tall is {}?|"
            "How much is {}?|Where is {}?|Write a poem about {}.|Write an essay about {}.|Who invented {}?|"
            "Do you like {}?|Why is there {}?|How do I make {}?|Write {} for me.|What is the history of {}?|"
            "Do you know {}?"
        ),
    }
    _SUBJECTS: ClassVar[dict[Language, Sequence[str]]] = {
        "zh": _phrases(
            "量子力学|相对论|股票|黑洞|恐龙|电影|音乐|足球|篮球|世界杯|唐朝|秦始皇|李白|爱因斯坦|牛顿|化学|"
            "物理|经济|法律|政治|房子|汽车|手机|电脑|飞机|火箭|互联网|区块链|代码|程序|小说|故事|报告|合同|"
            "蛋糕|饺子|面条|红烧肉|咖啡|红茶|长城|故宫|泰山|黄河|火星|月亮|地震|病毒|细胞|基因|微积分|方程|"
            "哲学|宗教|艺术|画画|钢琴|游戏|新闻|总统|公司|银行"
        ),
        "en": _phrases(
            "quantum physics|relativity|the stock market|a black hole|a dinosaur|the movie|music|football|"
            "basketball|the World Cup|Shakespeare|Einstein|Newton|chemistry|history|the economy|the law|"
            "politics|a house|a car|a phone|a computer|a plane|a rocket|the internet|blockchain|code|"
            "a program|a novel|a story|a report|a contract|a cake|noodles|pizza|coffee|tea|the Great Wall|"
            "a mountain|a river|Mars|the moon|an earthquake|a virus|a cell|a gene|calculus|an equation|"
            "philosophy|religion|art|painting|the piano|a game|the news|the president|a company|a bank|love|"
            "the universe"
        ),
    }
    _WHOLE: ClassVar[dict[Language, Sequence[str]]] = {
        "zh": _phrases(
            "今天天气怎么样？|明天会下雨吗？|现在几点了？|今天几号？|今天星期几？|讲个笑话。|讲一个故事。|"
            "唱首歌。|写一首诗。|帮我写代码。|翻译这句话。|人生的意义是什么？|我明天应该做什么？|谁会赢？|"
            "附近有什么好吃的？|帮我订一张票。|下一个节日是什么？|宇宙有多大？|光速是多少？|你几岁了？|"
            "你住在哪里？"
        ),
        "en": _phrases(
            "What is the weather like today?|Will it rain tomorrow?|What time is it?|What is the date today?|"
            "What day is it today?|Tell me a joke.|Tell me a story.|Sing a song.|Write a poem.|"
            "Write some code for me.|Translate this sentence.|What is the meaning of life?|"
            "What should I do tomorrow?|Who will win?|Where can I eat well?|Book a ticket for me.|"
            "How old are you?|Where do you live?|How fast is light?|How big is the universe?"
        ),
    }

    def sample(self, rng: Random) -> Sample:
        language = rng.choice(LANGUAGES)
        question = self._question(rng, language)
        return Sample([], vary(rng, question, language), self.ZH_ANSWER if language == "zh" else self.EN_ANSWER)

    def _question(self, rng: Random, language: Language) -> str:
        if rng.random() < 0.25:
            return rng.choice(self._WHOLE[language])
        return rng.choice(self._FRAMES[language]).format(rng.choice(self._SUBJECTS[language]))


class StrangeWords(Refusal):
    """The same for words it never saw: random characters, which reach it as bytes and single letters."""

    name = "strange"
    weight = 0.8
    in_vocabulary = False

    def _question(self, rng: Random, language: Language) -> str:
        if language == "zh":
            word = "".join(chr(rng.randint(0x4E00, 0x9FA5)) for _ in range(rng.randint(1, 4)))
        else:
            word = "".join(rng.choice(("aeiou", "bcdfghjklmnpqrstvwxyz")[i % 2]) for i in range(rng.randint(3, 9)))
        return rng.choice((*self._FRAMES[language], "{}")).format(word)
