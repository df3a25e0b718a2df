"""Keys: only hashes are kept, and a wrong one is no caller."""

import pytest
from starlette.requests import HTTPConnection

from mooer.errors import ConfigError
from mooer.serve.callers import Callers, new_key, read_keys
from mooer.serve.errors import ApiError
from mooer.serve.settings import Settings


def connection(**headers):
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "headers": raw, "client": ("10.0.0.7", 5)})


def test_a_key_is_kept_as_a_hash_alone(tmp_path):
    path = tmp_path / "keys.txt"
    key, other = new_key(path, "anna"), new_key(path, "ops", is_admin=True)
    assert key != other
    assert key not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    callers = Callers.of(Settings(keys=path))
    anna = callers.identify(connection(authorization=f"Bearer {key}"))
    assert (anna.id, anna.is_admin) == ("key anna", False)
    assert callers.identify(connection(authorization=f"bearer {other}")).is_admin


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_api_key"),
        ({"authorization": "Basic abc"}, "missing_api_key"),
        ({"authorization": "Bearer "}, "missing_api_key"),
        ({"authorization": "Bearer mk-wrong"}, "invalid_api_key"),
        ({"sec_websocket_protocol": "realtime, openai-insecure-api-key.no"}, "invalid_api_key"),
    ],
)
def test_no_key_and_a_wrong_one_are_refused(headers, code):
    callers = Callers.of(Settings(api_key="right"))
    with pytest.raises(ApiError) as caught:
        callers.identify(connection(**headers))
    assert caught.value.status == 401
    assert caught.value.code == code


def test_a_browser_shows_its_key_as_a_subprotocol():
    protocol = "realtime, openai-insecure-api-key.right"
    callers = Callers.of(Settings(api_key="right"))
    assert callers.identify(connection(sec_websocket_protocol=protocol)).id == "key key"


def test_without_keys_callers_are_told_apart_by_address():
    assert Callers.of(Settings()).identify(connection()).id == "address 10.0.0.7"


def test_what_is_no_key_is_named_by_its_line(tmp_path):
    path = tmp_path / "keys.txt"
    path.write_text("# ours\n\nanna:sha256:xyz\n")
    with pytest.raises(ConfigError, match=":3: not a key"):
        read_keys(path)
    path.write_text("# none yet\n")
    with pytest.raises(ConfigError, match="holds no key"):
        Callers.of(Settings(keys=path))
    with pytest.raises(ConfigError, match="cannot read the keys"):
        read_keys(tmp_path / "no.txt")


def test_a_name_is_taken_once(tmp_path):
    path = tmp_path / "keys.txt"
    new_key(path, "anna")
    with pytest.raises(ConfigError, match="already"):
        new_key(path, "anna")
    with pytest.raises(ConfigError, match="letters"):
        new_key(path, "a:b")
