"""Send a recording to `mooer serve`, and print its text. It needs `pip install openai`.

python transcribe.py talk.mp3 --format srt
"""

import argparse
import os
import re
import sys
from pathlib import Path

import openai


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", default=os.environ.get("MOOER_API_KEY", ""))
    parser.add_argument("--language")
    parser.add_argument("--format", default="text", choices=("json", "text", "srt"))
    options = parser.parse_args()
    if not re.fullmatch("[!-~]*", options.key):
        sys.exit("error: a key has only visible ASCII letters: look at --key and MOOER_API_KEY")
    if not re.match(r"https?://[^/\s]", options.url):
        sys.exit(f"error: {options.url} is no address of a server: write http://HOST:PORT")
    root = re.sub("/*(/v1)?/*$", "", options.url)
    client = openai.OpenAI(
        base_url=f"{root}/v1",
        api_key=options.key or "none",
        timeout=3600,  # an hour of sound may take a while
        max_retries=0,  # and is not sent twice unasked
    )
    try:
        with Path(options.file).open("rb") as file:
            found = client.audio.transcriptions.create(
                model="whisper-1",
                file=file,
                language=options.language or openai.omit,
                response_format=options.format,
            )
    except OSError as error:
        sys.exit(f"error: cannot read {options.file}: {error.strerror}")
    except openai.APIConnectionError as error:
        if type(error.__cause__).__name__ not in ("ConnectError", "ConnectTimeout"):
            sys.exit("error: the server went away before the end: its log may say why")
        sys.exit(
            f"error: no server answers at {options.url}: start one with `mooer serve`, or name "
            "another with --url"
        )
    except openai.APIStatusError as error:
        text = error.body["message"] if isinstance(error.body, dict) else error.message
        more = " (--key or MOOER_API_KEY gives one)" if error.status_code == 401 else ""
        sys.exit(f"error: {error.status_code}: {text}{more}")
    text = found if isinstance(found, str) else found.to_json(indent=None)
    print(text, end="" if text.endswith("\n") else "\n")


if __name__ == "__main__":
    main()
