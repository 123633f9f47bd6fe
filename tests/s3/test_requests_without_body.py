"""Reading and deleting: requests that carry nothing, and say so."""

import pytest

from tests.s3.conftest import MakeStore
from tests.support.s3_faults import Answer, serving

LISTED = Answer(200, {"Content-Type": "application/xml"}, b"<ListBucketResult></ListBucketResult>")


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [("list_objects_v2", {"Prefix": "raw/check/"}), ("get_object", {"Key": "raw/check/x"})],
)
def test_a_request_that_carries_nothing_announces_no_body(make_store: MakeStore, operation, parameters):
    with serving(LISTED) as server:
        store = make_store(server.url)
        for _ in range(3):
            store.read(operation, **parameters)
        assert len(server.requests) == 3
        for request in server.requests:
            assert "transfer-encoding" not in request.headers
            assert request.headers.get("content-length", "0") == "0"
        assert server.connections == 1  # nothing is left over on it
