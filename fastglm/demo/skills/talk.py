"""Conversation: greetings, courtesy, and questions about the model itself."""

from collections.abc import Mapping
from random import Random
from typing import ClassVar

from .base import Entry, EntrySkill, Language


def _entry(name: str, zh: str, zh_answer: str, en: str, en_answer: str) -> Entry:
    """An entry whose phrasings are separated by bars."""
    return Entry(name, zh.split("|"), zh_answer, en.split("|"), en_answer)


class _SmallTalk(EntrySkill):
    """Phrases that nobody opens with "Please"; only their marks vary."""

    def typed(self, rng: Random, phrasing: str, language: Language) -> str:
        mark = rng.random()
        question = phrasing
        if mark < 0.3:
            question = phrasing.rstrip("？?。.！!")
        elif mark < 0.4 and language == "zh":
            question = phrasing.replace("？", "?").replace("！", "!").replace("，", ",")
        elif mark < 0.5 and phrasing.endswith(("！", "!")):
            question = phrasing[:-1] + ("。" if language == "zh" else ".")
        if language == "en" and phrasing[:2] != "I " and rng.random() < 0.2:
            question = question[0].lower() + question[1:]
        return question


class Greeting(_SmallTalk):
    """Returns a greeting in its own style."""

    name = "greeting"
    weight = 0.7
    salt = "2"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "打招呼", "en": "Greetings"}
    examples: ClassVar[Mapping[Language, str]] = {"zh": "你好！", "en": "Hello!"}
    entries = (
        _entry(
            "hello",
            "你好！|您好！|嗨！|嗨，你好！|你好呀！|你好啊！|您好呀！|您好啊！|嗨，您好！|哈喽！|哈喽，你好！|哈喽，您好！|"
            "你好，你好！|您好，您好！|嗨，你好呀！|嗨，你好啊！|哈喽，你好啊！|大家好！|嗨，大家好！|大家好呀！",
            "你好！很高兴见到你。你想问什么？",
            "Hello!|Hi!|Hey!|Hello there!|Hi there!|Hey there!|Hello again!|Hi again!|Hey again!|Hello, hello!|"
            "Hi, hello!|Hey, hello!|Hello to you!|Hi to you!|Hey, hi!|Hey, hi there!|Hi, hello there!",
            "Hello! Nice to meet you. What would you like to ask?",
        ),
        _entry(
            "morning",
            "早上好！|早上好呀！|早上好啊！|你好，早上好！|您好，早上好！|大家早上好！|早安！|早安呀！|你早！|您早！|"
            "早呀，你好！|早啊，你好！|早！|嗨，早安！|嗨，早上好！",
            "早上好！祝你今天一切顺利。",
            "Good morning!|Good morning to you!|Hello, good morning!|Hi, good morning!|Hey, good morning!|"
            "Good morning, good morning!|A good morning to you!|A very good morning!|A very good morning to you!|"
            "Morning!|Hi, morning!|Hello and good morning!",
            "Good morning! I wish you a nice day.",
        ),
        _entry(
            "afternoon",
            "下午好！|下午好呀！|下午好啊！|你好，下午好！|您好，下午好！|大家下午好！|嗨，下午好！|哈喽，下午好！|"
            "中午好！|中午好呀！|中午好啊！|你好，中午好！|嗨，中午好！",
            "下午好！希望你今天过得愉快。",
            "Good afternoon!|Good afternoon to you!|Hello, good afternoon!|Hi, good afternoon!|Hey, good afternoon!|"
            "Good afternoon, good afternoon!|A good afternoon to you!|A very good afternoon!|"
            "A very good afternoon to you!|Hello and good afternoon!",
            "Good afternoon! I hope your day is going well.",
        ),
        _entry(
            "evening",
            "晚上好！|晚上好呀！|晚上好啊！|你好，晚上好！|您好，晚上好！|大家晚上好！|嗨，晚上好！|哈喽，晚上好！|"
            "嗨，晚上好呀！|你好啊，晚上好！",
            "晚上好！今天过得怎么样？",
            "Good evening!|Good evening to you!|Hello, good evening!|Hi, good evening!|Hey, good evening!|"
            "Good evening, good evening!|A good evening to you!|A very good evening!|A very good evening to you!|"
            "Hello and good evening!",
            "Good evening! How was your day?",
        ),
        _entry(
            "how are you",
            "你好吗？|你还好吗？|你最近好吗？|你最近怎么样？|你今天好吗？|你今天怎么样？|最近怎么样？|最近还好吗？|"
            "今天过得好吗？|最近过得好吗？|你今天过得怎么样？|你最近过得怎么样？|嗨，你好吗？|你好，最近好吗？",
            "我很好，谢谢关心！你想问什么？",
            "How are you?|How are you today?|Hello, how are you?|Hi, how are you?|Hey, how are you?|"
            "How are you doing?|How are you doing today?|How is it going?|How is it going today?|Hi, how is it going?|"
            "Hello, how are you doing?|Are you well?|Are you well today?|Hello, are you well?|Hey, how is it going?",
            "I am fine, thank you! What would you like to ask?",
        ),
        _entry(
            "nice to meet you",
            "很高兴见到你！|很高兴认识你！|见到你很高兴！|认识你很高兴！|你好，很高兴见到你！|你好，很高兴认识你！|"
            "真高兴见到你！|真高兴认识你！|见到你真高兴！|认识你真高兴！|我很高兴见到你！|我很高兴认识你！",
            "我也很高兴认识你！",
            "Nice to meet you!|Nice to see you!|Good to meet you!|Good to see you!|Hello, nice to meet you!|"
            "Hi, nice to meet you!|Very nice to meet you!|Very nice to see you!|It is nice to meet you!|"
            "It is good to meet you!|It is nice to see you!|It is good to see you!|I am happy to meet you!|"
            "I am happy to see you!|Very happy to meet you!|"
            "I am very happy to meet you!|I am very happy to see you!|I am so happy to meet you!",
            "Nice to meet you too!",
        ),
        _entry(
            "are you there",
            "在吗？|你在吗？|您在吗？|你好，在吗？|有人在吗？|有人吗？|你好，有人吗？|你在不在？|在不在？|你还在吗？|"
            "您好，在吗？|您好，有人在吗？|嗨，你在吗？|还在吗？|"
            "您在不在？|你好，在不在？|你好，你在不在？",
            "我在，请说。",
            "Are you there?|Hello, are you there?|Hi, are you there?|Hey, are you there?|Is anyone there?|"
            "Is anyone here?|Hello, is anyone there?|Are you here?|Hello, are you here?|Are you still there?|"
            "Are you still here?|Hello, is anyone here?|Hi, are you still there?",
            "I am here. Please go on.",
        ),
    )


