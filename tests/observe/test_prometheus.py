"""The shipped rules and the dashboard, with Debian's own Prometheus."""

import json
import re
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from edge.home import shipped
from edge.observe.metrics import Metrics
from tests.live.gate import Gate
from tests.live.test_watching import DEMO, ask
from tests.observe.made import attempt, outcome, refused
from tests.observe.test_metrics import full_gauges

RULES = shipped("conf") / "prometheus" / "aigate.rules.yml"
SCRAPE = shipped("conf") / "prometheus" / "aigate.scrape.yml"
DASHBOARD = shipped("conf") / "grafana" / "aigate.json"


def told() -> set[str]:
    """Every name that a gate tells."""
    metrics = Metrics(further=[full_gauges()])
    metrics([outcome(), outcome(ended="client-gone"), refused()])
    metrics.attempt(attempt())
    return {
        line.split("{")[0].split(" ")[0] for line in metrics.page().decode().splitlines() if not line.startswith("#")
    }


def test_rules_and_dashboard_ask_for_nothing_that_is_not_told():
    names = told()
    rules = "\n".join(line for line in RULES.read_text().splitlines() if "summary:" not in line)
    panels = [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]
    for text in (rules, "\n".join(panels)):
        found = set(re.findall(r"\b(?:aigate|process|gen_ai)_\w+", text)) - LABELS
        assert found and found <= names, found - names


LABELS = {"gen_ai_request_model", "gen_ai_operation_name"}


def test_promtool_takes_the_rules_and_the_scrape_configuration(need, tmp_path):
    promtool = need("promtool")
    ran = subprocess.run(
        [promtool, "check", "rules", str(RULES)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0 and "13 rules found" in ran.stdout, ran.stdout + ran.stderr
    for file in (RULES, SCRAPE):
        (tmp_path / file.name).write_text(file.read_text())
    ran = subprocess.run(
        [promtool, "check", "config", str(tmp_path / SCRAPE.name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_expression_of_the_dashboard_is_one(need, tmp_path):
    """As recording rules, so that promtool parses them."""
    exprs = [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]
    rules = [
        {"record": f"a:b{number}", "expr": expr.replace("$__rate_interval", "5m")} for number, expr in enumerate(exprs)
    ]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    ran = subprocess.run(
        [need("promtool"), "check", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_rules_fire_when_they_should(need, tmp_path):
    (tmp_path / "rules.yml").write_text(RULES.read_text())
    series = [
        ('aigate_upstream_up{service="chat",upstream="http://gpu:1"}', "0x20", 6, "AigateUpstreamDown"),
        ("aigate_keys_problem", "1x20", 3, "AigateKeysUnread"),
        ('aigate_attempts_total{result="unknown-key"}', "0+300x20", 12, "AigateBadKeys"),
        ('aigate_log_problem{log="audit"}', "1x20", 3, "AigateLogUnwritten"),
        ('aigate_certificate_expiry_timestamp_seconds{name="gate.lan"}', "86400x90", 70, "AigateCertificateEnds"),
    ]
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values}],
            "promql_expr_test": [
                {"expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})', "eval_time": f"{at}m",
                 "exp_samples": [{"labels": "{}", "value": 1}]}
            ],
        }
        for name, values, at, alert in series
    ]  # fmt: skip
    (tmp_path / "test.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "tests": tests}))
    ran = subprocess.run(
        [need("promtool"), "test", "rules", "test.yml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.live
def test_a_prometheus_server_scrapes_the_gate(need, tmp_path):
    program = need("prometheus")
    folder = tmp_path / "gate"
    folder.mkdir()
    with Gate(folder, DEMO, environ={"AIGATE_LISTEN__OPS": "127.0.0.1:0"}) as gate:
        ask(gate)
        config = SCRAPE.read_text().replace("127.0.0.1:8444", f"127.0.0.1:{gate.port('ops')}").replace("15s", "1s")
        (tmp_path / "prometheus.yml").write_text(config)
        (tmp_path / RULES.name).write_text(RULES.read_text())
        port = _free_port()
        with (tmp_path / "prometheus.log").open("wb") as log:
            server = subprocess.Popen(
                [program, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb",
                 f"--web.listen-address=127.0.0.1:{port}"],
                stdout=log, stderr=log,
            )  # fmt: skip
        try:
            assert _value(port, 'sum(aigate_http_requests_total{service="demo",code="200"})', tmp_path) >= 1
            assert _value(port, 'up{job="aigate"}', tmp_path) == 1
            assert _value(port, "aigate_certificate_expiry_timestamp_seconds - time()", tmp_path) > 86_400
        finally:
            server.terminate()
            server.wait(20)


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


def _value(port: int, query: str, folder: Path, seconds: float = 30.0) -> float:
    end = time.monotonic() + seconds
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                result = json.loads(answer.read())["data"]["result"]
        except OSError:
            result = []
        if result:
            return float(result[0]["value"][1])
        time.sleep(0.3)
    raise AssertionError(f"{query}: no answer\n{(folder / 'prometheus.log').read_text()[-2000:]}")
