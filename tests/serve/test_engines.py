"""Models of a server: loaded once, used by many, let go of when nobody asks."""

import asyncio

import pytest
from tests.fakes import speech
from tests.serve.stand import Models, settings

from mooer.errors import ConfigError, ModelError
from mooer.infer import EndPoint, Final, RecognizeOptions, Said
from mooer.serve.callers import Caller
from mooer.serve.engines import CHAT, RECOGNISER, SPEAKER, Engines
from mooer.serve.errors import ApiError
from mooer.serve.metrics import Metrics

ANNA = Caller("anna")


def make(**options):
    fakes = Models()
    return Engines(settings(**options), Metrics(), fakes), fakes


def test_a_model_is_loaded_once_for_all_who_ask():
    async def main():
        engines, models = make()

        async def use():
            async with engines.borrow("whisper-1", RECOGNISER) as engine:
                await asyncio.sleep(0.01)
                return engine

        found = await asyncio.gather(*(use() for _ in range(10)))
        assert len(set(map(id, found))) == 1
        assert models.loaded == ["fake"]
        await engines.close()

    asyncio.run(main())


def test_one_who_leaves_does_not_stop_the_loading():
    async def main():
        engines, models = make()

        async def use():
            async with engines.borrow(None, RECOGNISER):
                pass

        leaving, staying = asyncio.create_task(use()), asyncio.create_task(use())
        await asyncio.sleep(0)
        leaving.cancel()
        await staying
        assert models.loaded == ["fake"]
        await engines.close()

    asyncio.run(main())


def test_a_model_that_failed_is_tried_again():
    async def main():
        engines, models = make()
        models.broken = "fake"
        for _ in range(2):
            with pytest.raises(ModelError):
                await engines.warm()
        assert not engines.is_usable
        models.broken = ""
        await engines.warm()
        assert engines.is_usable
        assert engines.failures() == {}
        await engines.close()

    asyncio.run(main())


def test_what_is_in_use_is_not_unloaded():
    async def main():
        engines, _ = make(unload_after_s=0.0)
        async with engines.borrow(None, RECOGNISER):
            with pytest.raises(ApiError) as caught:
                await engines.unload("fake")
            assert caught.value.status == 409
            await engines.tidy()
            assert engines.models()[0].is_loaded
        await engines.tidy()
        assert not engines.models()[0].is_loaded
        await engines.close()

    asyncio.run(main())


def test_names():
    engines, _ = make(models=("/models/some/whisper-x", "other"), chat=None)
    assert [one.id for one in engines.models()] == ["whisper-x", "other", "kokoro-82m", "agent"]
    assert engines.find("whisper-1", RECOGNISER) == "whisper-x"
    assert engines.find("other", RECOGNISER) == "other"
    assert engines.find("tts-1", SPEAKER) == "kokoro-82m"
    for name, kind in (("tts-1", RECOGNISER), ("/models/some/whisper-x", RECOGNISER), ("m", CHAT)):
        with pytest.raises(ApiError) as caught:
            engines.find(name, kind)
        assert caught.value.status == 404


def test_live_streams_share_a_model():
    sound = speech((0.5, 0), (3.0, 0.4), (1.5, 0))

    async def main():
        engines, models = make()

        async def listen():
            events = []
            options = RecognizeOptions(language="en", words=True)
            async with engines.session(ANNA, options) as live:
                for start in range(0, len(sound), 1600):
                    events += await live.push(sound[start : start + 1600])
                events += await live.flush()
                assert await live.poll() == []
            return events

        for events in await asyncio.gather(*(listen() for _ in range(4))):
            said = [event.segment.text for event in events if isinstance(event, Said)]
            assert " ".join(said).split()
            assert set(" ".join(said).split()) == {"four"}
            assert any(isinstance(event, Final) for event in events)
            assert isinstance(events[-1], EndPoint)
        assert models.loaded == ["fake"]
        await engines.close()

    asyncio.run(main())


def test_a_stream_that_cannot_be_is_refused():
    async def main():
        engines, _ = make()
        with pytest.raises(ConfigError):
            async with engines.session(ANNA, RecognizeOptions(rich=True)):
                pass
        await engines.unload("fake")  # nobody holds it
        await engines.close()

    asyncio.run(main())