class Courtesy(_SmallTalk):
    """Answers thanks, goodbyes, praise and blame."""

    name = "courtesy"
    weight = 0.8
    salt = "162"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "礼貌用语", "en": "Courtesy"}
    examples: ClassVar[Mapping[Language, str]] = {"zh": "谢谢您！", "en": "Thank you!"}
    entries = (
        _entry(
            "thanks",
            "谢谢！|谢谢你！|谢谢您！|多谢！|多谢你！|多谢您！|非常感谢！|非常感谢你！|谢谢你的帮助！|多谢你的帮助！|"
            "感谢你的帮助！|太谢谢你了！|太感谢了！|太感谢你了！|好的，谢谢！|好的，谢谢你！|谢谢你的回答！|"
            "感谢你的回答！|多谢你的回答！|非常谢谢你！|"
            "非常感谢你的帮助！|太感谢你的帮助了！",
            "不客气！还有什么想问的吗？",
            "Thanks!|Thank you!|Many thanks!|Thanks a lot!|Thank you a lot!|Thank you very much!|Thank you so much!|"
            "Thanks so much!|Thanks very much!|Thanks for your help!|Thank you for your help!|Thanks for the help!|"
            "Thank you for the answer!|Thanks for the answer!|Many thanks for your help!|Many thanks for the answer!|"
            "Good, thank you!|Good, thanks!|"
            "Thanks a lot for your help!|Thank you a lot for your help!",
            "You are welcome! Is there anything else?",
        ),
        _entry(
            "goodbye",
            "再见！|拜拜！|再见了！|拜拜了！|好的，再见！|好的，拜拜！|我走了，再见！|我走了，拜拜！|我走了！|"
            "下次见！|下次再见！|下次再聊！|明天见！|明天再见！|明天再聊！|再见，下次聊！|再见，明天见！|我们下次再聊！|"
            "我们明天再聊！|"
            "我们下次见！|我们明天见！",
            "再见！欢迎下次再来。",
            "Goodbye!|Bye!|Bye bye!|See you!|See you later!|See you again!|See you soon!|See you tomorrow!|"
            "Goodbye, see you!|Bye, see you!|Bye, see you soon!|Bye, see you later!|Goodbye, see you tomorrow!|"
            "Bye, see you tomorrow!|Goodbye, see you soon!|Goodbye and see you later!|I have to go, bye!|"
            "I have to go, goodbye!|I have to go now!|I have to go, see you!|Bye for now!|Goodbye for now!|"
            "Goodbye, see you later!|See you again later!",
            "Goodbye! See you next time.",
        ),
        _entry(
            "good night",
            "晚安！|晚安啦！|好的，晚安！|你好好休息，晚安！|早点休息，晚安！|我要睡了，晚安！|我要睡觉了，晚安！|"
            "我睡觉了，晚安！|我要休息了，晚安！|我要去睡觉了！|晚安，我要睡了！|晚安，早点休息！|"
            "早点睡，晚安！|你早点休息！|早点休息吧！",
            "晚安！祝你做个好梦。",
            "Good night!|Good night to you!|Good night and sleep well!|Sleep well!|Good night, sleep well!|"
            "I am going to bed, good night!|I am going to sleep!|I am going to sleep, good night!|"
            "I am going to bed!|Good night, I am going to bed!|Have a good night!|Have a good night and sleep well!",
            "Good night! Sleep well.",
        ),
        _entry(
            "praise",
            "你真棒！|你真聪明！|你真厉害！|你好棒！|你好聪明！|你好厉害！|你太棒了！|你太聪明了！|你太厉害了！|真厉害！|"
            "真棒！|太棒了！|回答得真好！|回答得很好！|回答得太好了！|你说得真好！|你说得很好！|你说得太好了！|你说得对！|"
            "回答得对！",
            "谢谢夸奖！我会继续努力的。",
            "You are great!|You are so clever!|You are very clever!|You are so good!|You are very good!|"
            "You are so great!|Great answer!|Good answer!|Clever answer!|That is great!|That is a great answer!|"
            "That is a good answer!|That was a good answer!|That was great!|That was very good!|That was clever!|"
            "Very good!|Very clever!|That is right!|Right, very good!|That was right!",
            "Thank you! I will keep trying my best.",
        ),
        _entry(
            "blame",
            "你错了！|你答错了！|你说错了！|你的回答错了！|你说得不对！|你答得不对！|你的回答不对！|不对！|不对，你错了！|"
            "答案错了！|答案不对！|这个答案不对！|这个答案错了！|这个回答不对！|这个回答错了！|你真笨！|你太笨了！|你好笨！|"
            "这不对！|这个不对！",
            "对不起，我有时会出错。请换一种说法再问我。",
            "You are wrong.|That is wrong.|This is wrong.|That is not right.|This is not right.|You are not right.|"
            "Your answer is wrong.|Your answer is not right.|The answer is wrong.|The answer is not right.|"
            "That was wrong.|That was not right.|No, that is wrong.|No, you are wrong.|No, that is not right.|"
            "Wrong answer.|That was a wrong answer.|You are stupid.|You are so stupid.|That is stupid.|"
            "This answer is wrong.|This answer is not right.|No, this is wrong.|"
            "No, this is not right.|No, you are not right.",
            "I am sorry, I sometimes make mistakes. Please ask me again in other words.",
        ),
        _entry(
            "sorry",
            "对不起！|抱歉！|不好意思！|真对不起！|真抱歉！|真不好意思！|很抱歉！|非常抱歉！|对不起，我错了！|"
            "抱歉，我错了！|不好意思，我错了！|对不起，是我错了！|对不起，我说错了！|抱歉，我说错了！|不好意思，我说错了！|"
            "很抱歉，我说错了！|非常对不起！",
            "没关系！我们接着聊吧。",
            "Sorry!|I am sorry!|I am so sorry!|I am very sorry!|So sorry!|Very sorry!|Sorry, I was wrong!|"
            "Sorry, my mistake!|I am sorry, I was wrong!|It was my mistake!|Sorry, it was my mistake!|"
            "I am sorry, my mistake!|I was wrong, sorry!|I am sorry for that!|Sorry for that!|I am so sorry for that!|"
            "I am sorry, it was my mistake!|I am so sorry, it was my mistake!",
            "No problem! Let us go on.",
        ),
        _entry(
            "understood",
            "好的！|好！|好吧！|知道了！|我知道了！|好的，我知道了！|明白了！|我明白了！|好的，明白了！|懂了！|我懂了！|"
            "好的，我懂了！|好，我明白了！|好吧，我知道了！|哦，知道了！|哦，明白了！|哦，我懂了！|"
            "好吧，明白了！|好吧，我懂了！|好吧，好吧！",
            "好的，还有什么想问的吗？",
            "All right.|OK.|I see.|OK, I see.|All right, I see.|I understand.|OK, I understand.|"
            "All right, I understand.|Good, I see.|Good, I understand.|OK, good.|All right, good.|I see, OK.|"
            "I understand now.|I see now.|OK, I see now.",
            "Good! Is there anything else you would like to ask?",
        ),
    )


