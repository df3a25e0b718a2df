"""What a mind is told before all turns: that it is heard and not read, in the user's language."""

from __future__ import annotations

import json
from collections.abc import Sequence

from mooer.agent.language import has_letters, script_of
from mooer.agent.mind import Tool, Turn

_SPOKEN = {
    "zh": (
        "你在和用户语音对话，你的回答会被朗读出来。请用简体中文口语回答，简短自然，一般一到三句话，"
        "直接说重点。不要用列表、标题、代码、表情符号或网址。不知道就说不知道。"
    ),
    "en": (
        "You are talking with the user by voice, and your answer is read aloud. Answer in spoken "
        "English, short and natural, in one to three sentences, to the point. No lists, headings, "
        "code, emoji or web addresses. If you do not know something, say so."
    ),
}
_OTHER = "Answer in the language that the user speaks."


def language_of(turns: Sequence[Turn]) -> str:
    """The language to answer in: that of the user's last turn that has one, "zh" or "en".

    >>> language_of([Turn("user", "你好"), Turn("assistant", "Hello!")])
    'zh'
    """
    for turn in reversed(turns):
        if turn.role == "user" and (turn.language or has_letters(turn.text)):
            return turn.language or script_of(turn.text)
    return "en"


def spoken(system: str, language: str) -> str:
    """A persona's instructions with how to speak behind them.

    It is the same for all turns of one language, so that it stays in a KV cache.
    """
    style = _SPOKEN.get(language, f"{_SPOKEN['en']} {_OTHER}".replace("spoken English", "speech"))
    return f"{system.strip()}\n{style}".strip()


def with_tools(system: str, tools: Sequence[Tool]) -> str:
    """A system prompt with the functions that may be called, in the form that Qwen has learned."""
    if not tools:
        return system
    shown = "\n".join(json.dumps(as_function(tool), ensure_ascii=False) for tool in tools)
    return (
        f"{system}\n\n# Tools\n\nYou may call one or more functions to assist with the user query."
        "\n\nYou are provided with function signatures within <tools></tools> XML tags:\n"
        f"<tools>\n{shown}\n</tools>\n\nFor each function call, return a json object with function "
        "name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n"
        '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>\n\n'
        f"{_example(tools)}"
    )


def _example(tools: Sequence[Tool]) -> str:
    """What makes a model of half a billion parameters call a function instead of guessing."""
    easy = [tool for tool in tools if not tool.parameters.get("required")]
    name = (easy or tools)[0].name
    arguments = {} if easy else dict.fromkeys(tools[0].parameters["required"], "...")
    call = json.dumps({"name": name, "arguments": arguments})
    return (
        "You do not know the time, and cannot compute, remember or look up anything by yourself: "
        f"call the function for that. For example, where {name} is needed you answer\n"
        f"<tool_call>\n{call}\n</tool_call>\nTo anything else you answer in words."
    )


def as_function(tool: Tool) -> dict[str, object]:
    """A tool as OpenAI's protocol and Qwen's template have it."""
    parameters = dict(tool.parameters) or {"type": "object", "properties": {}}
    function = {"name": tool.name, "description": tool.description, "parameters": parameters}
    return {"type": "function", "function": function}
