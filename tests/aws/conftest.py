"""The account that the templates were deployed in."""

from collections.abc import Iterator

import pytest

from tests.aws.cloud import Cloud, deployed


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with deployed(tmp_path_factory.mktemp("moto")) as account:
        yield account