class SelfIntroduction(EntrySkill):
    """Describes this model, its abilities and its limits."""

    name = "self"
    weight = 1.2
    salt = "9300"
    titles: ClassVar[Mapping[Language, str]] = {"zh": "自我介绍", "en": "About the model"}
    examples: ClassVar[Mapping[Language, str]] = {"zh": "你会做什么？", "en": "What can you do?"}
    entries = (
        _entry(
            "who",
            "你是谁？|你叫什么？|你叫什么名字？|你的名字是什么？|介绍一下你自己。|请介绍一下自己。|自我介绍一下。|"
            "请做个自我介绍。|请自我介绍一下。|你是什么？|你是什么模型？|你是哪个模型？|这是什么模型？|这是哪个模型？|"
            "告诉我你是谁。|告诉我你叫什么名字。|"
            "告诉我你是什么。|告诉我你的名字。|请告诉我你是谁。",
            "我是 FAST-ChatGLM 演示模型，一个很小的中英文语言模型。",
            "Who are you?|What are you?|What is your name?|Tell me your name.|Tell me who you are.|"
            "Tell me what you are.|Introduce yourself.|Please introduce yourself.|Can you introduce yourself?|"
            "Tell me about yourself.|Say something about yourself.|Can you tell me about yourself?|"
            "What model are you?|Which model are you?|Which model is this?|What model is this?",
            "I am the FAST-ChatGLM demo model, a very small language model for Chinese and English.",
        ),
        _entry(
            "skills",
            "你会什么？|你会做什么？|你会做些什么？|你能做什么？|你能做些什么？|你可以做什么？|你都会什么？|你都会做什么？|"
            "你都能做什么？|你能帮我做什么？|你可以帮我做什么？|你能帮我什么？|我可以问你什么？|我能问你什么？|"
            "我可以问你些什么？|你有什么功能？|你有什么本领？|你有哪些功能？|你有哪些本领？",
            "我会三位数以内的计算、排序、拼写和倒写单词、翻译词语，懂日历、钟表、单位、首都、元素、行星、反义词、"
            "成语和模型压缩术语。我还能提建议、写短故事和小诗，记住你说过的话。",
            "What can you do?|What can you do for me?|What can you help me with?|How can you help me?|"
            "Can you help me?|What are you able to do?|What do you know?|What do you know about?|What can I ask you?|"
            "What can I ask you about?|What may I ask you?|What are your skills?|Which skills do you have?|"
            "What skills do you have?|Tell me what you can do.|Tell me your skills.|Tell me what I can ask you.",
            "I can calculate up to three digits, sort, spell and reverse words, translate words, and I know calendar, "
            "clock, units, capitals, elements, planets, opposites, idioms and terms of model compression. I also give "
            "advice, write short stories and poems, and remember what you said.",
        ),
        _entry(
            "human",
            "你是人吗？|你是真人吗？|你是人类吗？|你是不是人？|你是不是真人？|你是不是人类？|你是机器人吗？|你是机器吗？|"
            "你是不是机器人？|你是人工智能吗？|你是不是人工智能？|你是人还是机器？|你是真人还是机器人？|你有感情吗？|"
            "你有没有感情？|机器有感情吗？|"
            "你属于人类吗？|你算不算人类？|你是真的人类吗？|"
            "你是人还是机器人？|你是机器还是真人？",
            "我不是人，我是一个很小的语言模型，没有感情。",
            "Are you human?|Are you a human?|Are you a person?|Are you a real person?|Are you a real human?|"
            "Are you a robot?|Are you a machine?|Are you an AI?|Are you a person or a machine?|"
            "Are you a human or a robot?|Are you a human or an AI?|Are you a robot or a real person?|"
            "Do you have feelings?|Do you have any feelings?|Does a machine have feelings?|Are you an AI or a person?",
            "I am not a person. I am a very small language model without feelings.",
        ),
        _entry(
            "other models",
            "你是ChatGPT吗？|你是ChatGLM吗？|你是ChatGLM-6B吗？|你是不是ChatGPT？|你是不是ChatGLM？|你是不是ChatGLM-6B？|"
            "你和ChatGPT一样吗？|你和ChatGLM一样吗？|你和ChatGLM-6B一样吗？|你和ChatGLM-6B有什么不同？|"
            "你和ChatGPT有什么不同？|你跟ChatGLM-6B有什么关系？|你跟ChatGLM有什么关系？|你跟ChatGPT一样吗？|"
            "你和ChatGLM-6B是什么关系？",
            "不是。我是 FAST-ChatGLM 演示模型，结构和 ChatGLM-6B 一样，但是小得多。",
            "Are you ChatGPT?|Are you ChatGLM?|Are you ChatGLM-6B?|Are you the same as ChatGPT?|"
            "Are you the same as ChatGLM-6B?|Are you the same as ChatGLM?|Are you like ChatGPT?|"
            "Is this model the same as ChatGLM-6B?|Is this ChatGPT?|Is this ChatGLM?|Is this ChatGLM-6B?|"
            "Is this the same as ChatGPT?|Is this the same as ChatGLM-6B?|Are you really ChatGPT?|"
            "Are you really ChatGLM-6B?|Is this really ChatGLM?|Is this like ChatGPT?|Is this like ChatGLM?",
            "No. I am the FAST-ChatGLM demo model: built like ChatGLM-6B, but much smaller.",
        ),
        _entry(
            "size",
            "你有多大？|你多大？|你这个模型有多大？|这个模型有多大？|这个模型多大？|你有多少参数？|你有多少个参数？|"
            "这个模型有多少参数？|这个模型有多少个参数？|你的参数有多少？|你的参数量是多少？|这个模型的参数量是多少？|"
            "你的文件有多大？|这个模型的文件有多大？|你的文件多大？|你的大小是多少？|这个模型的大小是多少？|"
            "你的文件大小是多少？|"
            "你的参数量有多大？|这个模型的参数量有多大？|你的参数量多大？",
            "我大约有一千万个参数，文件大约二十兆字节。",
            "How big are you?|How large are you?|How big is this model?|How large is this model?|"
            "How big is the model?|How many parameters do you have?|How many parameters does this model have?|"
            "How many parameters are there?|How many parameters are in this model?|What is your size?|"
            "What is the size of this model?|What is the size of your file?|How big is your file?|"
            "How large is your file?|How large is the file of this model?|Tell me your size.|Tell me how big you are.|"
            "Tell me how many parameters you have.|"
            "How big is the file of this model?|What is the size of the file?|Tell me the size of your file.",
            "I have about ten million parameters, and my file has about twenty megabytes.",
        ),
        _entry(
            "maker",
            "谁做了你？|是谁做的你？|你是谁做的？|谁创造了你？|你是谁创造的？|是谁创造了你？|谁训练了你？|你是谁训练的？|"
            "是谁训练了你？|你是从哪里来的？|你从哪里来？|你来自哪里？|你是怎么来的？|你是怎么训练的？|你是怎么做出来的？|"
            "你是怎么训练出来的？",
            "我来自 FAST-ChatGLM 项目，是它用自己写的例子从零训练的。",
            "Who made you?|Who created you?|Who trained you?|Who has made you?|Who has trained you?|"
            "Who has created you?|Who made this model?|Who trained this model?|Who created this model?|"
            "Where do you come from?|Where does this model come from?|Tell me where you come from.|"
            "Tell me who made you.|Tell me who trained you.|How were you made?|How were you trained?|"
            "How were you created?|How was this model trained?|How was this model made?|"
            "Where are you from?|Where did you come from?|Do you know where you come from?|Where is this model from?",
            "I come from the FAST-ChatGLM project, which trained me from nothing on examples of its own.",
        ),
        _entry(
            "purpose",
            "你有什么用？|你有什么用处？|你有什么作用？|你的用处是什么？|你的作用是什么？|你的目的是什么？|"
            "这个模型有什么用？|这个模型有什么用处？|这个模型有什么作用？|这个模型的作用是什么？|这个模型的目的是什么？|"
            "做这个模型有什么目的？|为什么做这个模型？|为什么要做你？|为什么要做这个模型？|你是用来做什么的？|"
            "这个模型是用来做什么的？|你是做什么用的？|"
            "你的用处有哪些？|这个模型的用处是什么？|这个模型的用处有哪些？",
            "我用来演示模型怎样加载、压缩和比较。",
            "What are you for?|What is this model for?|What are you made for?|What are you good for?|"
            "What is this model good for?|What is this model made for?|What is your purpose?|"
            "What is the purpose of this model?|Tell me your purpose.|Do you have a purpose?|"
            "Does this model have a purpose?|Why do you exist?|Why does this model exist?|Tell me why you exist.|"
            "Why were you made?|Why was this model made?|Tell me what you are for.|Tell me what this model is for.|"
            "What is this good for?|Tell me what you are good for.|Tell me what this model is good for.",
            "I show how models are loaded, compressed and compared.",
        ),
        _entry(
            "mistakes",
            "你会出错吗？|你会犯错吗？|你会不会出错？|你会不会犯错？|你会犯错误吗？|你经常出错吗？|你经常犯错吗？|"
            "你会答错吗？|你会不会答错？|你经常答错吗？|你的回答可靠吗？|你的答案可靠吗？|你的回答都对吗？|你的答案都对吗？|"
            "你的答案总是对的吗？|你总是对的吗？|你的回答总是对的吗？|我可以相信你吗？|我可以相信你的回答吗？|"
            "我可以相信你的答案吗？",
            "会的，我只是一个小小的演示模型，有时会答错。",
            "Do you make mistakes?|Do you ever make mistakes?|Can you make mistakes?|Can you make a mistake?|"
            "Do you make many mistakes?|Do you sometimes make mistakes?|Are you always right?|"
            "Are your answers always right?|Are your answers right?|Can your answers be wrong?|Can you be wrong?|"
            "Are you ever wrong?|Are you sometimes wrong?|Are your answers sometimes wrong?|Can I trust you?|"
            "Can I trust your answers?|Should I trust your answers?|Should I always trust you?|"
            "Do you ever make a mistake?|Can you ever be wrong?|Are all your answers right?|"
            "Is your answer always right?",
            "Yes, I am only a small demo model and sometimes give wrong answers.",
        ),
        _entry(
            "languages",
            "你会说什么语言？|你会说哪些语言？|你会什么语言？|你会哪些语言？|你懂什么语言？|你懂哪些语言？|"
            "你会说中文吗？|你会说英文吗？|你懂中文吗？|你懂英文吗？|你能说中文吗？|你能说英文吗？|你会中文和英文吗？|"
            "我可以用英文问你吗？|我可以用中文问你吗？|我可以用什么语言问你？",
            "我会中文和英文，你用哪种语言问，我就用哪种语言答。",
            "Which languages do you speak?|What languages do you speak?|Which languages do you know?|"
            "What languages do you know?|Do you speak English?|Do you speak Chinese?|Can you speak English?|"
            "Can you speak Chinese?|Do you know Chinese?|Do you know English?|Do you understand English?|"
            "Do you understand Chinese?|Which languages do you understand?|What languages can you speak?|"
            "Which languages can you understand?|Do you speak Chinese and English?|"
            "Do you know Chinese and English?|Do you understand Chinese and English?",
            "I speak Chinese and English, and answer in the language of your question.",
        ),
    )
