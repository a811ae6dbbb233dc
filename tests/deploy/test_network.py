"""The network policies: each process reaches what its work needs and nothing else, and is reached by whom it serves."""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import pytest

from celeryconfig import task_routes
from tests.deploy.test_kubernetes import CONFIG, DOCUMENTS, PODS, SECRETS, container, mounted

POLICIES: list[dict[str, Any]] = [document["spec"] for _, document in DOCUMENTS if document["kind"] == "NetworkPolicy"]
LABELS = {
    document["metadata"]["name"].removeprefix("refunds-"): document["spec"]["template"]["metadata"]["labels"]
    for _, document in PODS
}
PARTS = {document["metadata"]["name"].removeprefix("refunds-"): document for _, document in PODS}
PUBLIC = ("104.18.20.1", "2606:4700::6812:1401")
METADATA = ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "192.0.0.192", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1")
PRIVATE = ("10.0.0.5", "172.31.0.5", "192.168.1.5", "127.0.0.1", "fe80::1", "fd00::5", "::1", "::ffff:10.0.0.5")
"""Addresses at which clouds tell machines their secrets, also as IPv6 wraps them; and those of everything else inside."""
Peer = str | dict[str, str]
"""An address, or the labels of a pod; `namespace` among them where it is another one than ours."""


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """What Kubernetes makes of a selector of labels; of expressions only `In` is used here."""
    asked: dict[str, list[str]] = {key: [value] for key, value in selector.get("matchLabels", {}).items()}
    for each in selector.get("matchExpressions", []):
        assert each["operator"] == "In"
        asked[each["key"]] = each["values"]
    return all(labels.get(key) in values for key, values in asked.items())


def is_meant(rule: dict[str, Any], peer: Peer) -> bool:
    """Whether a rule's peer is this one."""
    if isinstance(peer, str):
        block = rule.get("ipBlock", {"cidr": "240.0.0.0/32"})
        within = [ip_address(peer) in ip_network(each) for each in (block["cidr"], *block.get("except", []))]
        return within[0] and not any(within[1:])
    if "ipBlock" in rule:
        return False
    namespace = {"kubernetes.io/metadata.name": peer["namespace"]} if "namespace" in peer else {}
    there = selects(rule["namespaceSelector"], namespace) if "namespaceSelector" in rule else not namespace
    return there and selects(rule.get("podSelector", {}), {k: v for k, v in peer.items() if k != "namespace"})


def allowed(part: str, way: str, peer: Peer, port: int | str, protocol: str = "TCP") -> bool:
    """Whether the policies let this pod speak to the peer (`egress`), or be spoken to by it (`ingress`)."""
    of_pod = [spec for spec in POLICIES if selects(spec["podSelector"], LABELS[part])]
    assert any(way.capitalize() in spec["policyTypes"] for spec in of_pod), f"nothing holds the {way} of {part}"
    return any(
        {"protocol": protocol, "port": port} in rule["ports"] and any(is_meant(each, peer) for each in rule[_side(way)])
        for spec in of_pod
        for rule in spec.get(way, [])
    )


def _side(way: str) -> str:
    return {"egress": "to", "ingress": "from"}[way]


def server(url: str) -> tuple[dict[str, str], int]:
    """The pod behind the service that a URL of the manifests names, and its port."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return {"app": parts.hostname}, parts.port


POSTGRES, REDIS = (server(SECRETS["refunds"]["stringData"][name]) for name in ("database-url", "redis-url"))
PIPELINE = server(CONFIG["data"]["REFUNDS_PIPELINE_URL"])
REACHED: dict[str, list[tuple[Peer, int]]] = {
    "postgres": [POSTGRES],
    "redis": [REDIS],
    "pipeline": [PIPELINE],
    "mail": [(address, port) for address in PUBLIC for port in (465, 587)],
    "creem": [(address, 443) for address in PUBLIC],
}


def takes(part: str, task: str) -> bool:
    """Whether this pod's worker takes tasks of this name."""
    words = container(PARTS[part])["command"]
    return "-Q" in words and task_routes[task]["queue"] in words[words.index("-Q") + 1].split(",")


def needs(part: str) -> Iterator[str]:
    """Whom the work of this process is done with. What the schedule, Flower and the migration connect to was looked at."""
    if part not in {"beat", "flower"}:
        yield "postgres"
    if part != "migrate":
        yield "redis"
    if takes(part, "refunds.rerun"):
        yield "pipeline"
    if takes(part, "refunds.notify"):
        yield "mail"
    if "creem-api-key" in mounted(PARTS[part]):
        yield "creem"


def test_rules_name_whom_they_are_for_in_the_words_that_are_understood_here() -> None:
    """A rule without peers or ports, or with none in its list, is one for all of them."""
    for spec in POLICIES:
        for way in ("egress", "ingress"):
            for rule in spec.get(way, []):
                assert rule.keys() == {_side(way), "ports"}
                assert rule[_side(way)]
                assert rule["ports"]
                assert all(port.keys() == {"protocol", "port"} for port in rule["ports"])
                assert all(peer and peer.keys() <= {"ipBlock", "namespaceSelector", "podSelector"} for peer in rule[_side(way)])


@pytest.mark.parametrize("part", PARTS)
def test_process_reaches_whom_its_work_needs_and_nobody_else(part: str) -> None:
    reached = {name for name, at in REACHED.items() if all(allowed(part, "egress", *each) for each in at)}
    touched = {name for name, at in REACHED.items() if any(allowed(part, "egress", *each) for each in at)}
    assert reached == touched == set(needs(part))
    assert all(
        allowed(part, "egress", {"namespace": "kube-system", "k8s-app": "kube-dns"}, 53, protocol) for protocol in ("UDP", "TCP")
    )


@pytest.mark.parametrize("part", PARTS)
def test_no_process_reaches_what_is_inside_or_tells_a_machine_its_secrets(part: str) -> None:
    for port in (22, 53, 80, 443, 465, 587, 2375, 5432, 6379, 6443, 10250):
        assert not any(allowed(part, "egress", address, port) for address in (*METADATA, *PRIVATE)), port
        assert not allowed(part, "egress", {"app": "somebody"}, port)
        # their names in a namespace that is not ours are somebody else's servers
        assert not any(allowed(part, "egress", peer | {"namespace": "foreign"}, port) for peer, _ in (POSTGRES, REDIS, PIPELINE))
        assert not any(allowed(part, "egress", address, port) for address in PUBLIC if port not in {443, 465, 587})
    for other, labels in LABELS.items():
        assert not allowed(part, "egress", labels, "http"), other


@pytest.mark.parametrize("part", PARTS)
def test_process_is_reached_by_ingress_and_prometheus_where_it_serves_them_and_by_nobody_else(part: str) -> None:
    expected = {"web": {"ingress-nginx", "monitoring"}, "flower": {"monitoring"}}.get(part, set())
    asked = {"ingress-nginx", "monitoring", "kube-system", "foreign"}
    assert {name for name in asked if allowed(part, "ingress", {"namespace": name, "app": "x"}, "http")} == expected
    for peer in ({"app": "image-pipeline"}, *LABELS.values(), *PUBLIC, *PRIVATE):
        assert not allowed(part, "ingress", peer, "http")
    named = [port["name"] for port in container(PARTS[part]).get("ports", [])]
    assert named == (["http"] if expected else [])
