"""Words by which a listener says that he listens, and an echo of what is being said."""

from __future__ import annotations

from collections.abc import Collection

from mooer.text import mixed_tokens

# Fewer than all that mean assent: "no" and "wait" are meant to stop the speaker.
_ENGLISH = (
    "mm mmm mhm mm-hm mmhm mm-hmm hm hmm uh-huh uhuh uh um huh ah oh ooh wow yeah yep yup yes ok "
    "okay right sure alright cool nice great good exactly indeed true really i-see got-it i-know "
    "of-course makes-sense that's-right go-on all-right"
)
_CHINESE = (
    "嗯 恩 唔 呃 哦 噢 喔 啊 哎 诶 欸 哈 呵 哇 对 对对 是 是的 是啊 对啊 对的 好 好的 好吧 好呀 行 "
    "行的 可以 没错 明白 明白了 懂了 知道了 了解 这样 这样啊 原来如此 原来是这样 真的 真的吗 不错 "
    "当然 确实 继续 你说 嗯哼 呀 吧 嘛 啦"
)
BACK_CHANNELS = tuple(_ENGLISH.split() + _CHINESE.split())
# What is meant to stop the speaker, however short it is, and how 停 is heard: 听.
_ENGLISH_ORDERS = (
    "stop wait no nope hold pause quiet enough hi hey hello excuse sorry pardon but what why who "
    "when where how which repeat again cancel skip next tell help shut"
)
_CHINESE_ORDERS = (
    "停 听 等 不 别 慢 换 喂 错 闭嘴 住口 安静 够了 打住 打断 什么 为什么 谁 哪 怎么 啥 几 可是 "
    "但是 再说 重复 取消 跳过 下一"
)
INTERRUPTIONS = tuple(_ENGLISH_ORDERS.split() + _CHINESE_ORDERS.split())

_ECHO_SHARE = 0.7  # of the tokens heard, in order in what is being spoken
_ECHO_MIN_TOKENS = 3  # fewer must be found as they are


def is_back_channel(text: str, words: Collection[str] = BACK_CHANNELS) -> bool:
    """Whether a text is nothing but back-channels, in any number.

    >>> [is_back_channel(text) for text in ("Mm-hm, okay. Right!", "嗯，好的。", "Wait")]
    [True, True, False]
    """
    phrases = {tuple(_tokens(word.replace("-", " "))) for word in words}
    longest = max(map(len, phrases), default=0)
    tokens = _tokens(text.replace("-", " "))
    reached = [True] + [False] * len(tokens)  # whether tokens up to here are whole phrases
    for end in range(1, len(tokens) + 1):
        reached[end] = any(
            reached[end - size] and tuple(tokens[end - size : end]) in phrases
            for size in range(1, min(longest, end) + 1)
        )
    return bool(tokens) and reached[-1]


def is_order(text: str, words: Collection[str] = INTERRUPTIONS) -> bool:
    """Whether a few words are meant to stop the speaker.

    >>> [is_order(text) for text in ("Wait!", "等一下", "Why?", "Ember", "尿")]
    [True, True, True, False, False]
    """
    tokens = _tokens(text)
    joined = " ".join(tokens)
    orders = [" ".join(_tokens(word)) for word in words]
    return any(f" {order} " in f" {joined} " for order in orders if order)


def num_tokens(text: str) -> int:
    """How many words, or Chinese characters.

    >>> num_tokens("OK, 好的")
    3
    """
    return len(_tokens(text))


def is_echo(text: str, spoken: str) -> bool:
    """Whether what was heard is a stretch of what is being spoken, give or take a few words.

    >>> is_echo("capital of France his Paris", "The capital of France is Paris, of course.")
    True
    >>> is_echo("and of Spain?", "The capital of France is Paris, of course.")
    False
    """
    heard, said = _tokens(text), _tokens(spoken)
    if not heard or not said:
        return False
    if len(heard) < _ECHO_MIN_TOKENS:
        return any(said[i : i + len(heard)] == heard for i in range(len(said)))
    stretch = len(heard) + 2
    most = max(
        _in_order(heard, said[start : start + stretch])
        for start in range(max(1, len(said) - stretch + 1))
    )
    return most >= _ECHO_SHARE * len(heard)


def _in_order(a: list[str], b: list[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for x in a:
        before = 0
        for j, y in enumerate(b, start=1):
            before, row[j] = row[j], before + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


def _tokens(text: str) -> list[str]:
    """Words without marks, Chinese by character.

    >>> _tokens("Uh-huh, 好的!")
    ['uh', 'huh', '好', '的']
    """
    return mixed_tokens(text.replace("-", " "), "zh")
