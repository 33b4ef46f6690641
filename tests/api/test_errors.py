import logging

import pytest
from litestar import get
from litestar.exceptions import HTTPException

from hub.api.http.errors import error_headers
from hub.contract.errors import Busy, MethodNotAllowed, TooLarge, Unauthorized
from hub.plugin.spec import hookimpl


class faulty:  # noqa: N801
    """Routes that raise all kinds of exceptions."""

    @staticmethod
    @hookimpl
    def register_routes(hub):
        @get("/unforeseen", sync_to_thread=False)
        def unforeseen() -> None:
            raise ZeroDivisionError("/secret/path is in this message")

        @get("/teapot", sync_to_thread=False)
        def teapot() -> None:
            raise HTTPException("I cannot make coffee", status_code=418)

        @get("/forbidden", sync_to_thread=False)
        def forbidden() -> None:
            raise HTTPException("not for you", status_code=403)

        @get("/unencodable", sync_to_thread=False)
        def unencodable() -> dict[str, object]:
            return {"it": object()}

        @get("/busy", sync_to_thread=False)
        def busy() -> None:
            raise Busy("no place", retry_after=1.2, waiting=3)

        return [unforeseen, teapot, forbidden, unencodable, busy]


@pytest.fixture(scope="module")
def faults(served_once):
    return served_once(faulty()).client


@pytest.mark.parametrize("path", ["/unforeseen", "/unencodable"])
def test_unexpected_errors_are_only_in_the_log(faults, caplog, path):
    answer = faults.get(path, headers={"X-Request-Id": "asked-7"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.json()["detail"] == {"request_id": "asked-7"}
    assert answer.headers["x-request-id"] == "asked-7"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(logged) == 1
    assert "asked-7" in logged[0].getMessage()
    assert logged[0].exc_info


def test_litestars_own_exceptions_have_the_usual_body(faults):
    teapot = faults.get("/teapot").json()
    assert teapot == {"code": "invalid_request", "message": "I cannot make coffee", "detail": {}}
    forbidden = faults.get("/forbidden")
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "forbidden")


def test_detail_and_retry_after(faults):
    answer = faults.get("/busy")
    assert answer.json() == {"code": "queue_full", "message": "no place", "detail": {"waiting": 3}}
    assert answer.headers["retry-after"] == "2"


def test_headers_of_errors():
    assert error_headers(Busy("", retry_after=0.0)) == {"Retry-After": "1"}
    assert error_headers(Unauthorized("")) == {"WWW-Authenticate": "Bearer"}
    assert error_headers(MethodNotAllowed("", allowed=["GET", "POST"])) == {"Allow": "GET, POST"}
    assert error_headers(TooLarge("")) == {"Connection": "close"}
