"""Which address goes where: `/hub/` to the hub, `/user/` past the gate to a server."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from terakoya.config import Config

HUB_RETRIES = "connect-failure,refused-stream,reset-before-request"
"""Safe for any method: the hub has not read the request."""


def table(config: Config) -> dict[str, Any]:
    hosts = [_hub_host()]
    if config.site.user_domain:
        hosts.append(_user_hosts(config))
    return {
        "name": "edge",
        "ignore_port_in_host_matching": True,
        "virtual_hosts": hosts,
        # Each request tells the next one who really asked; lists that a client began are not passed on.
        "request_headers_to_add": [
            _header("x-forwarded-for", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
            _header("x-forwarded-host", "%REQ(:AUTHORITY)%"),
        ],
        "request_headers_to_remove": ["x-envoy-external-address"],
        "response_headers_to_add": _security(config),
        "response_headers_to_remove": ["x-envoy-upstream-service-time"],
    }


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _security(config: Config) -> list[dict[str, Any]]:
    """HTTPS for good, but only with a certificate that browsers know: with an own one it would lock people out."""
    if not config.secure or (config.tls and not config.edge.certificate):
        return []
    header = {"key": "strict-transport-security", "value": "max-age=31536000"}
    return [{"header": header, "append_action": "ADD_IF_ABSENT"}]


def _hub_host() -> dict[str, Any]:
    return {
        "name": "hub",
        "domains": ["*"],
        "routes": [
            _redirect({"path": "/"}, path_redirect="/hub/"),
            _redirect({"path": "/hub"}, path_redirect="/hub/"),
            *_to_servers("/user/"),
            *_to_hub({"prefix": "/"}),
        ],
    }


def _user_hosts(config: Config) -> dict[str, Any]:
    """A user's own origin: their server; of the hub only the door and the shared files."""
    hub = urlsplit(config.public_url)
    home: dict[str, Any] = {"host_redirect": hub.hostname, "scheme_redirect": hub.scheme}
    home["port_redirect"] = hub.port or (443 if hub.scheme == "https" else 80)
    return {
        "name": "users",
        "domains": [config.site.user_domain.lower()],
        "routes": [
            *_to_hub({"path": "/hub/enter"}),
            *_to_hub({"prefix": "/hub/lab-static/"}),
            *_to_hub({"prefix": "/hub/static/"}),
            _redirect({"path": "/hub"}, **home, path_redirect="/hub/"),
            _redirect({"prefix": "/hub/"}, **home),
            *_to_servers("/"),
        ],
    }


def _redirect(match: dict[str, Any], **target: Any) -> dict[str, Any]:
    return {"match": match, "redirect": {"response_code": "FOUND", **target}, **_without_gate()}


def _without_gate() -> dict[str, Any]:
    kind = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
    return {"typed_per_filter_config": {"envoy.filters.http.ext_authz": {"@type": kind, "disabled": True}}}


def _to_hub(match: dict[str, Any]) -> list[dict[str, Any]]:
    """A hub that restarts is waited for; what only reads is asked again even if the hub died over it."""
    reads = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD|OPTIONS"}}}
    return [
        {"match": {**match, "headers": [reads]}, "route": _hub_route(f"{HUB_RETRIES},reset"), **_without_gate()},
        {"match": match, "route": _hub_route(HUB_RETRIES), **_without_gate()},
    ]


def _hub_route(retry_on: str) -> dict[str, Any]:
    back_off = {"base_interval": "0.1s", "max_interval": "0.6s"}
    retries = {"retry_on": retry_on, "num_retries": 20, "retry_back_off": back_off}
    return {"cluster": "hub", "timeout": "0s", "idle_timeout": "0s", "retry_policy": retries}


def _to_servers(prefix: str) -> list[dict[str, Any]]:
    retries = {
        "retry_on": HUB_RETRIES,
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
    }
    route = {"cluster": "servers", "timeout": "0s", "idle_timeout": "0s", "retry_policy": retries}
    return [{"match": {"prefix": prefix}, "route": route}]
