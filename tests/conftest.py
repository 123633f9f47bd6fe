"""What all tests share: tests of one `xdist_group` run in one process and start its servers once; no deadlines."""

import pytest
from hypothesis import settings


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make pytest 9.2 read the name that pytest-xdist 3.8 gives to a test of a group.

    Without this `--dist loadgroup` groups nothing and says nothing: pytest-dev/pytest-xdist#1386.
    """
    for item in items:
        grouped = vars(item).get("_nodeid")
        if grouped and grouped != item.nodeid and hasattr(item, "_id"):
            item._id = type(item._id).parse(grouped)


# Machines that run tests are loaded: how long one example takes says nothing.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
