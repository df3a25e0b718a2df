import io

from tests.fakes import FakeLLM

from mooer.cli.translate import print_translations
from mooer.infer.translator import Translator
from mooer.transcript import Segment


class Terminal(io.StringIO):
    def isatty(self):
        return True


def show(answers, output, **options):
    segments = [Segment(0, 1, "各位观众晚上好", "zh"), Segment(1, 2, "换一首歌", "zh")]
    return list(
        print_translations(Translator(FakeLLM(answers)), segments, output=output, **options)
    )


def test_a_file_gets_whole_lines():
    output = io.StringIO()
    got = show(["Good evening, viewers.", "Play another song."], output)
    assert output.getvalue() == "Good evening, viewers.\nPlay another song.\n"
    assert [segment.translation for segment in got] == output.getvalue().splitlines()


def test_a_terminal_gets_pieces_and_the_original_first():
    output = Terminal()
    show(["Good evening, viewers.", "Play another song."], output, bilingual=True)
    assert output.getvalue() == (
        "各位观众晚上好\nGood evening, viewers.\n换一首歌\nPlay another song.\n"
    )


def test_a_line_thrown_away_is_wiped():
    output = Terminal()
    show(["As an AI language model, I cannot.", "Good evening.", "Play."], output)
    first, *_ = output.getvalue().splitlines()
    assert first == "As an AI language model, I cannot."
    assert output.getvalue().split("\x1b[J")[-1] == "Good evening.\nPlay.\n"
