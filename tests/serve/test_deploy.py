"""deploy/: what its files say of the server is so, and they agree with one another."""

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from fnmatch import fnmatch

import httpx
import pytest
import yaml
from deploy.ray_serve import RayOptions, app, make
from tests.conftest import ROOT
from tests.serve.live import serving
from tests.serve.stand import running
from tests.serve.test_run import free_port

from mooer.cli.main import load_command
from mooer.cli.serve import read_settings
from mooer.errors import ConfigError
from mooer.serve.guard import OPEN_PATHS
from mooer.serve.run import _KEEP_ALIVE_S
from mooer.serve.settings import MIB, Settings
from mooer.store.settings import VARIABLES

FOLDER = ROOT / "deploy"
USER = 10001
RELEASE_S = 10  # for models, after drain_s
NGINX_KEEP_ALIVE_S = 60  # of connections to an upstream, where the configuration names none


def text_of(name):
    return (FOLDER / name).read_text("utf-8")


def lines_of(name):
    """Instructions of a Dockerfile, continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", text_of(name))
    return [line for line in joined.splitlines() if line and not line.startswith("#")]


def values_of(name, key):
    """What a unit's file, or a Dockerfile by its first word, gives a key, in order."""
    found = [re.split(r"[= ]", line, maxsplit=1) for line in lines_of(name)]
    return [value for first, *rest in found for value in rest if first == key]


COMPOSE = yaml.safe_load(text_of("compose.yaml"))
KUBERNETES = {one["kind"]: one for one in yaml.safe_load_all(text_of("kubernetes.yaml"))}
POD = KUBERNETES["Deployment"]["spec"]["template"]["spec"]
[SERVER] = POD["containers"]
[FETCH] = POD["initContainers"]
REPLICAS = {name: one for name, one in COMPOSE["services"].items() if name.startswith("mooer")}


def commands():
    """Every call of `mooer` in a file that runs it, and in the head of one that says how."""
    yield "Dockerfile", yaml.safe_load(values_of("Dockerfile", "CMD")[0])
    yield from ((f"compose {name}", one["command"]) for name, one in REPLICAS.items())
    yield "compose fetch", COMPOSE["services"]["fetch"]["command"]
    yield "kubernetes", SERVER["args"]
    yield "kubernetes fetch", FETCH["args"]
    yield "service", shlex.split(values_of("mooer.service", "ExecStart")[0])[1:]
    for path in sorted(FOLDER.iterdir()):
        said = re.sub(r" \\\n# +", " ", path.read_text("utf-8")) if path.is_file() else ""
        for match in re.finditer(r"^#.*?\bmooer(?:-\w+)? ((?:serve|models) --?.*)$", said, re.M):
            words = shlex.split(re.split(r" && |#", match[1])[0])
            yield f"the head of {path.name}", [w for w in words if w != "..."]


@pytest.mark.parametrize(("where", "words"), [pytest.param(*one, id=one[0]) for one in commands()])
def test_every_option_exists(where, words):
    command = load_command(words[0])
    if words[0] == "models":
        words = words[1:]
        command = command.commands[words[0]]
    context = command.make_context(words[0], list(words[1:]))
    changes = context.params.get("set_") or []
    assert read_settings(None, {}, None, [one.replace("%C", "/c") for one in changes])


def test_every_variable_exists(monkeypatch):
    named = set()
    for path in [*FOLDER.iterdir(), ROOT / "docs" / "serving.md"]:
        if path.is_file():
            named |= set(re.findall(r"\bMOOER_[A-Z_]+", path.read_text("utf-8")))
    assert {"MOOER_HOME", "MOOER_API_KEY", "MOOER_OFFLINE"} <= named
    assert named <= {*VARIABLES, "MOOER_API_KEY"}
    monkeypatch.setenv("MOOER_API_KEY", "k")
    assert read_settings(None, {}, None, []).api_key == "k"


def test_nothing_starts_for_others_without_a_key():
    for where, words in commands():
        if words[0] == "serve" and "--new-key" not in words:
            assert "--public" in words, where


def test_the_port_is_the_server_s():
    port = Settings().port
    assert values_of("Dockerfile", "EXPOSE") == [str(port)]
    assert f"'127.0.0.1', {port}" in health_check()
    assert [one["containerPort"] for one in SERVER["ports"]] == [port]
    assert [one["targetPort"] for one in KUBERNETES["Service"]["spec"]["ports"]] == ["http"]
    upstream = re.findall(r"server (\S+):(\d+) ", text_of("nginx.conf"))
    assert upstream == [(name, str(port)) for name in REPLICAS]


