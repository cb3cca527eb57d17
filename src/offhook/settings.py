"""Every setting, its type, default and description, as data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Port = Annotated[int, Meta(ge=0, le=65535)]


class AgentSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of ``[agents]``: who answers for a ModelId. The fields are those of ``Settings``.

    ``upstreams`` names those of ``[[upstream]]`` that may be asked; None: all of them.
    """

    agent: str | None = None
    upstream: str | None = None
    upstream_model: str | None = None
    upstream_key: str | None = None
    upstreams: list[str] | None = None
    system_prompt: str | None = None
    system_prompt_file: str | None = None
    tools: list[str] | None = None


class WebhookSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of ``[webhooks]``: what shows that a webhook came from its platform, and whose calls it tells of.

    ``token`` is for alibaba_ims, ``secret`` for vapi, ``api_key`` for retell. ``tenant`` is the name of the keys that
    the platform's LLM requests come with; "" for the keys of the settings, None for whosever the call is.
    """

    token: str | None = None
    secret: str | None = None
    api_key: str | None = None
    tenant: str | None = None


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of ``offhook serve``; the description of each is its help text."""

    agent: Annotated[
        str | None, Meta(description="Who answers: 'module:function', 'file.py:function' or 'testline'.")
    ] = None
    host: Annotated[str, Meta(description="Address to listen on; 0.0.0.0 for all, :: for all of IPv6 too.")] = (
        "127.0.0.1"
    )
    port: Annotated[Port, Meta(description="Port to listen on; 0 takes a free one.")] = 8083
    uds: Annotated[str | None, Meta(description="Path of a Unix socket to listen on, instead of host and port.")] = None
    tls_cert: Annotated[
        str | None,
        Meta(description="File with the certificate chain (PEM); with tls_key it makes the address an https one."),
    ] = None
    tls_key: Annotated[str | None, Meta(description="File with the certificate's key (PEM), without a passphrase.")] = (
        None
    )
    forwarded_allow_ips: Annotated[
        list[str],
        Meta(
            description="Address or network of a proxy whose X-Forwarded-For and X-Forwarded-Proto are believed; "
            "may be given several times. '*': of everybody."
        ),
    ] = []
    api_key: Annotated[list[str], Meta(description="A key that callers must send; may be given several times.")] = []
    no_auth: Annotated[bool, Meta(description="Let everybody in; only on a loopback address.")] = False
    model_id: Annotated[
        list[str], Meta(description="A ModelId to answer for; may be given several times. None: any name.")
    ] = []
    platform: Annotated[str, Meta(description="The dialect of every request; 'auto' reads it from the request.")] = (
        "auto"
    )
    upstream: Annotated[
        str | None, Meta(description="Base URL of an OpenAI-specification model service; makes it the agent.")
    ] = None
    upstream_model: Annotated[
        str | None, Meta(description="Model name for the model service; by default the request's own.")
    ] = None
    upstream_key: Annotated[str | None, Meta(description="Key of the model service.")] = None
    system_prompt: Annotated[
        str | None,
        Meta(description="System prompt for the model; {{caller}} and {{user_data.name}} are filled in."),
    ] = None
    system_prompt_file: Annotated[str | None, Meta(description="File that holds the system prompt.")] = None
    upstreams: Annotated[
        list[str],
        Meta(description="A name of [[upstream]] that may be asked; may be given several times. None: all."),
    ] = []
    tools: Annotated[
        list[str],
        Meta(
            description="Tools for the model: 'module:function', 'file.py:function', or a module or file for every "
            "function in it marked with @tool; 'hangup' and 'transfer' are the platform's. May be given several times."
        ),
    ] = []
    tools_timeout: Annotated[float, Meta(gt=0, description="Seconds that a tool may take, where it says nothing.")] = (
        10.0
    )
    tools_rounds: Annotated[
        int, Meta(ge=1, le=100, description="How often in one turn the model may ask for tools before it has failed.")
    ] = 5
    tools_hold: Annotated[
        float,
        Meta(
            ge=0,
            description="Seconds that a tool with a side effect waits on a platform that asks speculatively, so that a "
            "newer request can stop it.",
        ),
    ] = 0.3
    turn_deadline: Annotated[
        float,
        Meta(ge=0, description="Seconds to the first word of a turn; then it ends with an apology. 0: no limit."),
    ] = 8.0
    turn_silence: Annotated[
        float,
        Meta(ge=0, description="Seconds without a word in the middle of a turn; then it ends as failed. 0: no limit."),
    ] = 10.0
    language: Annotated[
        str, Meta(description="Language of the phrases below where the caller's is not to be told, such as 'en'.")
    ] = "auto"
    filler: Annotated[
        Literal["auto", "on", "off"],
        Meta(description="Whether a phrase fills a long silence; 'auto': where the platform has none of its own."),
    ] = "auto"
    filler_after: Annotated[float, Meta(gt=0, description="Seconds of silence after which the filler is said.")] = 1.5
    filler_phrases: Annotated[
        dict[str, list[str]], Meta(description="Fillers by language: [filler.phrases] in offhook.toml.")
    ] = {}
    apology_phrases: Annotated[
        dict[str, list[str]], Meta(description="Apologies by language: [apology.phrases] in offhook.toml.")
    ] = {}
    apology_then: Annotated[
        str,
        Meta(description="What follows an apology on a telephone: 'nothing', 'hangup' or 'transfer:NUMBER'."),
    ] = "nothing"
    closing_phrases: Annotated[
        dict[str, list[str]],
        Meta(
            description="What is said when a reply breaks off after its first word, by language: [closing.phrases] in "
            "offhook.toml. None: the reply ends with an error."
        ),
    ] = {}
    speech: Annotated[
        str,
        Meta(
            description="What is done to the text before it is spoken: 'default', 'none', or names such as "
            "'think,markdown' or 'default,numbers,-emoji'."
        ),
    ] = "default"
    speech_links: Annotated[
        Literal["read", "drop", "keep"],
        Meta(description="How URLs and e-mail addresses are spoken: as people read them, not at all, or as written."),
    ] = "read"
    failover_first_useful: Annotated[
        float,
        Meta(gt=0, description="Seconds to the first useful word of a model service; then the next one is asked."),
    ] = 4.0
    failover_hedge_after: Annotated[
        float,
        Meta(ge=0, description="Seconds after which a second model service is asked beside the first; 0: never."),
    ] = 0.0
    failover_hedge_share: Annotated[
        float, Meta(ge=0, le=1, description="Largest share of model requests that may have such a second one.")
    ] = 0.05
    failover_stall_after: Annotated[
        float, Meta(gt=0, description="Seconds without a word in the middle of an answer after which it is dead.")
    ] = 5.0
    failover_attempts: Annotated[
        int, Meta(ge=1, le=20, description="How many attempts one model request may have, hedges included.")
    ] = 3
    failover_retry_share: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Attempts at a service that was asked already, or is left alone, allowed per model request in "
            "the long run; going to another healthy service is free.",
        ),
    ] = 0.2
    failover_open_for: Annotated[
        float, Meta(gt=0, description="Seconds that a model service which keeps failing is left alone.")
    ] = 10.0
    data_dir: Annotated[str, Meta(description="Where offhook keeps its key and its records.")] = ""
    store: Annotated[
        str,
        Meta(
            description="Where calls are recorded: 'sqlite' (in data_dir), 'sqlite:///file', 'memory' (until the "
            "server ends) or 'none'."
        ),
    ] = "sqlite"
    store_sync: Annotated[
        Literal["normal", "full"],
        Meta(description="What a record outlives: 'normal' the death of the process, 'full' a power loss too."),
    ] = "normal"
    store_commit_wait: Annotated[
        float,
        Meta(ge=0, description="Seconds that the end of a reply waits for its record; then it goes to the spool."),
    ] = 0.05
    store_spool: Annotated[
        int,
        Meta(ge=0, le=2**40, description="Bytes of the file where records wait while the store is away; 0 for none."),
    ] = 16 * 1024 * 1024
    store_keep_days: Annotated[
        float, Meta(ge=0, description="Days after its last turn that a call is deleted; 0 keeps calls for ever.")
    ] = 30.0
    memory: Annotated[
        Literal["auto", "call", "window"],
        Meta(
            description="What an agent is given as history: the whole 'call' as recorded, or the platform's "
            "'window'; 'auto' takes what suits the dialect."
        ),
    ] = "auto"
    memory_tokens: Annotated[
        int,
        Meta(
            ge=0,
            description="Tokens (estimated) past which the older half of a remembered call is left out; 0: no bound.",
        ),
    ] = 16_000
    replay_for: Annotated[
        float, Meta(ge=0, description="Seconds that a reply which ended well answers a retry of its turn.")
    ] = 3600.0
    call_idle: Annotated[float, Meta(gt=0, description="Seconds without a turn after which a call has ended.")] = 900.0
    threads: Annotated[
        int, Meta(ge=1, le=4096, description="How many plain (not async) agent functions run at once.")
    ] = 32
    max_body: Annotated[int, Meta(ge=1, description="Most bytes that the body of a request may have.")] = (
        8 * 1024 * 1024
    )
    max_head: Annotated[
        int, Meta(ge=1024, description="Most bytes that the request line and headers of a request may have together.")
    ] = 64 * 1024
    head_timeout: Annotated[
        float, Meta(gt=0, description="Seconds in which the request line and headers must arrive.")
    ] = 10.0
    body_timeout: Annotated[float, Meta(gt=0, description="Seconds in which the body must arrive.")] = 60.0
    limits_turns: Annotated[
        int, Meta(ge=0, description="Most turns that are answered at once; new calls then wait. 0: no limit.")
    ] = 1000
    limits_queue: Annotated[int, Meta(ge=0, description="How many new calls may wait for their first turn.")] = 100
    limits_wait: Annotated[float, Meta(ge=0, description="Seconds that a new call waits; then it is refused.")] = 2.0
    limits_share: Annotated[
        float,
        Meta(
            gt=0, le=1, description="Largest share of limits_turns that one key may take where there are several keys."
        ),
    ] = 0.5
    limits_slow_reader: Annotated[
        float, Meta(gt=0, description="Seconds after which a client that reads nothing is cut off.")
    ] = 30.0
    stop_timeout: Annotated[
        float, Meta(ge=0, description="Seconds that live replies may go on when the server is told to stop.")
    ] = 5.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="From which level up to log.")
    ] = "info"
    log_format: Annotated[
        Literal["text", "json"], Meta(description="How log lines look: for people, or a JSON object each.")
    ] = "text"
    log_content: Annotated[
        bool, Meta(description="Log messages and tracebacks of failed agents, which may hold what a caller said.")
    ] = False
    metrics: Annotated[
        Literal["off", "key", "open"],
        Meta(description="Whether /metrics is served (Prometheus): to callers with a key, or to everybody."),
    ] = "key"
    traces: Annotated[
        bool,
        Meta(description="Send OpenTelemetry traces to OTEL_EXPORTER_OTLP_ENDPOINT; needs the extra offhook[otel]."),
    ] = False
    show: Annotated[bool, Meta(description="Print what the platform sends and what goes back (keys masked).")] = False
    capture: Annotated[str | None, Meta(description="Directory that keeps every request and reply as a file.")] = None
    agents: Annotated[
        dict[str, str | AgentSpec],
        Meta(description="Who answers for which ModelId: [agents] in offhook.toml, an agent's name or a table each."),
    ] = {}
    upstream_table: Annotated[
        list[dict[str, Any]], Meta(description="Model services as data: [[upstream]] in offhook.toml.")
    ] = []
    dialect: Annotated[
        dict[str, dict[str, Any]], Meta(description="Settings of one dialect each: [dialect.NAME] in offhook.toml.")
    ] = {}
    webhooks: Annotated[
        dict[str, WebhookSpec],
        Meta(description="Platforms whose status webhooks are taken: [webhooks.NAME] in offhook.toml."),
    ] = {}
