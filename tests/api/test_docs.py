import re
from html.parser import HTMLParser

import pytest

from hub.api.routes.docs import ASSETS, STATIC
from hub.contract import SpeechRequest


class Loads(HTMLParser):
    """Collects the addresses that a page makes a browser load."""

    def __init__(self):
        super().__init__()
        self.urls = []

    def handle_starttag(self, tag, attrs):
        self.urls += [value for name, value in attrs if name in ("src", "href", "action", "data", "poster")]


def test_the_page_loads_only_from_the_hub(live):
    page = live.client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "://" not in page.text
    loads = Loads()
    loads.feed(page.text)
    paths = [url for url in loads.urls if url != "data:,"]
    assert len(paths) == len(ASSETS)
    for path in [*paths, *re.findall(r'url: "([^"]+)"', page.text)]:
        assert path.startswith("/")
        assert live.client.get(path).status_code == 200


@pytest.mark.parametrize("name", sorted(ASSETS))
def test_assets_are_complete_and_load_nothing_else(live, name):
    answer = live.client.get(f"/docs/{name}")
    assert answer.headers["content-type"].startswith(ASSETS[name])
    assert answer.content == (STATIC / name).read_bytes()
    assert "sourceMappingURL" not in answer.text
    if name.endswith(".css"):
        assert not re.findall(r"@import|url\((?!\"?data:)", answer.text)


def test_the_page_keeps_the_prefix_of_a_proxy(live):
    from hub.api.routes.docs import DocsPage

    class Request:
        scope = {"root_path": '/tts/"'}

    assert 'src="/tts/&quot;/docs/swagger-ui-bundle.js"' in DocsPage().render(Request(), {}).decode()


def test_the_schema_is_the_same_at_both_paths(live):
    assert live.client.get("/openapi.json").json() == live.client.get("/docs/openapi.json").json()


def test_the_schema_documents_speech(live):
    schema = live.client.get("/openapi.json").json()
    speak = schema["paths"]["/v1/speech"]["post"]
    assert set(speak["requestBody"]["content"]) == {"application/json", "application/msgpack"}
    assert {"audio/wav", "audio/mpeg", "audio/ogg", "audio/flac"} <= set(speak["responses"]["200"]["content"])
    assert "X-Sample-Rate" in speak["responses"]["200"]["headers"]
    assert {"400", "404", "413", "415", "429", "500", "502", "503", "default"} <= set(speak["responses"])
    assert set(schema["components"]["schemas"]["SpeechRequest"]["properties"]) == set(SpeechRequest.__struct_fields__)


def test_the_examples_work(live):
    schema = live.client.get("/openapi.json").json()
    tried = 0
    for path in ("/v1/speech", "/v1/audio/speech"):
        for example in examples(schema, path):
            assert live.client.post(path, json=example).status_code == 200
            tried += 1
    assert tried >= 5


def examples(schema, path):
    found = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    return [example["value"] for example in found["examples"].values()]


def test_every_operation_has_an_id_a_summary_and_a_tag(live):
    schema = live.client.get("/openapi.json").json()
    operations = [operation for path in schema["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations) >= 7
    for operation in operations:
        assert operation["summary"]
        assert operation["tags"]
