"""With CI=true nothing skips: what is missing is a failure, since it was to be installed."""

import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

STRICT = os.environ.get("CI") == "true"

# A busy machine is slow, and that is no fault of what is tested. With CI=true the same examples each time: new ones are looked
# for by those who can mend what they find.
settings.register_profile("gate", deadline=None, derandomize=STRICT)
settings.load_profile("gate")

INNER = pytest.StashKey[object]()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Unwrap what pytest-twisted wrapped when the same property test ran before: wrapped twice, it waits for itself."""
    hypothesis = getattr(pyfuncitem.obj, "hypothesis", None)
    if hypothesis is not None:
        hypothesis.inner_test = pyfuncitem.stash.setdefault(INNER, hypothesis.inner_test)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if STRICT and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} skipped, and with CI=true nothing may: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if STRICT and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} skipped, and with CI=true nothing may: {report.longrepr}"
    return report


@pytest.fixture
def somebody() -> Iterator[Path]:
    """A folder of a user who is not root, and the test runs as that user, since root may read and write everything."""
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    if root:
        os.chown(folder, 12345, 12345)
        os.setresuid(12345, 12345, 0)
    try:
        yield folder
    finally:
        if root:
            os.setresuid(0, 0, 0)
        shutil.rmtree(folder)
