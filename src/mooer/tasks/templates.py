"""The prompt layouts of released speech LLMs, and the reading of their answers.

| template | order | learned after the answer |
|---|---|---|
| `mooer` | audio, ChatML | `<|im_end|>` |
| `qwen2-audio` | ChatML with the audio inside the user's turn | `<|im_end|>` |
| `qwen2-audio-base` | audio between its marks, instruction | `<|endoftext|>` |
| `firered` | ChatML without a system turn, the audio first in the user's | `<|im_end|>` |
| `osum` | instruction, audio | `<|endoftext|>` |
| `mini` | ChatML as Qwen2.5's own, the audio first in the user's turn | `<|im_end|>` |
| `salmonn` | `USER:` audio between marks, instruction, `ASSISTANT:` | `</s>` |
| `slam` | audio, `USER:` instruction, `ASSISTANT:` | `</s>` |

A released model has learned its layout to the letter, MooER's trailing spaces included. Of OSUM's
and SALMONN's many paraphrases of a task one is here; another is given as `prompt`. OSUM's marks
before and after audio are learned embeddings, not tokens: whoever makes the embeddings adds them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mooer.errors import ConfigError, did_you_mean
from mooer.tasks.layout import Audio, Text

Field = Literal["transcript", "translation", "reply", "labels"]

_PROMPT = "{prompt}"
_LABELS = re.compile(r"(?:\s*<[^<>|]+>)+\s*$")
_LANGUAGE = re.compile(r"^\s*<\|[a-z]{2,3}\|>")
_SOUND = "<|audio_start|>"  # after it MooER's speaking models go on in speech


@dataclass(frozen=True)
class Answer:
    """What an answer says, as far as its task asks for it."""

    transcript: str | None = None
    translation: str | None = None
    reply: str | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """The wording of a task, and what its answer holds, in order."""

    prompt: str
    fields: tuple[Field, ...]
    separator: str = "\n"  # between two fields that are not labels


@dataclass(frozen=True)
class Chat:
    """What stands around the turns of a conversation, and around each recording in them."""

    system: str  # the turn before all others, where a conversation has none of its own
    begin: str  # of a turn, with {role}
    before_audio: str  # with {number}, from 1 on
    after_audio: str


@dataclass(frozen=True)
class Template:
    """Texts before and after the audio, each tokenized by itself; `{prompt}` is the wording."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    end: str
    requests: Mapping[str, Request]
    chat: Chat | None = None  # how it goes on for several turns, if it does


def _transcript(prompt: str) -> Request:
    return Request(prompt, ("transcript",))


def _labelled(prompt: str) -> Request:
    return Request(prompt, ("transcript", "labels"))


def _labels(prompt: str) -> Request:
    return Request(prompt, ("labels",))


_SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
_USER = "<|im_start|>user\n"
_REPLY = "<|im_end|>\n<|im_start|>assistant\n"

