"""What a session's events mean to its caller, told without a server."""

from mooer.agent.events import TurnEnded, TurnReopened, UserStarted, UserStopped, UserText
from mooer.serve.conversation_events import ConversationEvents
from mooer.serve.conversation_items import ConversationItems
from mooer.serve.conversation_session import ConversationSession


def told(*events):
    """Kind and item of what the caller is told about the user."""
    sent = []

    def send(kind, **fields):
        sent.append((kind, fields.get("item_id") or fields.get("item", {}).get("id")))

    session = ConversationSession().changed({"mooer": {"events": ["partial"]}})
    ConversationEvents(send, ConversationItems(send), session).tell(events)
    return sent


def test_a_turn_with_a_pause_is_one_item():
    found = told(
        UserStarted(0.0),
        UserText(0.8, "hello"),
        UserStopped(1.0),
        UserStarted(1.5),
        UserText(2.0, "hello there"),
        UserStopped(2.2),
        TurnEnded(2.4, 1, "hello there"),
    )
    kinds = [kind for kind, _ in found]
    assert kinds.count("input_audio_buffer.speech_started") == 1
    assert kinds.count("input_audio_buffer.committed") == 1
    assert len({item for _, item in found}) == 1


def test_a_turn_that_goes_on_after_its_end_takes_the_place_of_what_it_was():
    found = told(
        UserStarted(0.0),
        UserStopped(1.0),
        TurnEnded(1.2, 1, "hello"),
        UserStarted(1.4),
        TurnReopened(1.4, 1),
        UserStopped(2.2),
        TurnEnded(2.4, 1, "hello there"),
    )
    items = list(dict.fromkeys(item for _, item in found))
    assert len(items) == 2
    assert ("conversation.item.deleted", items[0]) in found
    assert found[-1][1] == items[1]
