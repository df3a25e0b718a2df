"""Each guard fires on what it is for, and stays quiet on speech that looks like it."""

import pytest

from mooer.decoding.rules import (
    RULES,
    Heard,
    Hypothesis,
    faults,
    gravity,
    max_tokens,
    without_loop,
)


def said(text, *, num_tokens=None, logprob=-0.3, no_speech=0.05):
    return Hypothesis(text, num_tokens or max(1, len(text) // 3), logprob, no_speech)


HEARD = Heard(duration_s=10.0, speech_prob=0.9)
QUIET = Heard(duration_s=10.0, speech_prob=0.3)

FIRES = {
    "loops": [
        said("I think that " + "we should go " * 20),
        said("我们" + "谢谢" * 30),
        said("the end. " * 12),
        said("no " * 40),
    ],
    "echoes": [
        said("Most young rise early, everyone. Most young rise early, everyone."),
        said("设定二十九度设定二十九度"),
        said("Call me later now. Call me later now. Call me later now."),
    ],
    "too_long": [said("a b c", num_tokens=max_tokens(10.0))],
    "over_silence": [
        said("Thank you for watching!", no_speech=0.5),
        said("something that is not there", logprob=-1.4, no_speech=0.8),
        said("请不吝点赞 订阅 转发 打赏支持明镜与点点栏目", no_speech=0.4),
    ],
    "unsure": [said("zork blam", logprob=-1.3)],
}
QUIETS = {
    "loops": [
        said("No, no, no, no, that is not what I said."),
        said("一二三四五六七八九十,十一十二十三十四十五"),
        said("5 5 5 5 5 5 5"),
        said("She sells sea shells on the sea shore, and the shells she sells are sea shells."),
    ],
    "echoes": [said("bye bye"), said("谢谢谢谢"), said("We can do it. Yes, we can do it.")],
    "too_long": [said("a b c", num_tokens=max_tokens(10.0) - 1)],
    "over_silence": [
        said("Thank you for watching!"),
        said("hard to hear but said", logprob=-1.4, no_speech=0.2),
        said("We talked about it at length.", no_speech=0.5),
    ],
    "unsure": [said("clear", logprob=-0.9)],
}


@pytest.mark.parametrize(("rule", "hypothesis"), [(r, h) for r, hs in FIRES.items() for h in hs])
def test_guard_fires(rule, hypothesis):
    assert rule in faults(hypothesis, HEARD)


@pytest.mark.parametrize(("rule", "hypothesis"), [(r, h) for r, hs in QUIETS.items() for h in hs])
def test_guard_stays_quiet(rule, hypothesis):
    assert rule not in faults(hypothesis, HEARD)


def test_silence_by_the_vad_makes_boilerplate_suspect():
    assert "over_silence" in faults(said("Thanks for watching."), QUIET)
    assert "over_silence" not in faults(said("Turn left at the light."), QUIET)


PROMPT = Heard(10.0, 0.9, prompt="MooER, Paraformer, 摩尔线程, SenseVoice")


def test_prompt_leakage_fires():
    assert "leaks_prompt" in faults(said("MooER Paraformer 摩尔线程 SenseVoice"), PROMPT)
    assert "leaks_prompt" in faults(said("Paraformer, 摩尔线程"), PROMPT)


def test_prompt_leakage_stays_quiet_when_a_hotword_was_said():
    assert "leaks_prompt" not in faults(said("Paraformer is an encoder."), PROMPT)
    assert "leaks_prompt" not in faults(said("MooER"), PROMPT)
    assert "leaks_prompt" not in faults(said("我们用 MooER 做语音识别。"), PROMPT)


INSTRUCTED = Heard(10.0, 0.9, instructed=True)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't transcribe speech without the recording.",
        "As an AI language model, I cannot listen to anything.",
        "Please provide the audio file you would like me to transcribe.",
        "很抱歉，我无法直接收听音频。",
        "作为一个人工智能语言模型，我不能听录音。",
        "请提供需要转写的语音内容。",
        "I’m sorry, but I can't assist with that.",
        "很抱歉，我无法满足您的请求。",
    ],
)
def test_a_refusal_is_one_only_of_who_was_asked(text):
    assert "refuses" in faults(said(text), INSTRUCTED)
    assert "refuses" not in faults(said(text), HEARD)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, I can't hear you.",
        "We are not able to come tomorrow.",
        "The audio of this recording is very good.",
        "Please send the letter today.",
        "对不起，我不能去了。",
        "I'm sorry, I can't help you with that, but my colleague can.",
        "人工智能语言模型的发展很快。",
    ],
)
def test_what_people_say_is_no_refusal(text):
    assert "refuses" not in faults(said(text), INSTRUCTED)


def test_one_grave_fault_outweighs_all_the_lesser_ones():
    names = list(RULES)
    for i, name in enumerate(names):
        assert gravity([name]) > gravity(names[i + 1 :])
    assert gravity([]) == 0


def test_nothing_said_has_no_fault():
    assert faults(said("  "), QUIET) == ()


def test_graver_faults_come_first():
    names = faults(said("thanks for watching " * 30, logprob=-2.0, no_speech=0.9), QUIET)
    assert names == tuple(name for name in RULES if name in names)
    assert {"over_silence", "loops", "unsure"} <= set(names)


def test_a_loop_is_said_once_and_other_text_is_left_alone():
    assert without_loop("好的" + "谢谢大家" * 9) == "好的谢谢大家"
    assert without_loop("No, no, that is fine.") == "No, no, that is fine."