_ENGLISH = "Translate speech to english text. "
_MOOER = {
    "asr": _transcript("Transcribe speech to text. "),
    "ast": Request(_ENGLISH, ("translation",)),
    "asr_ast": Request(_ENGLISH, ("transcript", "translation")),
    "s2s_trans": Request("Translate speech to english speech. ", ("translation",)),
    "s2s_chat": Request("Answer my question with speech. ", ("reply",)),
}
_QWEN2_AUDIO = {
    "asr": _transcript("Detect the language and recognize the speech:"),
    "ast": Request("Detect the language and translate the speech into English:", ("translation",)),
    "emotion": _labels("Recognize the emotion with keywords in English:"),
    "caption": Request("Generate the caption in English:", ("reply",)),
}
_EMOTIONS = "情感共8种：sad，anger，neutral，happy，surprise，fear，disgust，和other。"
_EVENTS = "音频事件共8种：laugh，cough，cry，screaming，sigh，throat clearing，sneeze，other。"
_STYLES = "标签共8种：新闻科普、恐怖故事、童话故事、客服、诗歌散文、有声书、日常口语、其他。"
_OSUM = {
    "asr": _transcript("执行语音识别任务，将音频转换为文字。"),
    "asr_align": _transcript(
        "请转录音频内容，并为每个英文词汇及其对应的中文翻译标注出精确到0.1秒的起止时间，"
        "时间范围用<>括起来。"
    ),
    "asr_chat": Request(
        "首先将语音转录为文字，然后对语音内容进行回复，转录和文字之间使用<开始回答>分割。",
        ("transcript", "reply"),
        "<开始回答>",
    ),
    "asr_emotion": _labelled(
        f"请将音频内容转录成文字记录，并在记录末尾标注<情感>标签，{_EMOTIONS}"
    ),
    "asr_event": _labelled(f"请将音频转录为文字记录，并在记录末尾标注<音频事件>标签，{_EVENTS}"),
    "asr_style": _labelled(f"请将音频内容进行文字转录，并在最后添加<风格>标签，{_STYLES}"),
    "asr_gender": _labelled(
        "请将音频转录为文本，并在文本结尾处标注<性别>标签，性别为female或male。"
    ),
    "asr_age": _labelled(
        "请将音频转录为文本，并在文本结尾处标注<年龄>标签，年龄划分为child、adult和old三种。"
    ),
    "asr_age_gender": _labelled(
        "请将这段音频进行转录，并在转录完成的文本末尾附加<年龄> <性别>标签。"
        "年龄分为child、adult、old三种，性别为female或male。"
    ),
    "gender": _labels("请判断语音中发言者的性别，并在结果中标注<性别>标签，性别分为female和male。"),
}
_SALMONN = {
    "asr": _transcript("Recognize the speech and give me the transcription."),
    "asr_zh": _transcript("请将语音中的内容写下来。"),
    "ast_zh": Request("Listen to the speech and translate it into Chinese.", ("translation",)),
    "emotion": _labels("Describe the emotion of the speaker in one word."),
    "caption": Request("Please describe the audio.", ("reply",)),
    "chat": Request("Please answer the question in detail.", ("reply",)),
}

_MINI = {
    "asr": _transcript("Transcribe the speech."),
    "ast": Request("Translate the speech into English.", ("translation",)),
    "ast_zh": Request("Translate the speech into Chinese.", ("translation",)),
    "asr_ast": Request(
        "Transcribe the speech, then translate it into English.", ("transcript", "translation")
    ),
    "asr_ast_zh": Request(
        "Transcribe the speech, then translate it into Chinese.", ("transcript", "translation")
    ),
    "chat": Request("", ("reply",)),
}

TEMPLATES: Mapping[str, Template] = {
    "mooer": Template((), (_SYSTEM + _USER + _PROMPT + _REPLY,), "<|im_end|>", _MOOER),
    "qwen2-audio": Template(
        (_SYSTEM + _USER + "Audio 1: <|audio_bos|>",),
        ("<|audio_eos|>\n" + _PROMPT + _REPLY,),
        "<|im_end|>",
        {**_QWEN2_AUDIO, "chat": Request("", ("reply",))},
        Chat(_SYSTEM, "<|im_start|>{role}\n", "Audio {number}: <|audio_bos|>", "<|audio_eos|>\n"),
    ),
    "qwen2-audio-base": Template(
        ("<|audio_bos|>",), ("<|audio_eos|>" + _PROMPT,), "<|endoftext|>", _QWEN2_AUDIO
    ),
    "firered": Template(
        (_USER,), (_PROMPT + _REPLY,), "<|im_end|>", {"asr": _transcript("请转写音频为文字")}
    ),
    "mini": Template(
        (_SYSTEM + _USER,),
        (_PROMPT + _REPLY,),
        "<|im_end|>",
        _MINI,
        Chat(_SYSTEM, "<|im_start|>{role}\n", "", ""),
    ),
    "osum": Template((_PROMPT,), (), "<|endoftext|>", _OSUM),
    "salmonn": Template(
        ("<s>", "USER: <Speech>"), ("</Speech> " + _PROMPT + "\nASSISTANT:",), "</s>", _SALMONN
    ),
    "slam": Template(
        (),
        ("<s>", "USER: " + _PROMPT + "\n ASSISTANT:"),
        "</s>",
        {"asr": _transcript("Transcribe speech to text. ")},
    ),
}


def template(name: str) -> Template:
    """The layout of that name; ConfigError names the nearest."""
    if name not in TEMPLATES:
        raise ConfigError(f"unknown template {name!r}: {did_you_mean(name, TEMPLATES)}")
    return TEMPLATES[name]


def tasks(name: str) -> tuple[str, ...]:
    """The tasks that a template words.

    >>> tasks("mooer")
    ('asr', 'ast', 'asr_ast', 's2s_trans', 's2s_chat')
    """
    return tuple(template(name).requests)


