"""Released prompt layouts, to the letter, and the reading of answers."""

from __future__ import annotations

import pytest

from mooer.errors import ConfigError
from mooer.tasks.layout import Audio, Text
from mooer.tasks.templates import TEMPLATES, Answer, parts, read_answer, tasks, write_answer

CHATML = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)


@pytest.mark.parametrize(
    ("task", "wording"),
    [
        ("asr", "Transcribe speech to text. "),
        ("ast", "Translate speech to english text. "),
        ("asr_ast", "Translate speech to english text. "),
        ("s2s_trans", "Translate speech to english speech. "),
        ("s2s_chat", "Answer my question with speech. "),
    ],
)
def test_mooer_puts_the_audio_first_and_keeps_the_trailing_space(task, wording):
    assert parts("mooer", task, 7) == [Audio(7), Text(CHATML.format(wording))]


def test_an_answer_is_learned_with_its_end():
    assert parts("mooer", "asr", 1, "你好")[-1] == Text("你好<|im_end|>", learned=True)
    assert parts("osum", "asr", 1, "你好")[-1] == Text("你好<|endoftext|>", learned=True)
    assert parts("salmonn", "asr", 1, "hi")[-1] == Text("hi</s>", learned=True)


def test_other_layouts():
    assert parts("qwen2-audio", "chat", 2) == [
        Text(
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            "<|im_start|>user\nAudio 1: <|audio_bos|>"
        ),
        Audio(2),
        Text("<|audio_eos|>\n<|im_end|>\n<|im_start|>assistant\n"),
    ]
    assert parts("salmonn", "asr", 88) == [
        Text("<s>"),
        Text("USER: <Speech>"),
        Audio(88),
        Text("</Speech> Recognize the speech and give me the transcription.\nASSISTANT:"),
    ]
    assert parts("slam", "asr", 2) == [
        Audio(2),
        Text("<s>"),
        Text("USER: Transcribe speech to text. \n ASSISTANT:"),
    ]
    assert parts("firered", "asr", 2) == [
        Text("<|im_start|>user\n"),
        Audio(2),
        Text("请转写音频为文字<|im_end|>\n<|im_start|>assistant\n"),
    ]
    text, audio = parts("osum", "asr_emotion", 5)
    assert text.text.endswith("和other。")
    assert audio == Audio(5)


def test_a_wording_of_ones_own_is_taken_as_it_is():
    said = parts("qwen2-audio-base", "asr", 1, prompt="Say {prompt} twice: <|en|>")
    assert said[-1] == Text("<|audio_eos|>Say {prompt} twice: <|en|>")


def test_unknown_names_are_told_the_nearest():
    with pytest.raises(ConfigError, match="unknown template 'moer': did you mean mooer"):
        parts("moer", "asr", 1)
    with pytest.raises(ConfigError, match="template firered has no task 'asr_ast'"):
        parts("firered", "asr_ast", 1)


@pytest.mark.parametrize(
    ("name", "task", "text", "answer"),
    [
        ("mooer", "asr", " 你好 <|im_end|>", Answer(transcript="你好")),
        ("mooer", "ast", "hello", Answer(translation="hello")),
        ("mooer", "asr_ast", "你好 \n hello ", Answer(transcript="你好", translation="hello")),
        ("mooer", "asr_ast", "你好", Answer(transcript="你好")),
        ("mooer", "asr_ast", "a\nb\nc", Answer(transcript="a", translation="b\nc")),
        ("mooer", "s2s_trans", "hello<|audio_start|>xyz", Answer(translation="hello")),
        ("qwen2-audio", "asr", "<|zh|>你好。", Answer(transcript="你好。")),
        ("qwen2-audio", "emotion", "happy", Answer(labels=("happy",))),
        ("osum", "asr_emotion", "你好<happy>", Answer(transcript="你好", labels=("happy",))),
        ("osum", "asr_emotion", "你好", Answer(transcript="你好")),
        (
            "osum",
            "asr_age_gender",
            "a<b <old> <male>",
            Answer(transcript="a<b", labels=("old", "male")),
        ),
        ("osum", "asr_chat", "你好<开始回答>嗨", Answer(transcript="你好", reply="嗨")),
        ("osum", "gender", "<female>", Answer(labels=("female",))),
    ],
)
def test_answers_are_read(name, task, text, answer):
    assert read_answer(name, task, text) == answer


def test_what_is_written_is_read_back():
    full = Answer("天气 很好", "the weather is fine", "yes", ("happy",))
    for name in TEMPLATES:
        for task in tasks(name):
            read = read_answer(name, task, write_answer(name, task, full))
            fields = TEMPLATES[name].requests[task].fields
            assert all(getattr(read, field) == getattr(full, field) for field in fields)
            assert write_answer(name, task, read) == write_answer(name, task, full)


def test_an_answer_without_its_field_is_refused():
    with pytest.raises(ConfigError, match="task asr_ast of template mooer needs a translation"):
        write_answer("mooer", "asr_ast", Answer(transcript="你好"))


def test_a_line_break_does_not_part_a_transcript():
    assert write_answer("mooer", "asr_ast", Answer("a\nb", "c")) == "a b\nc"
