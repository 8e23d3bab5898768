"""The examples in ``deploy/`` fit the program: options, paths and times exist as they say."""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from plainspeech.cli import serve
from plainspeech.runtime.recognizer import load_model
from plainspeech.serving.app import create_app
from plainspeech.serving.server_settings import ServerSettings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"

DRAIN = ServerSettings.drain_seconds


def parsed(arguments: list[str]) -> dict[str, Any]:
    """Return what ``plainspeech serve`` reads of ``arguments``; an error if it does not."""
    app = typer.Typer()
    app.command()(serve.serve)
    command = typer.main.get_command(app)
    return command.make_context("serve", list(arguments)).params


@pytest.fixture(scope="module")
def unit() -> configparser.SectionProxy:
    text = (DEPLOY / "plainspeech.service").read_text().replace("\\\n", " ")
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    assert set(parser.sections()) == {"Unit", "Service", "Install"}
    return parser["Service"]


@pytest.fixture(scope="module")
def objects() -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))


@pytest.fixture(scope="module")
def container(objects: list[Any]) -> Any:
    (found,) = objects[0]["spec"]["template"]["spec"]["containers"]
    return found


def test_systemd_starts_what_there_is(unit: configparser.SectionProxy) -> None:
    program, verb, *arguments = shlex.split(unit["ExecStart"])
    assert (Path(program).name, verb) == ("plainspeech", "serve")
    found = parsed(arguments)
    assert found["workers"] >= 1  # or there would be nobody to reload
    assert found["json_logs"]


def test_systemd_reloads_and_stops_as_the_supervisor_does(unit: configparser.SectionProxy) -> None:
    assert unit["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert unit["KillMode"] == "mixed"
    assert float(unit["TimeoutStopSec"]) > DRAIN


def test_kubernetes_starts_what_there_is(container: Any) -> None:
    last = (ROOT / "Dockerfile").read_text().splitlines()[-1]
    program, verb, *arguments = yaml.safe_load(last.removeprefix("ENTRYPOINT "))
    assert (program, verb) == ("plainspeech", "serve")
    found = parsed([*arguments, *container["args"]])
    assert (found["host"], found["port"]) == ("0.0.0.0", container["ports"][0]["containerPort"])


def test_kubernetes_reaches_the_service_by_its_name(objects: list[Any], container: Any) -> None:
    deployment, service = objects
    assert service["metadata"]["name"] in parsed(container["args"])["allowed_host"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]


def test_kubernetes_asks_paths_that_exist(container: Any, tone_bundle: Path) -> None:
    app = create_app(load_model(tone_bundle, threads=1), ServerSettings())
    paths = {getattr(route, "path", None) for route in app.routes}
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")]
    assert {probe["path"] for probe in probes} <= paths
    assert {probe["port"] for probe in probes} == {container["ports"][0]["name"]}


def test_kubernetes_waits_for_accepted_requests(objects: list[Any], container: Any) -> None:
    (_, pause) = container["lifecycle"]["preStop"]["exec"]["command"]
    pod = objects[0]["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > DRAIN + float(pause)


def test_kubernetes_mounts_volumes_where_the_server_writes(
    objects: list[Any], container: Any
) -> None:
    volumes = {each["name"] for each in objects[0]["spec"]["template"]["spec"]["volumes"]}
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    assert set(mounts.values()) == volumes
    assert mounts.keys() == {"/tmp", "/home/plainspeech"}
    assert "WORKDIR /home/plainspeech" in (ROOT / "Dockerfile").read_text()
