"""What the formats are held against."""

from __future__ import annotations

import jsonschema
import pytest
from jsonschema.protocols import Validator
from tests.schemastore import stored_schema


@pytest.fixture(scope="session")
def schema() -> Validator:
    """Return a validator of the JSON schema of SARIF 2.1.0, which is OASIS's own."""
    found = stored_schema("/sarif-2.1.0.json")
    assert found["$id"].endswith("oasis-tcs/sarif-spec/master/Schemata/sarif-schema-2.1.0.json")
    jsonschema.Draft7Validator.check_schema(found)
    return jsonschema.Draft7Validator(found)
