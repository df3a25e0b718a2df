"""A mind that thinks nothing and says much: for measuring all that is not the mind."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from mooer.agent.mind import Tool, ToolCall, Turn
from mooer.agent.minds.wording import language_of

_TEXTS = {
    "en": (
        "There was once a little dog who lived in a house by the river. "
        "Every morning he walked along the water to the old bridge and looked at the boats. "
        "One day a boat came by that was painted green from end to end, and nobody was in it. "
        "The dog sat down and waited to see who would come to fetch it. "
        "In the afternoon an old man came down the hill with a basket on his arm. "
        "He said that the boat was his, and that it went wherever it wanted."
    ),
    "zh": (
        "从前有一只小狗，住在河边的一座房子里。每天早上，它都沿着河水走到那座老桥，看来来往往的船。"
        "有一天，来了一只从头到尾都是绿色的船，船上一个人也没有。小狗坐下来，等着看谁会来取这只船。"
        "到了下午，一位老人提着篮子从山上走下来。他说这只船是他的，它想去哪里就去哪里。"
        "小狗听了很高兴，就跳上船，和老人一起顺着河水慢慢地走了。"
    ),
}


class Reciter:
    """Answers every turn with the same story, in its language: there is much to interrupt."""

    hears = False

    @classmethod
    def open(cls, *, num_threads: int | None = None) -> Reciter:
        """One; it needs no weights, and no threads."""
        return cls()

    def answer(
        self,
        turns: Sequence[Turn],
        *,
        system: str,
        tools: Sequence[Tool] = (),
        max_tokens: int = 200,
    ) -> Generator[str | ToolCall, None, None]:
        """The story, in pieces of some letters; about as many as `max_tokens`."""
        language = language_of(turns)
        text = _TEXTS.get(language, _TEXTS["en"])
        size = 2 if language == "zh" else 5
        for start in range(0, min(len(text), size * max_tokens), size):
            yield text[start : start + size]
