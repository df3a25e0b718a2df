"""One port for everything the house can do: HTTP as OpenAI has it, and WebSockets.

    from mooer.serve.app import make_app
    from mooer.serve.settings import Settings

    app = make_app(Settings(models=("whisper-base",)))  # an ASGI application

`routes(state)` of each room gives its addresses; `State` is what they share.
"""
