"""One spoken turn with `mooer serve`: ask by a WAV, get the answer as a WAV and as text.

It needs `pip install "openai[realtime]"`: python converse.py question.wav answer.wav
"""

import asyncio
import base64
import os
import sys
import wave

from openai import AsyncOpenAI


async def main(question: str, answer: str, url: str = "http://127.0.0.1:8000") -> None:
    """Send the question, and two seconds of silence behind it; write what comes back."""
    key = os.environ.get("MOOER_API_KEY", "none")
    with wave.open(question) as wav:  # 16-bit samples, one channel
        rate, data = wav.getframerate(), wav.readframes(wav.getnframes())
    sound = {"format": {"type": "audio/pcm", "rate": rate}, "transcription": {"model": "default"}}
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key=key).realtime.connect(model="agent") as it:
        await it.session.update(session={"type": "realtime", "audio": {"input": sound}})
        for block in (data, bytes(4 * rate)):
            await it.input_audio_buffer.append(audio=base64.b64encode(block).decode())
        with wave.open(answer, "wb") as out:
            out.setparams((1, 2, 24_000, 0, "NONE", ""))
            async for event in it:
                if event.type == "conversation.item.input_audio_transcription.completed":
                    print("You:", event.transcript)
                elif event.type == "response.output_audio.delta":
                    out.writeframes(base64.b64decode(event.delta))
                elif event.type == "response.done" and event.response.status == "completed":
                    print("Agent:", event.response.output[0].content[0].transcript)
                    break
                elif event.type == "error":
                    sys.exit(f"error: {event.error.message}")


asyncio.run(main(*sys.argv[1:]))
