"""Every error that offhook raises, in one tree.

    OffhookError
    ├── RequestError                400  what the client sent cannot be served
    │   ├── BadJson                 400  the body is not JSON
    │   ├── BadField                400  a field is missing or has the wrong type
    │   ├── BadKey                  401  no key, or one that is not ours
    │   ├── NotAllowed              403  the key is good, but not for this
    │   ├── UnknownModel            404  no such ModelId here
    │   ├── UnknownCall             404  no such call here
    │   ├── UnknownPath             404  no such address here
    │   ├── WrongMethod             405  the address exists, the method does not
    │   ├── SlowRequest             408  the request did not arrive in time
    │   ├── BodyTooLarge            413  more bytes than the limit
    │   ├── UrlTooLong              414  the address alone has more bytes than the limit
    │   ├── WrongContentType        415  the body is declared as something that is not JSON
    │   ├── HeadersTooLarge         431  too many headers, or more bytes than the limit
    │   └── BadHttp                 400  what came is not an HTTP/1.1 request
    ├── TurnError                   503  a turn failed; nobody is to ask for it again by himself
    │   ├── TurnTimeout             503  nothing useful came in the time that a turn has
    │   ├── AgentError              503  the agent failed
    │   │   └── AgentValueError     503  the agent gave something that is not an event
    │   ├── ToolError               503  the tools of a turn led to no answer
    │   └── UpstreamError           503  the model service failed
    │       ├── UpstreamBusy        503  the model service asks to slow down
    │       ├── UpstreamRefused     503  it answered with an error status
    │       │   └── UpstreamUnfit   503  it does not take this very request
    │       ├── UpstreamUnreachable 503  no connection to it
    │       ├── UpstreamBroken      503  it spoke something else, or stopped in the middle
    │       └── UpstreamTimeout     503  it did not answer in time
    ├── TooMany                     429  a limit of the caller's key is reached
    ├── Overloaded                  503  more turns than this server takes
    ├── Stopping                    503  the server is going down
    ├── Superseded                  409  a newer turn of the call has begun
    ├── StoreError                       records cannot be written or read
    │   └── UnfitRecord                  a record that no store can ever take
    ├── WireError                        a stream or body does not keep the protocol
    ├── EndpointError                    the endpoint that a client calls answered with an error
    │   └── EndpointUnreachable          no connection to it
    ├── SetupError                       what the user configured cannot work; one line, exit code 2
    └── TurnOver                         an event was written to a reply that has already ended

HTTP status, OpenAI ``type`` and ``code``, and whether a retry can help are data on the class. After
the response headers are sent the only error is an event (see ``wire/faults.py``).
"""

from __future__ import annotations

from typing import ClassVar


class OffhookError(Exception):
    """Base of all errors of this package. ``message`` is written for the person who must act on it."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str | None] = None
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class RequestError(OffhookError):
    """What the client sent cannot be served; sending it again will not help."""

    status = 400
    type = "invalid_request_error"


class BadJson(RequestError):
    """The body is not JSON; the message says where, and recognises a Python literal."""

    code = "invalid_json"


class BadField(RequestError):
    """A field is missing or has the wrong type; ``param`` is its path, such as ``messages[0].role``."""

    code = "invalid_value"


class BadKey(RequestError):
    """No key came along, or one that this server does not know."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class NotAllowed(RequestError):
    """The key is one of ours, but has not the scope for what was asked."""

    status = 403
    type = "permission_error"
    code = "not_allowed"


class UnknownModel(RequestError):
    """The request names a model that this server does not answer for."""

    status = 404
    code = "model_not_found"


class UnknownCall(RequestError):
    """No call of that id is live, or recorded, here."""

    status = 404
    code = "call_not_found"


class UnknownPath(RequestError):
    """Nothing is served at this address."""

    status = 404
    code = "unknown_url"