def parts(
    name: str, task: str, num_embeddings: int, answer: str | None = None, prompt: str | None = None
) -> list[Text | Audio]:
    """Template `name` around so many embeddings of audio; with `answer`, what is to be learned.

    `prompt` takes the place of the task's wording.

    >>> parts("slam", "asr", 3)[0]
    Audio(num_embeddings=3)
    """
    layout, request = template(name), _request(name, task)
    wording = request.prompt if prompt is None else prompt
    found: list[Text | Audio] = [Text(t.replace(_PROMPT, wording)) for t in layout.before]
    found.append(Audio(num_embeddings))
    found += [Text(t.replace(_PROMPT, wording)) for t in layout.after]
    if answer is not None:
        found.append(Text(answer + layout.end, learned=True))
    return found


def with_draft(name: str, task: str, draft: str) -> str:
    r"""The wording of a task, shown what another recogniser wrote of the same sound.

    >>> with_draft("mini", "asr", "hello <|im_end|>")
    'Draft: hello < |im_end|>\nTranscribe the speech.'
    """
    return f"Draft: {_line(draft)}\n{_request(name, task).prompt}"


def with_hints(name: str, task: str, *, draft: str = "", hotwords: str = "") -> str:
    r"""The wording of a task after what is known: words to expect, another recogniser's text.

    Only a template that was made for chat is shown hotwords; others know their wording alone.

    >>> with_hints("mini", "asr", hotwords="MooER, Qwen")
    'Hotwords: MooER, Qwen\nTranscribe the speech.'
    >>> with_hints("mooer", "asr", hotwords="MooER, Qwen")
    'Transcribe speech to text. '
    """
    wording = with_draft(name, task, draft) if draft else _request(name, task).prompt
    if hotwords and template(name).chat is not None:
        wording = f"Hotwords: {_line(hotwords)}\n{wording}"
    return wording


def _line(text: str) -> str:
    # The names of special tokens open with "<|"; nobody can say one.
    return " ".join(text.split()).replace("<|", "< |")


def read_answer(name: str, task: str, text: str) -> Answer:
    r"""What an answer says. Of two fields, the second is None if the model left it out.

    >>> read_answer("mooer", "asr_ast", "你好\nhello")
    Answer(transcript='你好', translation='hello', reply=None, labels=())
    >>> read_answer("osum", "asr_gender", "你好<female>").labels
    ('female',)
    """
    request = _request(name, task)
    text = text.partition(template(name).end)[0].partition(_SOUND)[0]
    text = _LANGUAGE.sub("", text).strip()
    if request.fields == ("labels",):
        named = re.findall(r"<([^<>|]+)>", text)
        return Answer(labels=tuple(named or [text]) if text else ())
    labels: tuple[str, ...] = ()
    if "labels" in request.fields and (tail := _LABELS.search(text)):
        labels = tuple(re.findall(r"<([^<>|]+)>", tail[0]))
        text = text[: tail.start()]
    fields = [field for field in request.fields if field != "labels"]
    said: list[str] = [text] if len(fields) == 1 else text.split(request.separator, 1)
    # A model that stops early leaves the last fields out.
    values = {field: value.strip() for field, value in zip(fields, said, strict=False)}
    return Answer(values.get("transcript"), values.get("translation"), values.get("reply"), labels)


def write_answer(name: str, task: str, answer: Answer) -> str:
    r"""The text that a model is to learn; ConfigError if a field of the task is missing.

    >>> write_answer("mooer", "asr_ast", Answer(transcript="你好", translation="hello"))
    '你好\nhello'
    """
    request = _request(name, task)
    said = []
    for field in request.fields:
        value = getattr(answer, field)
        if not value:
            raise ConfigError(
                f"task {task} of template {name} needs a {field}: the answer has none"
            )
        if field != "labels":  # on one line, since a line break may part two fields
            said.append(" ".join(value.split("\n")).strip())
    return request.separator.join(said) + "".join(
        f"<{label}>" for label in answer.labels if "labels" in request.fields
    )


def _request(name: str, task: str) -> Request:
    requests = template(name).requests
    if task not in requests:
        raise ConfigError(f"template {name} has no task {task!r}: {did_you_mean(task, requests)}")
    return requests[task]
