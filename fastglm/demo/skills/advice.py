"""Everyday advice: answers of several sentences, so that an answer can be seen streaming."""

from .base import Entry, EntrySkill


class Advice(EntrySkill):
    """Answers a dozen everyday worries with a short list or a few sentences."""

    name = "advice"
    weight = 1.8
    entries = (
        Entry(
            (
                "晚上睡不着应该怎么办？",
                "晚上睡不着怎么办？",
                "睡不着怎么办？",
                "我失眠了怎么办？",
                "失眠应该怎么办？",
                "怎么才能睡得好？",
            ),
            "晚上睡不着的时候，可以试试下面的方法：\n1. 每天在同一时间睡觉和起床。\n2. 睡前一小时不看手机，"
            "也不喝咖啡和茶。\n"
            "3. 让房间安静、黑暗、凉快。\n4. 做几次慢而深的呼吸，放松身体。\n如果长时间睡不好，请去看医生。",
            (
                "I cannot sleep at night, what should I do?",
                "What can I do when I cannot sleep?",
                "How can I sleep better?",
                "How do I fall asleep?",
            ),
            "When you cannot sleep, try this:\n1. Go to bed and get up at the same time every day.\n2. "
            "Put away your phone one hour before bed, and drink no coffee.\n"
            "3. Keep the room quiet, dark and cool.\n4. Breathe slowly and deeply.\nIf it lasts for weeks, "
            "please see a doctor.",
        ),
        Entry(
            ("感冒了怎么办？", "我感冒了应该怎么办？", "感冒了应该做什么？", "我着凉了怎么办？"),
            "感冒的时候要多休息，多喝温水，吃清淡的食物。出门戴口罩，常洗手，不要传给别人。"
            "如果发高烧或者几天都不好，请去看医生。",
            ("I have a cold, what should I do?", "What should I do when I have a cold?", "How do I get over a cold?"),
            "With a cold, rest a lot, drink warm water and eat light food. "
            "Wash your hands often so that others stay well. If you have a high fever, please see a doctor.",
        ),
        Entry(
            ("考试前很紧张怎么办？", "考试紧张怎么办？", "我害怕考试怎么办？", "明天考试，我很紧张。"),
            "考试前紧张很正常。先把要点写成一页，按计划复习，不要熬夜。进考场后慢慢呼吸，先做会做的题，"
            "你就会平静下来。",
            (
                "I am nervous before the exam, what should I do?",
                "How do I stay calm before an exam?",
                "I am afraid of exams.",
            ),
            "Being nervous before an exam is normal. Write the main points on one page, follow a plan, "
            "and sleep enough. In the exam, breathe slowly and start with what you know.",
        ),
        Entry(
            ("怎么学好英语？", "怎样学好英语？", "如何学习英语？", "英语不好怎么办？"),
            "学好英语要靠每天坚持：\n1. 每天记几个常用的词，放在句子里记。\n2. 多听多读自己喜欢的内容。\n3. "
            "大胆开口说，不怕出错。\n4. 每周写一篇短文，请人改一改。",
            (
                "How can I learn Chinese well?",
                "How do I learn a language?",
                "What is the best way to learn a language?",
                "How can I learn English?",
            ),
            "To learn a language, practise every day:\n1. Learn a few common words in whole sentences.\n2. "
            "Listen to and read what you enjoy.\n"
            "3. Speak, and do not fear mistakes.\n4. Write a short text every week and have it corrected.",
        ),
        Entry(
            ("工作压力大怎么办？", "压力太大怎么办？", "我压力很大怎么办？", "怎么减轻压力？"),
            "压力大的时候，先把要做的事写下来，一次只做一件。每天留一点时间散步或者运动，和信任的人聊一聊。"
            "睡好觉，很多问题会变得简单。",
            (
                "I am stressed, what should I do?",
                "How do I deal with stress?",
                "What helps against stress?",
                "How can I reduce stress?",
            ),
            "When you feel stressed, write down what has to be done and do one thing at a time. "
            "Take a walk every day and talk to someone you trust. After good sleep many problems look smaller.",
        ),
        Entry(
            ("怎么存钱？", "怎样才能存下钱？", "总是存不下钱怎么办？", "如何省钱？"),
            "想存钱，先记一个月的账，看看钱花在哪里。发工资的时候先存一部分，再花剩下的。买东西前等一天，"
            "想清楚是不是真的需要。",
            ("How can I save money?", "How do I save money?", "What should I do to save money?"),
            "To save money, write down for one month what you spend. Put a part aside on the day you are paid. "
            "Before you buy something, wait a day and ask whether you need it.",
        ),
        Entry(
            ("怎么才能更健康？", "如何保持健康？", "怎样保持身体健康？", "怎么锻炼身体？"),
            "保持健康并不难：\n1. 每天走路或者运动半小时。\n2. 多吃蔬菜和水果，少吃糖和油。\n3. 早睡早起，"
            "不抽烟。\n4. 每年检查一次身体。",
            ("How can I stay healthy?", "How do I stay healthy?", "What should I do to be healthier?"),
            "Staying healthy is not hard:\n1. Walk or do sport for half an hour a day.\n2. "
            "Eat more vegetables and fruit, less sugar and fat.\n3. Sleep enough and do not smoke.\n4. "
            "See a doctor once a year.",
        ),
        Entry(
            ("和朋友吵架了怎么办？", "我和朋友吵架了。", "跟朋友吵架了应该怎么办？"),
            "先让自己冷静下来，再想想对方为什么生气。主动找朋友谈一谈，说出自己的感受，也听听对方的想法。"
            "如果是自己的错，就真心道歉。",
            (
                "I had a quarrel with my friend, what should I do?",
                "I quarrelled with a friend.",
                "What should I do after a quarrel with a friend?",
            ),
            "First calm down, and think about why your friend is angry. Then talk: say how you feel, and listen. "
            "If it was your mistake, say sorry and mean it.",
        ),
        Entry(
            ("眼睛很累怎么办？", "眼睛累了怎么办？", "看电脑太久眼睛不舒服怎么办？"),
            "眼睛累的时候，每看二十分钟屏幕就看看远处，多眨眼。屏幕不要太亮，也不要离得太近。如果眼睛一直不舒服，"
            "请去看医生。",
            (
                "My eyes are tired, what should I do?",
                "What helps tired eyes?",
                "What should I do when my eyes are tired?",
            ),
            "When your eyes are tired, look into the distance every twenty minutes and blink often. "
            "Keep the screen less bright and not too near. If it does not get better, please see a doctor.",
        ),
        Entry(
            ("学习不能集中注意力怎么办？", "怎么集中注意力？", "怎样提高学习效率？", "学习总是分心怎么办？"),
            "想集中注意力，先把手机放到别的房间。学二十五分钟，休息五分钟，一次只做一件事。把大目标分成小步，"
            "每完成一步就奖励自己一下。",
            ("How can I concentrate?", "I cannot concentrate, what should I do?", "How do I study better?"),
            "To concentrate, put your phone in another room. Study for twenty-five minutes, rest for five, "
            "and do one thing at a time. Split big goals into small steps.",
        ),
    )
