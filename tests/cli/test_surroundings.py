"""``mizzen status``, ``kubeconfig`` and ``env`` as scripts use them, and what every command says where nothing runs."""

import json
import os
import shlex
import shutil
import subprocess

import pytest

from installed import ANY_PORTS, installation, new_home


def shell(mizzen, script: str) -> str:
    """A script of a shell that knows nothing of the installation but its home; returns what it prints."""
    command = f'mizzen() {{ {shlex.join(mizzen.command)} "$@"; }}'
    done = subprocess.run(
        ["sh", "-euc", f"{command}\n{script}"],
        env=mizzen.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_status_is_a_contract(mizzen):
    status = json.loads(mizzen("status", "-o", "json"))
    assert status["ready"] is True
    assert status["phase"] == "ready"
    assert status["api"]["url"].startswith("https://127.0.0.1:")
    assert status["gateway"]["url"].startswith("http://127.0.0.1:")
    assert status["kubeconfig"] == str(mizzen.home / "kubeconfig")
    assert set(status["roles"]) == {"apiserver", "node", "controllers", "gateway"}
    assert all(role["ready"] and os.path.exists(f"/proc/{role['pid']}") for role in status["roles"].values())
    told = mizzen("status")
    for part in (status["api"]["url"], status["gateway"]["url"], status["kubeconfig"], "apiserver", f"{status['pid']}"):
        assert part in told


def test_the_paths_and_variables_are_for_a_shell(mizzen):
    printed = shell(mizzen, 'eval "$(mizzen env)"; echo "$KUBECONFIG $MIZZEN_GATEWAY"; mizzen get ns default -o name')
    assert printed.splitlines() == [
        f"{mizzen('kubeconfig').strip()} {mizzen.status()['gateway']['url']}",
        "namespace/default",
    ]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl on this machine")
def test_kubectl_works_with_what_env_prints(mizzen):
    assert shell(mizzen, 'eval "$(mizzen env)"; kubectl get ns default -o name') == "namespace/default\n"
    assert shell(mizzen, 'kubectl --kubeconfig "$(mizzen kubeconfig)" get ns default -o name') == "namespace/default\n"


def test_a_home_with_a_blank_and_a_quote_in_its_name():
    with new_home() as mizzen:
        mizzen.home = mizzen.home.with_name("it's a home")
        mizzen.environment["MIZZEN_HOME"] = str(mizzen.home)
        told = mizzen("up", "-d", *ANY_PORTS)
        line = next(line for line in told.splitlines() if "export " in line).partition("export ")[2]
        assert shell(mizzen, f'export {line}; echo "$KUBECONFIG"') == f"{mizzen.home}/kubeconfig\n"
        assert shell(mizzen, 'eval "$(mizzen env)"; echo "$KUBECONFIG"') == f"{mizzen.home}/kubeconfig\n"
        mizzen("down")


def test_another_cluster_is_never_mistaken_for_the_installation(mizzen):
    """KUBECONFIG decides for every command; the gateway of this home belongs to the cluster of this home."""
    with installation() as other:
        there = {"KUBECONFIG": str(other.home / "kubeconfig")}
        mixed = mizzen.environment | there
        other.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: there}\n")
        assert mizzen.run("get", "cm", "there", env=mixed).returncode == 0
        assert mizzen.run("get", "cm", "there").returncode == 1
        assert mizzen.run("get", "cm", "there", "--kubeconfig", there["KUBECONFIG"]).returncode == 0


COMMANDS = [
    ("get", "pods"),
    ("describe", "isvc", "x"),
    ("delete", "isvc", "x"),
    ("logs", "x"),
    ("predict", "x", "-d", "[]"),
    ("env",),
]


def test_where_nothing_runs_each_command_says_so_and_what_to_do(tmp_path):
    manifest = tmp_path / "m.yaml"
    manifest.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    with new_home() as mizzen:
        for arguments in (*COMMANDS, ("apply", "-f", str(manifest)), ("kubeconfig",)):
            refused = mizzen.run(*arguments)
            assert (refused.returncode, refused.stdout) == (1, ""), arguments
            assert str(mizzen.home) in refused.stderr
            assert "mizzen up -d" in refused.stderr
            assert "Traceback" not in refused.stderr
        told = mizzen.run("status")
        assert told.returncode == 1
        assert "mizzen up -d" in told.stdout
        assert json.loads(mizzen.run("status", "-o", "json").stdout)["ready"] is False
        assert mizzen("down") == f"nothing runs in {mizzen.home}\n"


def test_a_kubeconfig_that_leads_nowhere(mizzen, tmp_path):
    missing = tmp_path / "missing"
    refused = mizzen.run("get", "pods", "--kubeconfig", str(missing))
    assert refused.returncode == 1
    assert str(missing) in refused.stderr
    gone = tmp_path / "gone"
    text = (mizzen.home / "kubeconfig").read_text()
    gone.write_text(text.replace(mizzen.status()["api"]["url"], "https://127.0.0.1:1"))
    refused = mizzen.run("get", "pods", "--kubeconfig", str(gone))
    assert refused.returncode == 1
    assert "https://127.0.0.1:1 does not answer" in refused.stderr


def test_help_is_there_for_every_command(mizzen):
    listed = mizzen("--help")
    for command in ("up", "down", "status", "kubeconfig", "env", "apply", "get", "describe", "delete", "logs"):
        assert f"\n  {command} " in listed
        assert "Usage: mizzen" in mizzen(command, "-h")
    assert mizzen.run("nonsense").returncode == 2
