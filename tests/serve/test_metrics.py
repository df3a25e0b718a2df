"""Numbers for Prometheus."""

import json
import re
import time

from mooer.serve.metrics import Metrics

LINE = re.compile(r'[a-z_]+\{([a-z]+="[^"\n]*",?)*\} -?[0-9.e+-]+(inf)?$')


def test_every_line_is_of_the_format():
    metrics = Metrics()
    metrics.add("mooer_requests_total", route="/v1/models", status="200")
    metrics.add("mooer_refused_total", reason='a "quoted"\\ one\n')
    metrics.observe("mooer_batch_size", 3)
    metrics.observe("mooer_batch_size", 99)
    lines = metrics.render().splitlines()
    for line in lines:
        assert line.startswith("# ") or LINE.match(line.replace('\\"', "'")), line
    assert 'mooer_requests_total{route="/v1/models",status="200"} 1' in lines
    assert 'mooer_batch_size_bucket{le="4"} 1' in lines
    assert 'mooer_batch_size_bucket{le="+Inf"} 2' in lines
    assert "mooer_batch_size_sum{} 102" in lines
    assert "mooer_batch_size_count{} 2" in lines


def test_names_of_series_are_bounded():
    metrics = Metrics()
    for i in range(2000):
        metrics.add("mooer_refused_total", reason=str(i))
    assert len(metrics.samples()) < 600


def test_workers_tell_each_others_numbers(tmp_path, monkeypatch):
    mine, other = Metrics(tmp_path), Metrics(tmp_path)
    mine.add("mooer_requests_total", 2, route="a", status="200")
    other.add("mooer_requests_total", 3, route="a", status="200")
    (tmp_path / "99999.json").write_text(json.dumps([time.monotonic(), other.samples()]))
    (tmp_path / "99997.json").write_text(json.dumps([time.monotonic() - 60, other.samples()]))
    (tmp_path / "99998.json").write_text("{ broken")
    monkeypatch.setattr(time, "time", lambda: 0.0)  # somebody sets the clock
    text = mine.render()
    assert 'worker="99999",route="a",status="200"} 3' in text
    assert len(re.findall(r"^mooer_requests_total\{", text, re.M)) == 2
    mine.leave()
    assert len(list(tmp_path.glob("*.json"))) == 4
