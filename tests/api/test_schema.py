"""Requests that the schema allows, and many that it does not, sent to a real server."""

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]

OPERATIONS = {
    ("POST", "/v1/speech"): 120,
    ("POST", "/v1/speech/events"): 30,
    ("POST", "/v1/speech/subtitles"): 60,
    ("POST", "/v1/audio/speech"): 120,
    ("POST", "/v1/text-to-speech/{voice_id}"): 40,
    ("POST", "/v1/text-to-speech/{voice_id}/stream"): 20,
    ("POST", "/v1/text-to-speech/{voice_id}/with-timestamps"): 20,
    ("POST", "/v1/text-to-speech/{voice_id}/stream/with-timestamps"): 20,
    ("GET", "/v1/models"): 5,
    ("GET", "/v1/models/{model}"): 20,
    ("POST", "/v1/models/{model}/load"): 10,
    ("POST", "/v1/models/{model}/unload"): 10,
    ("GET", "/v1/health"): 5,
    ("POST", "/v1/health"): 5,
    ("GET", "/v1/ready"): 5,
    ("GET", "/v1/backends"): 5,
    ("POST", "/v1/tasks/speech"): 60,
    ("GET", "/v1/tasks"): 20,
    ("GET", "/v1/tasks/{task_id}"): 10,
    ("GET", "/v1/tasks/{task_id}/events"): 10,
    ("GET", "/v1/tasks/{task_id}/result"): 10,
    ("POST", "/v1/tasks/{task_id}/cancel"): 10,
    ("DELETE", "/v1/tasks/{task_id}"): 10,
    ("POST", "/v1/conversion"): 40,
    ("POST", "/v1/codec/encode"): 30,
    ("POST", "/v1/codec/decode"): 40,
    ("GET", "/v1/voices"): 10,
    ("POST", "/v1/voices"): 60,
    ("GET", "/v1/voices/{voice}"): 20,
    ("PATCH", "/v1/voices/{voice}"): 40,
    ("DELETE", "/v1/voices/{voice}"): 10,
    ("GET", "/v1/voices/{voice}/audio"): 20,
    ("POST", "/v1/voices/{voice}/preview"): 30,
    ("GET", "/v1/scenes"): 5,
    ("GET", "/v1/scenes/{scene}"): 20,
    ("PUT", "/v1/scenes/{scene}"): 60,
    ("DELETE", "/v1/scenes/{scene}"): 20,
    ("GET", "/v1/dictionaries"): 5,
    ("GET", "/v1/dictionaries/{dictionary}"): 20,
    ("PUT", "/v1/dictionaries/{dictionary}"): 60,
    ("DELETE", "/v1/dictionaries/{dictionary}"): 20,
}
"""Requests to each operation, in each mode."""


@pytest.fixture(scope="module")
def schema(live):
    live.speak("the model is up")
    return schemathesis.openapi.from_url(f"{live.url}/openapi.json")


def test_every_operation_is_tried(schema):
    found = {(method.upper(), path) for path in schema for method in schema[path]}
    assert found == set(OPERATIONS)


def test_the_events_of_an_existing_task_are_as_documented(schema, live):
    live.client.post("/v1/tasks/speech", json={"id": "watched", "text": "hello there"}).raise_for_status()
    case = schema["/v1/tasks/{task_id}/events"]["GET"].Case(path_parameters={"task_id": "watched"})
    case.call_and_validate(checks=CHECKS)
    live.client.delete("/v1/tasks/watched").raise_for_status()


WRITING = ("POST", "PUT")
PATHS = (
    "/v1/speech",
    "/v1/speech/subtitles",
    "/v1/conversion",
    "/v1/codec/encode",
    "/v1/codec/decode",
    "/v1/audio/speech",
    "/v1/tasks/speech",
    "/v1/scenes/{scene}",
    "/v1/dictionaries/{dictionary}",
)
CASES = [(method, path, GenerationMode.POSITIVE) for method, path in OPERATIONS]
CASES += [(method, path, GenerationMode.NEGATIVE) for method, path in OPERATIONS if path in PATHS and method in WRITING]


@pytest.mark.parametrize(("method", "path", "mode"), CASES, ids=str)
def test_there_is_no_server_error_and_all_responses_are_as_documented(schema, method, path, mode):
    @hypothesis.given(case=schema[path][method].as_strategy(generation_mode=mode))
    @hypothesis.settings(
        max_examples=OPERATIONS[method, path],
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def response_is_valid(case):
        case.call_and_validate(checks=CHECKS)

    response_is_valid()
