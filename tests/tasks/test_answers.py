import pytest

from mooer.tasks.answers import WARNINGS, check, longest_loop, parse, severity, units


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Good evening.", "Good evening."),
        ("  Good evening.\n", "Good evening."),
        ('"Good evening."', "Good evening."),
        ("“晚上好。”", "晚上好。"),
        ('"Yes" and "no".', '"Yes" and "no".'),
        ('"Go," he said, "now."', '"Go," he said, "now."'),
        ("Translation: Good evening.", "Good evening."),
        ("English translation: Good evening.", "Good evening."),
        ("English: Good evening.", "Good evening."),
        ("译文：晚上好。", "晚上好。"),
        ("中文翻译：晚上好。", "晚上好。"),
        ("Sure! Here is the translation:\n\nGood evening.", "Good evening."),
        ("Here's the English translation of the text:\nGood evening.", "Good evening."),
        ("以下是翻译：\n晚上好。", "晚上好。"),
        ("**Good evening.**", "Good evening."),
        ("```\nGood evening.\n```", "Good evening."),
        ("> Good evening.", "Good evening."),
        ("<think>The user wants\nEnglish.</think>\n\nGood evening.", "Good evening."),
        ("<think>The user wants", ""),
        ("Good evening. (Note: a greeting)", "Good evening."),
        ("Good evening.\n\nNote: this is a greeting.", "Good evening."),
        ("晚上好。（注：这是问候语）", "晚上好。"),
        ("晚上好。\n解释：这是问候语。", "晚上好。"),
        ("Good evening.\nHow are you?", "Good evening."),
        ("Sure, I'll come.", "Sure, I'll come."),
        ("The time is: noon.", "The time is: noon."),
        ("The house (the old one) burnt.", "The house (the old one) burnt."),
        ("", ""),
        ('"', '"'),
    ],
)
def test_parse(answer, expected):
    assert parse(answer) == expected
    assert parse(parse(answer)) == expected


REFUSALS = [
    "I'm sorry, but I can't assist with that.",
    "Sorry, I cannot translate this.",
    "As an AI language model, I do not have feelings.",
    "I am unable to translate the text.",
]
CHATTER = [
    "Sure, here is what it says.",
    "The sentence translates to good evening.",
    "Please provide the text you want me to translate.",
    "Good evening (literally evening good)",
]


@pytest.mark.parametrize("answer", REFUSALS)
def test_refusals_fire(answer):
    assert "translation_refusal" in check(answer, "今天天气很好", source="zh", target="en")


@pytest.mark.parametrize(
    "answer", ["抱歉，我无法翻译这句话。", "作为一个人工智能语言模型，我没有感情。"]
)
def test_refusals_in_chinese_fire(answer):
    found = check(answer, "The weather is very nice today", source="en", target="zh")
    assert "translation_refusal" in found


@pytest.mark.parametrize("answer", CHATTER)
def test_chatter_fires(answer):
    assert "translation_chatter" in check(answer, "各位观众晚上好今天", source="zh", target="en")


@pytest.mark.parametrize(
    "answer", ["好的，这是结果。", "这句话的意思是晚上好。", "晚上好（注：问候）"]
)
def test_chatter_in_chinese_fires(answer):
    assert "translation_chatter" in check(answer, "Good evening", source="en", target="zh")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("抱歉我不能来", "I'm sorry, I can't come."),
        ("很遗憾我们无法帮助你", "Unfortunately, we cannot help you."),
        ("我是一个人工智能语言模型", "I am an AI language model."),
        ("好的我马上来", "Sure, I'll come right away."),
        ("这句话翻译成英文是什么意思", "What does this sentence translate to in English?"),
        ("请提供您的护照", "Please provide your passport."),
        ("哈哈哈哈哈哈", "Hahahahahaha"),
        ("不不不不不", "No, no, no, no, no!"),
        ("一三六二八零六六九三零", "13628066930"),
        ("百分之八十", "80%"),
        ("二零一四年", "2014"),
        ("嗯", "Hmm, well, yes."),
        ("。。。", ""),
        ("想听歌曲 Call Me Maybe", "I want to listen to Call Me Maybe."),
        ("东京是日本的首都", "Tokyo (東京) is the capital of Japan."),
    ],
)
def test_good_english_is_left_alone(text, answer):
    assert check(answer, text, source="zh", target="en") == ()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("I'm sorry, I can't come.", "抱歉，我不能来。"),
        ("OK.", "OK。"),
        ("PyTorch Lightning CUDA", "PyTorch Lightning CUDA"),
        ("It runs on CUDA and PyTorch.", "它在CUDA和PyTorch上运行。"),
        ("Sure, here you are.", "好的，给你。"),
        ("The meaning of the sentence is clear.", "这句话的意思很清楚。"),
    ],
)
def test_good_chinese_is_left_alone(text, answer):
    assert check(answer, text, source="en", target="zh") == ()


@pytest.mark.parametrize(
    ("text", "answer", "pair", "warning"),
    [
        ("各位观众晚上好", "", ("zh", "en"), "translation_empty"),
        ("各位观众晚上好", "...", ("zh", "en"), "translation_empty"),
        ("各位观众晚上好", "各位观众朋友晚上好", ("zh", "en"), "translation_language"),
        ("Good evening to all", "Good evening to you all", ("en", "zh"), "translation_language"),
        ("各位观众晚上好", "各位观众晚上好 means hi", ("zh", "en"), "translation_echo"),
        ("Das ist sehr schön", "Das ist sehr schön.", ("de", "en"), "translation_echo"),
        ("各位观众晚上好", "Good good good good good", ("zh", "en"), "translation_loop"),
        ("他走了", "He went to " + "the shop and " * 5, ("zh", "en"), "translation_loop"),
        ("Good evening", "晚上好晚上好晚上好晚上好", ("en", "zh"), "translation_loop"),
        ("有一些经济体并不是因为本身的原因", "Some", ("zh", "en"), "translation_length"),
        ("晚上", "In the evening we went out to see a film", ("zh", "en"), "translation_length"),
        ("We went out to see a film in the evening", "看戏", ("en", "zh"), "translation_length"),
    ],
)  # fmt: skip
def test_each_doubt_fires(text, answer, pair, warning):
    assert warning in check(answer, text, source=pair[0], target=pair[1])


def test_repeating_the_translation_before_is_an_echo():
    before = [("楼市成交下降了", "Housing sales have fallen.")]
    kwargs = {"source": "zh", "target": "en", "previous": before}
    assert check("Housing sales have fallen.", "也成为眼中钉", **kwargs) == ("translation_echo",)
    assert check("Housing sales have fallen.", "楼市成交下降了。", **kwargs) == ()


def test_a_term_must_be_used():
    kwargs = {"source": "zh", "target": "en", "terms": {"限购": "Purchase restrictions"}}
    assert check("The purchase restrictions ended.", "限购取消了", **kwargs) == ()
    assert check("The limits ended.", "限购取消了", **kwargs) == ("translation_terms",)


def test_a_graver_doubt_outweighs_all_lesser_ones():
    for n in range(len(WARNINGS) - 1):
        assert severity(WARNINGS[n : n + 1]) > severity(WARNINGS[n + 1 :])
    assert severity(()) == 0


def test_units_and_loops():
    assert units("约3.5%，don't stop") == ["约", "3", "5", "don't", "stop"]
    assert longest_loop("") == longest_loop("a") == 0
    assert longest_loop("他说他说他说") == 2
    assert longest_loop("a b c a b c a b c d") == 2
