"""Where Envoy may send to: the hub, the gate, and whatever server the gate names."""

from __future__ import annotations

from typing import Any

from terakoya.config import Config

MANY = 1_000_000
"""Envoy's own limits of 1024 connections and 3 retries would be reached by one large class."""


def all_of(config: Config) -> list[dict[str, Any]]:
    return [
        # The hub closes idle connections after five seconds: be first, so that no request meets a closing one.
        _socket("hub", str(config.socket("hub")), idle="3s"),
        _socket("gate", str(config.socket("gate")), idle="3600s"),
        _servers(),
    ]


def _limits() -> dict[str, Any]:
    names = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return {"thresholds": [dict.fromkeys(names, MANY)]}


def _protocol(idle: str) -> dict[str, Any]:
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        options: {
            "@type": f"type.googleapis.com/{options}",
            "common_http_protocol_options": {"idle_timeout": idle},
            "explicit_http_config": {"http_protocol_options": {}},
        }
    }


def _socket(name: str, path: str, *, idle: str) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"pipe": {"path": path}}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "circuit_breakers": _limits(),
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": _protocol(idle),
    }


def _servers() -> dict[str, Any]:
    """Dials the address in a header that only the gate's answer can set."""
    return {
        "name": "servers",
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "original_dst_lb_config": {"use_http_header": True},
        "connect_timeout": "5s",
        "cleanup_interval": "60s",
        "circuit_breakers": _limits(),
        "per_connection_buffer_limit_bytes": 262144,
        "upstream_connection_options": {
            "tcp_keepalive": {"keepalive_time": 120, "keepalive_interval": 30, "keepalive_probes": 4}
        },
        "typed_extension_protocol_options": _protocol("60s"),
    }
