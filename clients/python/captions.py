"""Stream a WAV to `mooer serve`, and print what is said while it is said.

It needs `pip install websockets`: python captions.py talk.wav --language zh
"""

import argparse
import asyncio
import json
import os
import re
import sys
import wave

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI


class Failure(Exception):  # noqa: N818
    """What went wrong, in one sentence."""


async def send(socket: ClientConnection, wav: wave.Wave_read, fast: bool) -> None:
    """Send the sound, a tenth of a second at a time; in real time unless it is to be fast."""
    due_s = asyncio.get_running_loop().time()
    while block := wav.readframes(wav.getframerate() // 10):
        await socket.send(block)
        due_s += 0.1
        if not fast:
            await asyncio.sleep(due_s - asyncio.get_running_loop().time())
    await socket.send('{"type": "end"}')


async def follow(socket: ClientConnection, wav: wave.Wave_read, fast: bool) -> None:
    """Print what comes until the server has told all. Failure if it closes before."""
    show = print if sys.stdout.isatty() else lambda *texts, **options: None
    words, error, sending = [], "", None  # words that are final, and of no sentence yet
    try:
        async for text in socket:
            message = json.loads(text)
            kind = message["type"]
            if kind == "ready":
                sending = asyncio.create_task(send(socket, wav, fast))
            elif kind in ("partial", "final"):
                words += message["words"] if kind == "final" else []
                rest = message["text"] if kind == "partial" else ""
                texts = (word["text"] for word in words)
                show("\r\x1b[K", *texts, rest, sep="", end="", flush=True)
            elif kind == "said":
                segment = message["segment"]
                show("\r\x1b[K", end="")
                print(segment["text"], flush=True)
                words = [word for word in words if word["start_s"] >= segment["end_s"]]
            elif kind == "warning":
                print("warning:", message["message"], file=sys.stderr)
            elif kind == "error":
                error = message["error"]["message"]
            elif kind == "done":
                return
    except ConnectionClosed as closed:
        reason = error or (closed.rcvd.reason if closed.rcvd else "")
        if closed.rcvd and reason:
            raise Failure(f"{closed.rcvd.code}: {reason}") from None
    finally:
        show("\r\x1b[K", end="", flush=True)
        if sending:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    raise Failure("the server went away before the end: its log may say why")


async def caption(wav: wave.Wave_read, options: argparse.Namespace) -> None:
    """Open a stream, and follow it. Failure, with the server's sentence, if it refuses."""
    url = re.sub("^http", "ws", re.sub("/*(/v1)?/*$", "", options.url)) + "/v1/captions"
    headers = {"Authorization": f"Bearer {options.key}"} if options.key else {}
    start = {"rate_hz": wav.getframerate(), "channels": wav.getnchannels()}
    if options.language:
        start["language"] = options.language
    try:
        async with connect(url, additional_headers=headers) as socket:
            await socket.send(json.dumps({"type": "start", **start}))
            await follow(socket, wav, options.fast)
    except InvalidStatus as error:
        status = error.response.status_code
        try:
            text = json.loads(error.response.body)["error"]["message"]
        except (ValueError, KeyError, TypeError):  # not by our server, but a proxy before it
            text = "the server refused, without a reason"
        more = " (--key or MOOER_API_KEY gives one)" if status == 401 else ""
        raise Failure(f"{status}: {text}{more}") from error
    except InvalidURI as error:
        text = f"{options.url} is no address of a server: write http://HOST:PORT"
        raise Failure(text) from error
    except (OSError, InvalidHandshake) as error:
        raise Failure(
            f"no server answers at {options.url}: start one with `mooer serve`, or name another "
            "with --url"
        ) from error


def open_wav(path: str) -> wave.Wave_read:
    """A WAV of 16-bit samples. Failure for anything else."""
    try:
        wav = wave.open(path)  # noqa: SIM115 - `main` closes it
        if wav.getsampwidth() == 2:
            return wav
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}") from error
    except (wave.Error, EOFError):
        pass
    raise Failure(
        f"{path} is no WAV of 16-bit samples: `ffmpeg -i {path} -ar 16000 -ac 1 speech.wav` "
        "makes one"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--key", default=os.environ.get("MOOER_API_KEY", ""))
    parser.add_argument("--language")
    parser.add_argument("--fast", action="store_true", help="do not wait as long as it sounds")
    options = parser.parse_args()
    if not re.fullmatch("[!-~]*", options.key):
        sys.exit("error: a key has only visible ASCII letters: look at --key and MOOER_API_KEY")
    try:
        with open_wav(options.file) as wav:
            asyncio.run(caption(wav, options))
    except Failure as failure:
        sys.exit(f"error: {failure}")


if __name__ == "__main__":
    main()
