"""Write english_golden.json with the reference implementation: `pip install openai-whisper`.

python tests/evaluate/make_english_golden.py
"""

import json
import random
from pathlib import Path

NAMES = (
    "one two three four five six seven eight nine ten eleven twenty ninety hundred thousand "
    "million zero oh o and a half point double triple first second third fifth eighth ninth "
    "twelfth twentieth twenties hundredth thousands millions ones sixes minus plus negative "
    "dollars cents "
    "pounds per cent percent 5 12 3.5 $20 1,000 £3.50 1960s 2nd 21 the colour mr. don't i'd been "
    "he's um (x) [y] 50% .5 10.10.1 4th 7 0 $0.50 theatre programmes analyse you'll we've"
)
WORDS = NAMES.split()
SENTENCES = [
    "Mr. Quilter is the apostle of the middle classes, and we are glad to welcome his gospel.",
    "She'd been to St. James's; Dr. O'Brien couldn't, wouldn't, and didn't mind.",
    "I'm gonna realise my favourite colour's grey, y'all.",
    "Twenty-one guns, forty two thousand three hundred and five people, nineteen eighty-four.",
    "It cost $2.50, i.e. two dollars and fifty cents, or 3,000 euros per cent.",
    "Call one oh one, double seven, triple zero, one point five million.",
    "[music] Well (laughs), uh, hmm: naïve café, Æsop & Straße!",
    "The temperature was minus five degrees at half past two and a half.",
]


def main() -> None:
    from whisper.normalizers import EnglishTextNormalizer  # openai-whisper 20250625

    normalize = EnglishTextNormalizer()
    draw = random.Random(0)
    texts = SENTENCES + [
        " ".join(draw.choice(WORDS) for _ in range(draw.randint(1, 8))) for _ in range(400)
    ]
    pairs = [[text, " ".join(normalize(text).split())] for text in texts]
    path = Path(__file__).with_name("english_golden.json")
    path.write_text(json.dumps(pairs, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
