"""What holds for every test: in CI, a skip that nobody has explained beforehand fails the run."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# A model cache is a user's, and no test may use what another left there; tests of the cache name their own.
os.environ["MIZZEN_MODEL_CACHE"] = ""

ALLOWED = Path(__file__).parent / "allowed_skips.txt"


def allowed_skips() -> list[re.Pattern[str]]:
    """One regular expression a line, matched against ``<test id>: <reason>``; lines with ``#`` explain."""
    lines = (line.strip() for line in ALLOWED.read_text().splitlines())
    return [re.compile(line) for line in lines if line and not line.startswith("#")]


def unexplained_skips(config: pytest.Config) -> list[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:
        return []
    found = []
    for report in reporter.stats.get("skipped", ()):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        found.append(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")
    return [line for line in found if not any(pattern.search(line) for pattern in allowed_skips())]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if unexplained_skips(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    unexplained = unexplained_skips(terminalreporter.config)
    if unexplained:
        terminalreporter.section("skips that tests/allowed_skips.txt does not list", red=True)
        for line in unexplained:
            terminalreporter.line(line)
