"""What Envoy does with every request on its way: whom to believe, asking the gate, compressing, writing the log."""

from __future__ import annotations

from typing import Any

from terakoya.config import Config

GATE_ERROR = 511
"""How the edge marks "the gate gave no answer" until `replies` makes a page of it; the gate itself never says 511."""

COMPRESSIBLE = [
    "text/html",
    "text/plain",
    "text/css",
    "text/csv",
    "text/xml",
    "text/javascript",
    "text/markdown",
    "application/javascript",
    "application/x-javascript",
    "application/json",
    "application/manifest+json",
    "application/schema+json",
    "application/x-ipynb+json",
    "application/geo+json",
    "application/xml",
    "application/xhtml+xml",
    "application/wasm",
    "image/svg+xml",
    "image/x-icon",
    "font/ttf",
    "font/otf",
    "application/vnd.ms-fontobject",
]
"""Event streams are not among them: a compressor would hold back what should arrive at once."""

FOR_THE_GATE = [
    *("accept", "accept-language", "authorization", "cookie", "origin", "upgrade"),
    *("sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"),
]
"""The request headers that the gate decides by; method, path and host are sent anyway."""

FROM_THE_GATE = ["x-envoy-original-dst-host", "authorization", "cookie", "x-terakoya-user"]
"""What the gate's answer replaces in a request that may pass."""


def typed(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    """An extension of Envoy in the form that its files want."""
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/envoy.extensions.{kind}", **fields}}


def cidr(network: str) -> dict[str, Any]:
    """`10.0.0.0/8` in Envoy's form; an address alone is a network of one."""
    address, _, length = network.partition("/")
    usual = 128 if ":" in address else 32
    return {"address_prefix": address, "prefix_len": int(length) if length else usual}


def client_address(config: Config, *, trusted: bool) -> dict[str, Any]:
    """The client is who connected; behind a trusted proxy, the last address in the list that is no trusted proxy."""
    if not trusted:
        return {"use_remote_address": True, "skip_xff_append": True}
    ranges = [cidr(network) for network in config.edge.trusted_proxies]
    kind = "http.original_ip_detection.xff.v3.XffConfig"
    detection = typed("envoy.http.original_ip_detection.xff", kind, xff_trusted_cidrs={"cidrs": ranges})
    return {"use_remote_address": False, "original_ip_detection_extensions": [detection]}


def forget_client_orders(*, trusted: bool) -> dict[str, Any]:
    """Removes what only terakoya may say, before routing and before anything else reads it."""
    prefixes = ["x-envoy-", "x-terakoya-"]
    exact = ["forwarded", "x-real-ip", "x-scheme", "x-original-url", "x-rewrite-url", "x-request-id"]
    if trusted:
        exact += [f"x-forwarded-{what}" for what in ("host", "port", "prefix", "server", "scheme", "client-cert")]
    else:
        prefixes.append("x-forwarded-")
    removals: list[dict[str, Any]] = [{"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in prefixes]
    removals += [{"remove": name} for name in exact]
    kind = "http.early_header_mutation.header_mutation.v3.HeaderMutation"
    return typed("envoy.http.early_header_mutation.header_mutation", kind, mutations=removals)


def chain() -> list[dict[str, Any]]:
    router = typed(
        "envoy.filters.http.router", "filters.http.router.v3.Router", suppress_envoy_headers=True, dynamic_stats=False
    )
    return [_ask_the_gate(), _compressor("gzip"), _compressor("brotli"), router]


def _ask_the_gate() -> dict[str, Any]:
    """Every request to a server is answered for by the gate; without its answer nothing passes."""
    back_off = {"base_interval": "0.05s", "max_interval": "0.5s"}
    retry = {"retry_on": "connect-failure,refused-stream,reset", "num_retries": 20, "retry_back_off": back_off}
    refused = {"patterns": [{"exact": name} for name in ("content-type", "cache-control", "vary", "location")]}
    answered = {"patterns": [{"exact": name} for name in FROM_THE_GATE]}
    service = {
        "server_uri": {"uri": "http://gate", "cluster": "gate", "timeout": "10s"},
        "authorization_response": {"allowed_upstream_headers": answered, "allowed_client_headers": refused},
        "retry_policy": retry,
    }
    return typed(
        "envoy.filters.http.ext_authz",
        "filters.http.ext_authz.v3.ExtAuthz",
        http_service=service,
        allowed_headers={"patterns": [{"exact": name} for name in FOR_THE_GATE]},
        failure_mode_allow=False,
        status_on_error={"code": GATE_ERROR},
        charge_cluster_response_stats=False,
    )


def _compressor(method: str) -> dict[str, Any]:
    # Quality is chosen so that a two-core machine compresses faster than a usual network sends.
    settings: dict[str, Any] = (
        {"compression_level": "COMPRESSION_LEVEL_5", "window_bits": 15, "memory_level": 8, "chunk_size": 16384}
        if method == "gzip"
        else {"quality": 4, "window_bits": 18, "chunk_size": 16384}
    )
    kind = f"compression.{method}.compressor.v3.{method.capitalize()}"
    library = typed(f"envoy.compression.{method}.compressor", kind, **settings)
    common = {"min_content_length": 860, "content_type": COMPRESSIBLE}
    return typed(
        f"envoy.filters.http.compressor.{method}",
        "filters.http.compressor.v3.Compressor",
        response_direction_config={"common_config": common, "weaken_etag_on_compress": True},
        compressor_library=library,
        choose_first=method == "brotli",
    )


def access_log(config: Config) -> dict[str, Any]:
    """One line of JSON for each request, never with a query string: tokens travel there."""
    fields = {
        "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
        "address": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "user": "%REQ(X-TERAKOYA-USER)%",
        "host": "%REQ(:AUTHORITY):255%",
        "method": "%REQ(:METHOD):32%",
        "path": "%PATH(NQ:ORIG_OR_PATH:1024)%",
        "protocol": "%PROTOCOL%",
        "status": "%RESPONSE_CODE%",
        "why": "%RESPONSE_CODE_DETAILS%",
        "received": "%BYTES_RECEIVED%",
        "sent": "%BYTES_SENT%",
        "milliseconds": "%DURATION%",
        "upstream": "%UPSTREAM_HOST%",
        "agent": "%REQ(USER-AGENT):255%",
    }
    return typed(
        "envoy.access_loggers.file",
        "access_loggers.file.v3.FileAccessLog",
        path=str(config.storage.logs / "edge.log"),
        log_format={"json_format": fields},
    )
