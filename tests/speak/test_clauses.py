import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooer.errors import ConfigError
from mooer.speak.clauses import SOON, ClauseCutter, ClauseOptions, clauses, size_of

# What texts of both languages are made of, with all that must not be cut.
PARTS = st.sampled_from(
    [
        *("好", "我们", "今天天气", "word", "Hello", "and", "U.S.", "Dr. Wang", "e.g. this", "3.5"),
        *("1,000", "12:30", "https://a.org/x?y=1,2", "a.b@c.org", "...", "……", "GPT-4", "No. 5"),
        *("。", "，", "！", "？", "；", "：", ".", ",", "!", "?", ";", ":", "—", "\n", "\n\n", " "),
        *("“", "”", "(", ")", "「", "」", "**", "`", "```", "```py\nx = 1. 2, 3\n```", "# ", "- "),
        *("😀", "~", "é", "안녕", "か", "\u200d", "|", "1. "),
        *("on ", "the ", "is ", "big ", "New York ", "但是", "在", "可以"),
    ]
)
TEXTS = st.lists(PARTS, max_size=60).map("".join)


@settings(max_examples=200, deadline=None)
@given(
    TEXTS,
    st.lists(st.integers(1, 9), min_size=1, max_size=8),
    st.sampled_from([ClauseOptions(), SOON]),
)
def test_clauses_joined_are_the_text_however_it_comes(text, sizes, options):
    whole = list(clauses([text], options))
    assert "".join(whole) == text
    pieces, place, number = [], 0, 0
    while place < len(text):
        size = sizes[number % len(sizes)]
        pieces.append(text[place : place + size])
        place, number = place + size, number + 1
    assert list(clauses(pieces, options)) == whole
    assert list(clauses(text, options)) == whole
    assert all(whole)


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_every_clause_but_the_last_says_something_and_none_is_endless(text):
    options = ClauseOptions()
    for clause in list(clauses([text], options))[:-1]:
        assert 0 < size_of(clause) <= options.most + 15  # a run without spaces stays whole


WHOLE = [
    *("3.5", "1,000.50", "12:30", "https://a.org/x?y=1,2.5!z", "a.b@c.org", "192.168.1.1"),
    *("Dr. Wang", "Mr. J. R. Smith", "U.S. Army", "e.g. this", "i.e. that", "No. 5", "Fig. 3"),
    *("p. 20", "Jan. 5", "etc. and", "1，000", "8：05", "well...", "x.y.z", "What?no"),
]


@pytest.mark.parametrize("kept", WHOLE)
@pytest.mark.parametrize("before", ["We were all told of ", "我们大家都听说过"])
def test_what_is_never_cut(kept, before):
    text = f"{before}{kept} and so on and so on. And then it ended."
    found = list(clauses([text]))
    assert "".join(found) == text
    assert any(kept in clause for clause in found)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("当然可以，我们来看看。", "当然可以，"),
        ("嗯，我来想一想，再说。", "嗯，我来想一想，"),
        ("你好！今天怎么样？", "你好！"),
        ("Sure! Let me see.", "Sure!"),
        ("Well, I would say so, yes, but not now.", "Well, I would say so,"),
        ("今天的天气非常好：晴天。", "今天的天气非常好："),
        ("“你好！”他说，然后就走了。", "“你好！”他说，"),
        ("He said “yes.” Then he left.", "He said “yes.”"),
        ("真的吗?是的!", "真的吗?"),
        ("# A title\n\nText here.", "# A title"),
        ("Things:\n- one\n- two and more\n", "Things:"),
        ("it goes on\nin the next line, here.", "it goes on\nin the next line,"),
        ("😀 Yes. And more.", "😀 Yes."),
    ],
)
def test_the_first_clause_comes_early(text, first):
    cutter = ClauseCutter()
    found = cutter.push(text)
    assert found[0] == first


def test_a_clause_is_given_when_one_more_character_is_known():
    cutter = ClauseCutter()
    assert cutter.push("当然可以，") == []
    assert cutter.push("我") == ["当然可以，"]
    assert cutter.push("们都是3") == []
    assert cutter.push(".") == []
    assert cutter.push("5") == []
    assert cutter.flush() == ["我们都是3.5"]
    assert cutter.flush() == []


def test_later_clauses_are_longer():
    text = "我们都知道，" * 12
    sizes = [size_of(clause) for clause in clauses([text])]
    assert sizes[0] == 5
    assert sizes[1] == 10
    assert min(sizes[2:-1]) >= 16


def test_a_text_without_marks_is_cut_at_spaces_and_a_monster_somewhere():
    assert all(clause.endswith(" ") for clause in list(clauses(["word " * 200]))[:-1])
    assert max(map(len, clauses(["汉" * 500]))) <= 60
    assert max(map(len, clauses(["x" * 5000]))) <= 1000
    assert max(map(len, clauses(["- " * 50_000]))) <= 4100


@pytest.mark.parametrize(
    "text",
    [
        "好的，|设定30多。",
        "I'm sorry, |but I can't assist with that.",
        "She had a dark suit |and greasy washwater all year.",
        "The block books |were produced by the early printing press, |which came before.",
        "The Great Wall of China |is one of the Seven Wonders of the World",
        "人工智能|是计算机科学的一个分支，|它企图了解智能的实质",
        "The capital of France is Paris.",  # too short to be parted
        "The platform |is pointing in the correct direction.",
        "Sure, here is a recipe |for a tomato soup |that you can make",
        "今天的天气|非常好，我们可以出去玩。",
        "他明天来这里，|我们可以出去玩。",
    ],
)
def test_in_a_conversation_the_first_clauses_are_short(text):
    found = [clause.strip() for clause in clauses([text.replace("|", "")], SOON)]
    assert found == [clause.strip() for clause in text.split("|")]


@pytest.mark.parametrize("kept", WHOLE)
@pytest.mark.parametrize("before", ["All told of ", "听说过"])
def test_what_is_not_cut_in_a_conversation_either(kept, before):
    assert any(kept in one for one in clauses([f"{before}{kept} in this and that place"], SOON))


def test_code_is_never_cut_and_does_not_count():
    code = "```python\n" + "x = f(1. , 2); y\n" * 40 + "```"
    found = list(clauses(["Look at this code:\n", code, "\nThat is all of it."]))
    assert any(code in clause for clause in found)
    assert size_of(code) == 0
    endless = list(clauses(["Look at this code:\n", code[:-3]]))
    assert endless[-1].endswith("y\n")


@pytest.mark.parametrize("first_most", [1.0, 61.0])
def test_a_first_clause_cannot_be_longer_than_any(first_most):
    with pytest.raises(ConfigError, match="first_most must be from 2 to 60"):
        ClauseOptions(first_most=first_most)


def test_a_new_text_begins_with_a_short_clause_again():
    cutter = ClauseCutter()
    cutter.push("这是第一句话，这是第二句话，这是第三句话，")
    cutter.flush()
    assert cutter.push("当然可以，我") == ["当然可以，"]


@pytest.mark.parametrize("wrong", [{"first_pause": -1.0}, {"pause": 90.0}, {"most": 1.0}])
def test_lengths_that_make_no_sense(wrong):
    with pytest.raises(ConfigError, match="clauses must be"):
        ClauseOptions(**wrong)