def test_probes_ask_what_answers_without_a_key():
    probes = [
        SERVER[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")
    ]
    probes.append(re.search(r"'GET', '(.*?)'", health_check())[1])
    assert probes == ["/ready", "/ready", "/health", "/health"]
    with serving(settings={"public": True, "api_key": "k"}) as (client, _, _):
        for path in probes:
            assert path in OPEN_PATHS
            assert client.get(path, headers={"host": "10.1.2.3:8000"}).status_code == 200


def health_check():
    check = values_of("Dockerfile", "HEALTHCHECK")[0].partition("CMD ")[2]
    return yaml.safe_load(check)[2]


def test_the_check_of_the_image_tells_life_from_death():
    def check(port):
        code = health_check().replace(", 8000,", f", {port},")
        return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode

    with running(public=True, api_key="k", hosts=("speech.example",)) as live:
        assert check(httpx.URL(live.url).port) == 0
    assert check(free_port()) != 0


def test_there_is_time_to_drain():
    needed_s = Settings().limits.drain_s
    [after_s] = [int(word) for word in SERVER["lifecycle"]["preStop"]["exec"]["command"][1:]]
    assert POD["terminationGracePeriodSeconds"] >= after_s + needed_s + RELEASE_S
    assert seconds(values_of("mooer.service", "TimeoutStopSec")[0]) >= needed_s + RELEASE_S
    for one in REPLICAS.values():
        assert seconds(one["stop_grace_period"]) >= needed_s + RELEASE_S


def seconds(text):
    return float(text.removesuffix("s"))


def test_nginx_lets_the_server_decide():
    text, limits = text_of("nginx.conf"), Settings().limits
    size = int(re.search(r"client_max_body_size (\d+)m;", text)[1])
    assert size * MIB > max(limits.max_upload_bytes, limits.max_body_bytes)
    assert int(re.search(r"proxy_read_timeout (\d+)s;", text)[1]) > limits.deadline_s
    assert "keepalive_timeout" not in text.partition("server {")[0]
    assert _KEEP_ALIVE_S > NGINX_KEEP_ALIVE_S  # else a request meets a connection that ends
    most = int(re.search(r"limit_conn \w+ (\d+);", text)[1])
    assert most > limits.max_running_each + limits.max_waiting_each + limits.max_sessions_each


def test_weights_are_where_the_image_keeps_them():
    home = re.search(r"MOOER_HOME=(\S+)", values_of("Dockerfile", "ENV")[0])[1]
    assert values_of("Dockerfile", "VOLUME") == [home]
    for container, is_read_only in ((FETCH, False), (SERVER, True)):
        [mount] = [one for one in container["volumeMounts"] if one["name"] == "weights"]
        assert (mount["mountPath"], mount.get("readOnly", False)) == (home, is_read_only)
    assert COMPOSE["services"]["fetch"]["volumes"][0] == f"weights:{home}"
    assert all(one["volumes"][0] == f"weights:{home}:ro" for one in REPLICAS.values())


def test_one_user_owns_them():
    assert f"--uid {USER} " in " ".join(values_of("Dockerfile", "RUN"))
    assert values_of("Dockerfile", "USER") == [str(USER)]
    context = POD["securityContext"]
    assert {context[key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {USER}


def test_what_the_image_is_built_of_is_there():
    patterns = (ROOT / ".dockerignore").read_text("utf-8").split("\n")
    kept = [line[1:] for line in patterns if line.startswith("!")]
    sources = [
        word
        for line in values_of("Dockerfile", "COPY")
        if not line.startswith("--from")
        for word in line.split()[:-1]
    ]
    for source in sources:
        assert (ROOT / source).exists()
        assert any(fnmatch(source, pattern) for pattern in kept), source
    tomllib = pytest.importorskip("tomllib")  # of Python 3.11
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    used = [project["readme"], *project["license-files"], "pyproject.toml", "src"]
    assert sorted(used) == sorted(sources)
    extras = values_of("Dockerfile", "ARG")[1].partition("=")[2].split(",")
    assert {"serve", "speak"} == set(extras) <= set(project["optional-dependencies"])


def test_the_image_for_gpus_has_cublas_and_torch_if_asked():
    tomllib = pytest.importorskip("tomllib")  # of Python 3.11
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
        "optional-dependencies"
    ]
    [usual] = [one for one in values_of("Dockerfile.cuda", "ARG") if one.startswith("EXTRAS")]
    assert usual == "EXTRAS=cuda"
    assert "nvidia-cublas-cu12" in " ".join(extras["cuda"])
    [asked] = re.findall(r"--build-arg EXTRAS=(\S+)", text_of("Dockerfile.cuda"))
    assert "torch" in " ".join(" ".join(extras[name]) for name in asked.split(","))
    assert values_of("Dockerfile.cuda", "USER") == ["0", str(USER)]  # the last is who serves


def test_compose_refers_to_what_it_has():
    services = COMPOSE["services"]
    for name, one in services.items():
        assert set(one.get("depends_on", {})) <= set(services), name
        secrets = {s if isinstance(s, str) else s["source"] for s in one.get("secrets", [])}
        assert secrets <= set(COMPOSE["secrets"]), name
        named = {
            v.partition(":")[0] for v in one.get("volumes", []) if not v.startswith((".", "/"))
        }
        assert named <= set(COMPOSE["volumes"]), name
    keys = [one["command"][one["command"].index("--keys") + 1] for one in REPLICAS.values()]
    assert keys == ["/run/secrets/mooer_keys"] * 2
    assert (ROOT / "deploy" / services["fetch"]["build"]["context"]).resolve() == ROOT
    places = re.findall(r"ssl_certificate(?:_key)? (\S+);", text_of("nginx.conf"))
    assert places == [one["target"] for one in services["nginx"]["secrets"]]


def test_kubernetes_refers_to_what_it_has():
    labels = KUBERNETES["Deployment"]["spec"]["template"]["metadata"]["labels"]
    for selector in (
        KUBERNETES["Deployment"]["spec"]["selector"]["matchLabels"],
        KUBERNETES["Service"]["spec"]["selector"],
        KUBERNETES["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector == labels
    volumes = {one["name"]: one for one in POD["volumes"]}
    for container in (SERVER, FETCH):
        assert {one["name"] for one in container["volumeMounts"]} <= set(volumes)
    claim = volumes["weights"]["persistentVolumeClaim"]["claimName"]
    assert claim == KUBERNETES["PersistentVolumeClaim"]["metadata"]["name"]
    target = KUBERNETES["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", "mooer")
    keys = SERVER["args"][SERVER["args"].index("--keys") + 1]
    [place] = [one["mountPath"] for one in SERVER["volumeMounts"] if one["name"] == "keys"]
    assert keys == f"{place}/keys"
    assert "--from-file=keys=keys.txt" in text_of("kubernetes.yaml")


@pytest.mark.skipif(
    importlib.util.find_spec("kubernetes_validate") is None,
    reason="kubernetes-validate is not installed",
)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KUBERNETES)
def test_kubernetes_takes_it(kind):
    import kubernetes_validate

    kubernetes_validate.validate(KUBERNETES[kind], "1.33", strict=True)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_unit(tmp_path):
    unit = tmp_path / "mooer.service"
    unit.write_text(text_of("mooer.service").replace("/opt/mooer/bin/mooer", shutil.which("true")))
    told = analyze("verify", "--man=no", unit)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")
    told = analyze("security", "--offline=true", "--threshold=15", unit)  # tenths
    assert told.returncode == 0, told.stdout


def analyze(*words):
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True)


def test_systemd_keeps_what_the_server_needs():
    unit = text_of("mooer.service")
    assert "LoadCredential=keys:" in unit
    assert "--keys %d/keys" in unit
    assert values_of("mooer.service", "StateDirectory") == ["mooer"]
    assert "Environment=MOOER_HOME=%S/mooer\n" in unit
    assert values_of("mooer.service", "CacheDirectory") == ["mooer"]
    assert "upload_dir=%C/mooer" in unit


def test_ray_refuses_what_makes_no_sense(monkeypatch):
    monkeypatch.delenv("MOOER_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="API keys"):
        app({})
    with pytest.raises(ConfigError, match="min_replicas"):
        app({"min_replica": "2"})
    with pytest.raises(ConfigError, match="workers"):
        make(Settings(api_key="k", workers=2), RayOptions())


def test_ray_takes_the_arguments_that_its_head_names(tmp_path):
    said = re.search(r"^serve run deploy\.ray_serve:app (.*)$", text_of("ray_serve.py"), re.M)[1]
    names = [word.partition("=")[0] for word in said.split()]
    assert set(names) <= set(RayOptions.__dataclass_fields__)