class WrongMethod(RequestError):
    """The address exists but not for this method; ``allow`` lists those that it has (RFC 9110, 15.5.6)."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class SlowRequest(RequestError):
    """The request did not arrive within the time that it has; a faster sender may succeed."""

    status = 408
    code = "request_timeout"
    retryable = True


class BodyTooLarge(RequestError):
    """The body has more bytes than the server accepts."""

    status = 413
    code = "body_too_large"


class UrlTooLong(RequestError):
    """The address of the request has more bytes than the server accepts for a whole head."""

    status = 414
    code = "url_too_long"


class WrongContentType(RequestError):
    """The body is declared as something that is not JSON, or as compressed."""

    status = 415
    code = "unsupported_media_type"


class HeadersTooLarge(RequestError):
    """The request has more headers, or more bytes of them, than the server accepts."""

    status = 431
    code = "headers_too_large"


class BadHttp(RequestError):
    """What came over the connection is not an HTTP/1.1 request."""

    code = "bad_http"


class TurnError(OffhookError):
    """A turn failed before anything of it could be said.

    OpenAI SDK clients repeat a 5xx by themselves, for seconds in which a caller hears nothing: they are told not to.
    """

    status = 503
    code = "turn_failed"


class TurnTimeout(TurnError):
    """Nothing that a caller could hear came in the time that a turn has."""

    code = "turn_timeout"


class AgentError(TurnError):
    """The agent raised; its own exception is the ``__cause__``."""

    code = "agent_error"


class AgentValueError(AgentError):
    """The agent gave a value that is not a string or an event; the message shows the code to write."""

    code = "agent_value"


class ToolError(TurnError):
    """The model asked for tools again and again, past the limit of rounds."""

    code = "tool_rounds"


class UpstreamError(TurnError):
    """The model service behind the line failed.

    ``message`` goes to the caller of the endpoint, ``detail`` (addresses, reasons) to the log. What the service itself
    said is in the ``__cause__`` alone: it may hold a key, or what a caller said. ``another`` tells whether the same
    request may succeed if it is made again.
    """

    type = "upstream_error"
    code = "upstream_error"
    another: ClassVar[bool] = True

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


class UpstreamBusy(UpstreamError):
    """The model service answered 429 or 503; ``retry_after`` is its ``Retry-After`` header as it came, or None."""

    type = "rate_limit_error"
    code = "upstream_busy"

    def __init__(self, message: str, *, detail: str = "", retry_after: str | None = None) -> None:
        super().__init__(message, detail=detail)
        self.retry_after = retry_after


class UpstreamRefused(UpstreamError):
    """The model service answered with an error status below 500: it will answer the same again."""

    code = "upstream_refused"
    another = False


class UpstreamUnfit(UpstreamRefused):
    """The model service does not take this request (400, 413, 422): it is too long, say, or has a field it lacks."""

    code = "upstream_unfit"


class UpstreamUnreachable(UpstreamError):
    """No connection to the model service could be made."""

    code = "upstream_unreachable"


class UpstreamBroken(UpstreamError):
    """The model service spoke something that is not the protocol, reported an error, or broke off."""

    code = "upstream_broken"


class UpstreamTimeout(UpstreamError):
    """The model service did not answer in time, or fell silent."""

    code = "upstream_timeout"


class TooMany(OffhookError):
    """A limit of the caller's key is reached; ``retry_after`` is in seconds."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    retryable = True

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Overloaded(OffhookError):
    """This server answers as many turns as it may; ``retry_after`` is in seconds."""

    status = 503
    code = "overloaded"
    retryable = True

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Stopping(OffhookError):
    """The server is going down and takes no new turns."""

    status = 503
    code = "stopping"
    retryable = True


class Superseded(OffhookError):
    """A newer turn of the call has begun, so this reply is over."""

    status = 409
    code = "superseded"


class StoreError(OffhookError):
    """Records cannot be written or read now; a call goes on without."""

    status = 503
    code = "store_away"
    retryable = True


class UnfitRecord(StoreError):
    """A record that no store can ever take; the others go on."""

    status = 500
    code = "unfit_record"
    retryable = False


class WireError(OffhookError):
    """A stream or body that was read does not keep the protocol."""

    code = "wire_error"


class EndpointError(OffhookError):
    """The endpoint that a client of ours calls answered with an error.

    ``http_status`` is None when it never answered, or the error came inside a stream that had begun.
    ``retry_after`` is its ``Retry-After`` header as it came, or None.
    """

    code = "endpoint_error"

    def __init__(
        self, message: str, *, http_status: int | None = None, body: object = None, retry_after: str | None = None
    ) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.body = body
        self.retry_after = retry_after


class EndpointUnreachable(EndpointError):
    """No connection to the endpoint could be made, or it was lost."""

    code = "endpoint_unreachable"


class SetupError(OffhookError):
    """What the user configured cannot work; the message says what to change. The CLI prints it and exits with 2."""

    code = "setup_error"


class TurnOver(OffhookError):
    """An event was written to a reply that has already ended (cancelled, superseded or finished)."""

    code = "turn_over"
