"""Settings: what a server refuses to be."""

import pytest

from mooer.config import read_yaml
from mooer.errors import ConfigError
from mooer.serve.settings import LimitOptions, Settings


def test_a_server_that_others_reach_needs_keys():
    for settings in (Settings(public=True), Settings(host="0.0.0.0"), Settings(host="example")):
        with pytest.raises(ConfigError, match="--new-key"):
            settings.check()
    with pytest.raises(ConfigError, match=r"on 0\.0\.0\.0 other machines"):  # not on 127.0.0.1
        Settings(public=True).check()
    Settings(public=True, api_key="k").check()
    Settings(host="127.0.0.2").check()
    Settings(host="::1").check()


def test_public_listens_everywhere_unless_an_address_is_named():
    assert Settings().bind_host == "127.0.0.1"
    assert Settings(public=True).bind_host == "0.0.0.0"
    assert Settings(public=True, host="10.1.2.3").bind_host == "10.1.2.3"


def test_every_page_may_not_call_a_server_with_keys():
    with pytest.raises(ConfigError, match="origins"):
        Settings(api_key="k", cors=("*",)).check()
    Settings(cors=("*",)).check()


def test_limits_are_checked():
    with pytest.raises(ConfigError, match="max_running must be at least 1"):
        LimitOptions(max_running=0)
    with pytest.raises(ConfigError, match="workers"):
        Settings(workers=0)


def test_a_file_of_settings(tmp_path):
    path = tmp_path / "serve.yaml"
    path.write_text(
        "models: [whisper-base]\nkeys: keys.txt\nlimits:\n  max_running: 4\n"
        "tls: {certificate: a.pem, key: b.pem}\n"
    )
    found = read_yaml(Settings, path)
    assert found.limits.max_running == 4
    assert found.tls.key.name == "b.pem"
    assert found.has_keys
