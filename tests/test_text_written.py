"""Spoken forms to written ones, and what has to stay as it was said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooer.text import to_written

CHINESE = """
一九九八年三月五号 1998年3月5号
二零二四年十月一日上午九点半 2024年10月1日上午9点半
两千零八年八月八日 2008年8月8日
今年三月他来过 今年3月他来过
三月份开学 3月份开学
九八年世界杯 98年世界杯
九零后的年轻人 90后的年轻人
二十一世纪 21世纪
六十年代 60年代
下午三点二十五分开会 下午3点25分开会
八点五十出发 8点50出发
早上八点零五到 早上8点05到
晚上十点整睡觉 晚上10点整睡觉
现在五点一刻 现在5点一刻
差五分十点 差5分10点
从九点到五点 从9点到5点
十五时三十分 15时30分
星期三三点半 星期三3点半
百分之九十五点五 95.5%
百分之百 100%
千分之三 3‰
百分之三到百分之五 3%到5%
百分之五到十 5%到10%
价格是三百二十五块五毛 价格是325块5毛
三块五 3块5
五美元 5美元
二十美元 20美元
十三点五元 13.5元
两元钱 2元钱
五万元 5万元
一百二十三万四千五百六十七 1234567
一亿三千万人 1亿3000万人
两万亿参数 2万亿参数
一万 1万
两万五 25000
四千九百八。 4980。
一千零五十个 1050个
三百五十斤 350斤
三点一四一五九 3.14159
零点五个百分点 0.5个百分点
一点三亿人 1.3亿人
九点九分 9.9分
零下五度 零下5度
二十九度 29度
五十千米 50千米
第二十三名 第23名
比分三比二 比分3比2
以三比二获胜 以3比2获胜
三到十五天 3到15天
十到二十天 10到20天
四十多岁 40多岁
十来个人 10来个人
电话幺三八零零一三八零零零 电话13800138000
房间号三零二 房间号302
零零七 007
五G网络 5G网络
今天是二零二四年，我们有三百人。 今天是2024年，我们有300人。
三乘以四等于十二 三乘以四等于12
一百分 100分
"""
CHINESE_STAYS = """
一心一意 三三两两的人群 三五成群 七上八下 乱七八糟 不三不四 九牛一毛 十全十美 一石二鸟
四面八方 千言万语 三番五次 五湖四海 半斤八两 八九不离十 十有八九 一五一十地说
不管三七二十一 五十步笑百步 百里挑一 二百五 三六九等 七七八八 接二连三 万一下雨
千万不要 十分感谢 十分重要 一方面 一下子 统一安排 唯一一个人 之一 一个人 三只猫
两三个人 三五天 五六百块钱 七八十岁 十七八岁 十几个人 几十年 数百万人 二十几岁 一两天
七八点 八九年 一千零一夜 三十六计 七十二变 双十一 五一劳动节 九一八事变 十月革命 初十
正月十五 八月十五 有一点三心二意 这一点十分重要 这两点十分关键 一点一点地 早一点来
两点之间直线最短 三点水 三点建议 三分之二 十分之一 星期三 周一到周五 周一三五
一二三四五 老二 四川 三亚 六安 十九大 大年三十 一元二次方程 一万一平 千儿八百
万万没想到 三年级 五四运动 十字路口 百货 第一 第一次 二维码 一对一 六级 五角星
"""
ENGLISH = """
in nineteen ninety eight|in 1998
in nineteen oh five|in 1905
in two thousand and five|in 2005
in twenty twenty four|in 2024
the nineteen nineties|the 1990s
since eighteen twelve|since 1812
born on july fourth nineteen seventy six|born on July 4, 1976
on october eight, nineteen sixty-two, he|on October 8, 1962, he
may third two thousand and twelve|May 3, 2012
monday march third|monday March 3
on may five|on May 5
in march nineteen sixty three|in March 1963
november twenty-two|November 22
the twenty first of june|the 21st of june
the twenty second of june|the 22nd of june
the nineteenth century|the 19th century
at five thirty|at 5:30
at five thirty p m|at 5:30 p.m.
it is three oh five a.m. now|it is 3:05 a.m. now
see you at eight p m.|see you at 8 p.m.
until eight am|until 8 a.m.
Ten o'clock|10 o'clock
ninety five point five percent|95.5%
five per cent|5%
five to ten percent|5 to 10%
one hundred percent|100%
five dollars|$5
Five million dollars!|$5 million!
twenty three dollars and fifty cents|$23.50
twelve dollars, seventy-eight cents|$12.78
six euros|€6
twenty five cents|25 cents
one hundred and twenty three|123
twenty-one thousand|21,000
three million two hundred thousand|3,200,000
six thousand, four hundred thirty-nine|6439
two million people|2 million people
thirteen hundred|1300
six point five million|6.5 million
three point one four one five nine|3.14159
zero point five|0.5
four point six and five point one five|4.6 and 5.15
call five five five one two three four|call 5551234
double oh seven is five double five one|double oh seven is 5551
room three oh two|room 302
flight nine one one|flight 911
chapter three|chapter 3
twenty-five-year-old|25-year-old
minus five degrees|-5 degrees
between one hundred and two hundred|between 100 and 200
I'll take ten, please.|I'll take 10, please.
twenty to thirty people|20 to 30 people
in two thousand, ten people came|in 2000, 10 people came
"""
ENGLISH_STAYS = """
one of them|one of the two men|one by one|one another|no one knows|someone|one half|two thirds of us
two or three people|two or three hundred people|nine or ten people|nine to twelve|nine out of ten
one in ten|one in a million|a hundred years|a thousand times|hundreds of people|a million thanks
thousands of dollars|the first time|second hand smoke|wait a second|just a second|third party
fifty fifty|twenty four seven|nine eleven|seven eleven|from nine to five|half past three
quarter to nine|one two three|one two three four five|five four three two one|thirty something
forty winks|seventy-two and one half inches|one and a half|two dozen eggs|two faced|five year old
may i come in|march on|may five people come|I am eight am I not|at one point two of them left
the sixties|World War Two|six feet tall|five minutes|point taken|a pointless oh|he said oh
"""


@pytest.mark.parametrize("line", CHINESE.split("\n")[1:-1])
def test_chinese(line):
    spoken, written = line.split()
    assert to_written(spoken, "zh") == written


@pytest.mark.parametrize("spoken", CHINESE_STAYS.split())
def test_chinese_that_stays(spoken):
    assert to_written(spoken, "zh") == spoken
    assert to_written(f"他说{spoken}，好。", "yue") == f"他说{spoken}，好。"


@pytest.mark.parametrize("line", ENGLISH.split("\n")[1:-1])
def test_english(line):
    spoken, written = line.split("|")
    assert to_written(spoken, "en") == written


@pytest.mark.parametrize("spoken", ENGLISH_STAYS.strip().replace("\n", "|").split("|"))
def test_english_that_stays(spoken):
    assert to_written(spoken, "en") == spoken
    assert to_written(f"well, {spoken}.", "en") == f"well, {spoken}."


def test_traditional_characters_stay_traditional():
    spoken = "兩千零八年八月八號，一億三千萬塊，十點半"
    assert to_written(spoken, "zh") == "2008年8月8號，1億3000萬塊，10點半"


def test_a_word_of_another_language_is_none_of_its_business():
    assert to_written("zwanzig twenty 二十", "de") == "zwanzig twenty 二十"
    assert to_written("I said twenty", "zh") == "I said twenty"
    assert to_written("他二十 said", "en") == "他二十 said"


@given(st.text("零一二两三十百千万亿点分之年月日号块时半 ，a", max_size=30))
def test_any_chinese_is_taken_and_written_text_stays(text):
    written = to_written(text, "zh")
    assert all(char in written for char in text if char in "，a")
    assert to_written("2024年3月5号下午3点半，50%", "zh") == "2024年3月5号下午3点半，50%"


WORDS = (
    "one two ten twenty ninety hundred thousand million and point oh zero percent dollars cents "
    "may july first second at in p a m am . , - to of double minus o'clock nineteen x"
)


@given(st.lists(st.sampled_from(WORDS.split()), max_size=10))
def test_any_english_is_taken(words):
    written = to_written(" ".join(words), "en")
    assert written.count("x") == words.count("x")
    assert bool(written) == bool(words)
