"""Where webhooks may call: their URLs, and in a deployment only addresses that everybody can reach anyway."""

import socket

import pytest
from cases import each
from conftest import sql, store_delivery
from receivers import receiving

import app as service
from sigma import database
from sigma.resources import sending, webhook_addresses

WEBHOOK = {"id": "wh-out", "name": "Out", "events": ["entity.created"]}

ALLOWED = (
    "8.8.8.8",
    "1.1.1.1",
    "172.15.0.1",
    "172.32.0.1",
    "100.63.0.1",
    "100.128.0.1",
    "169.253.0.1",
    "192.167.0.1",
    "223.255.0.1",
)
ALLOWED_IPV6 = ("2606:4700:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8")
FORBIDDEN = {
    "a loopback address": ("127.0.0.1", "127.255.255.254", "127.1.2.3", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1"),
    "an unspecified address": ("0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0"),
    "a private address": (
        *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255"),
        *("100.64.0.1", "100.100.100.200", "fc00::1", "fd00:ec2::254", "fec0::1", "::ffff:10.0.0.1", "64:ff9b::192.168.0.1"),
    ),
    "a link-local address": ("169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%1", "::ffff:169.254.169.254"),
    "an internal address of a cloud": ("168.63.129.16", "64:ff9b::168.63.129.16"),
    "a multicast address": ("224.0.0.1", "239.255.255.255", "ff02::1"),
    "a reserved address": (
        *("192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1"),
        *("240.0.0.1", "255.255.255.255", "2001:db8::1", "3fff::1", "2001:10::1"),
        *(
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001:0:7f00:1::",
            "64:ff9b:1::7f00:1",
            "::127.0.0.1",
            "100::1",
            "4000::1",
            "5f00::1",
        ),
    ),
}

# Ways to write addresses of this machine and its network, and of hosts that mean them.
WAYS_IN = (
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "0x7F.0.0.0x1"),
    *("localhost", "LOCALHOST", "localhost.", "0.0.0.0", "0", "[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]"),
    *("[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[::127.0.0.1]"),
)


def judged(address):
    return webhook_addresses.forbidden_kind(address)


def test_addresses_that_everybody_can_reach_may_be_called():
    assert [address for address in ALLOWED + ALLOWED_IPV6 if judged(address)] == []


@each("kind", FORBIDDEN)
def test_others_may_not(kind):
    assert {address: judged(address) for address in FORBIDDEN[kind]} == dict.fromkeys(FORBIDDEN[kind], kind)


@each(
    ("url", "target"),
    [
        ("http://shop.example", (False, "shop.example", 80, "shop.example", "/")),
        ("HTTPS://Shop.Example/Hook?a=B", (True, "shop.example", 443, "shop.example", "/Hook?a=B")),
        ("https://shop.example:8443?x=1", (True, "shop.example", 8443, "shop.example:8443", "/?x=1")),
        ("http://[2606:4700::1111]:80/", (False, "2606:4700::1111", 80, "[2606:4700::1111]:80", "/")),
        ("http://under_score.example./%C3%A6", (False, "under_score.example", 80, "under_score.example", "/%C3%A6")),
        ("http://a:65535/@:;,'()*!$&+=~", (False, "a", 65535, "a:65535", "/@:;,'()*!$&+=~")),
    ],
)
def test_a_url_says_where_to_connect_and_what_to_ask_for(url, target):
    assert webhook_addresses.read_url(url) == target


@each(
    "url",
    [
        *(
            "",
            "shop.example",
            "//shop.example",
            "ftp://shop.example/",
            "file:///etc/passwd",
            "gopher://a/",
            "http:/a",
            "http:a",
        ),
        *(
            "http://",
            "http:///a",
            "http://user@a/",
            "http://user:password@a/",
            "http://a@b@c/",
            "http://a\\@b/",
            "http://a%40b/",
        ),
        *("http://a:0/", "http://a:65536/", "http://a:99999/", "http://a:-1/", "http://a:8o/", "http://a:/", "http://a:1:2/"),
        *("http://[fe80::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[::1", "http://[v1.a]/", "http://[1.2.3.4]/"),
        *(
            "http://a b/",
            " http://a/",
            "http://a/\n",
            "http://a/ b",
            "http://a\t/",
            "http://a/#b",
            "http://a/\r\nX: y",
            "http://\uff41/",
        ),
        *(
            "http://a..b/",
            "http://.a/",
            f"http://{'a' * 64}/",
            f"http://{'a.' * 127}b/",
            "http://a/æ",
            "http://a?b c",
            "http://a;b/",
        ),
    ],
)
def test_a_url_that_two_readers_could_read_differently_is_refused(admin, error, stored, url):
    before = stored()
    message = error(admin.post("/webhooks", {**WEBHOOK, "url": url}), 400)
    assert message.startswith("url: Expected ")
    assert "password" not in message
    assert stored() == before


@pytest.fixture
def here():
    """Yield the port of a socket that listens on all addresses of this machine, and what connects to it."""
    with receiving(host="::", family=socket.AF_INET6) as receiver:
        yield receiver


@each("host", WAYS_IN)
def test_in_a_deployment_no_way_leads_to_this_machine(deployment, stranger, error, stored, here, host):
    port, before = here.listener.getsockname()[1], stored()
    url = f"http://{host}:{port}/"
    message = error(stranger.post("/webhooks", {**WEBHOOK, "url": url}), 400)
    assert message.startswith("url: Expected ")
    assert stored() == before
    # Nor when it is in the database already, as after a restore, or when the name leads there only later.
    assert stranger.post("/webhooks", {**WEBHOOK, "url": "http://later.invalid/"}).status_code == 201
    sql(deployment, "UPDATE webhooks SET body = json_set(body, '$.url', ?)", url)
    store_delivery(deployment, "dlv-1", "wh-out", tenant="ws-other")
    with deployment.app_context():
        assert sending.send_waiting("ws-other", "wh-out", lambda: False) == 1
    assert here.connections == 0
    ((state, next_at, error),) = sql(
        deployment, "SELECT d.state, d.next_at, a.error FROM deliveries d JOIN delivery_attempts a ON a.delivery_id = d.id"
    )
    assert (state, next_at) == ("failed", None)  # at once: it would be no use to try again
    assert "and SIGMA_WEBHOOK_HOSTS does not name it" in error


@each("host", ["127.0.0.1", "localhost", "[::1]"])
def test_beside_the_demo_this_machine_may_be_called(admin, here, host):
    assert admin.post("/webhooks", {**WEBHOOK, "url": f"http://{host}:9/"}).status_code == 201


def answers_of_names(monkeypatch, *answers):
    """Let names have these addresses, one list after another, and return how often somebody has asked."""
    asked = []

    def look_up(host, port, **_):
        addresses = answers[min(len(asked), len(answers) - 1)]
        asked.append(host)
        return [(socket.AF_INET6 if ":" in address else socket.AF_INET, 1, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(webhook_addresses.socket, "getaddrinfo", look_up)
    return asked


def test_a_name_with_one_private_address_among_others_is_refused(deployment, stranger, error, monkeypatch):
    answers_of_names(monkeypatch, ["8.8.8.8", "10.0.0.1"])
    message = error(stranger.post("/webhooks", {**WEBHOOK, "url": "http://mixed.example/"}), 400)
    assert message == (
        "url: Expected a host that may be called, got 'http://mixed.example/': The host 'mixed.example' has a private address,"
        " and SIGMA_WEBHOOK_HOSTS does not name it"
    )


def test_a_name_is_judged_again_with_each_delivery_and_looked_up_once_for_it(deployment, stranger, here, monkeypatch):
    """A name that leads elsewhere on its second look-up (DNS rebinding) leads nowhere."""
    asked = answers_of_names(monkeypatch, ["8.8.8.8"], ["127.0.0.1"], ["8.8.8.8"])
    url = f"http://rebinding.example:{here.listener.getsockname()[1]}/"
    assert stranger.post("/webhooks", {**WEBHOOK, "url": url}).status_code == 201
    store_delivery(deployment, "dlv-1", "wh-out", tenant="ws-other")
    with deployment.app_context():
        assert sending.send_waiting("ws-other", "wh-out", lambda: False) == 1
    assert asked == ["rebinding.example"] * 2
    assert here.connections == 0


def test_a_put_is_judged_too(deployment, stranger, error, stored):
    assert stranger.post("/webhooks", {**WEBHOOK, "url": "http://later.invalid/"}).status_code == 201
    before = stored()
    error(stranger.put("/webhooks/wh-out", {**WEBHOOK, "url": "http://10.0.0.8/"}), 400)
    assert stored() == before


def test_a_webhook_whose_host_became_a_forbidden_one_can_be_paused(deployment, stranger):
    assert stranger.post("/webhooks", {**WEBHOOK, "url": "http://later.invalid/"}).status_code == 201
    sql(deployment, "UPDATE webhooks SET body = json_set(body, '$.url', 'http://10.0.0.8/') WHERE id = 'wh-out'")
    answer = stranger.put("/webhooks/wh-out", {**WEBHOOK, "url": "http://10.0.0.8/", "active": False})
    assert (answer.status_code, answer.json["active"]) == (200, False)


@each(
    ("named", "host", "status"),
    [
        ("127.0.0.1", "127.0.0.1", 201),
        ("localhost", "LocalHost.", 201),
        ("[::1]", "[::1]", 201),
        ("erp.internal, 10.0.0.8", "10.0.0.8", 201),
        ("127.0.0.1", "localhost", 400),
        ("127.0.0.1", "127.1", 400),
        ("erp.internal", "127.0.0.1", 400),
        ("host", "localhost", 400),
    ],
)
def test_a_setting_allows_hosts_by_the_name_in_the_url(deployment, stranger, named, host, status):
    again = service.create_app({"DATABASE": deployment.config["DATABASE"], "WEBHOOK_HOSTS": named})
    body = {**WEBHOOK, "url": f"http://{host}:9/"}
    assert again.test_client().post("/api/v1/webhooks", json=body, headers=stranger.headers).status_code == status
    database.close_db()


def test_a_name_without_an_address_can_be_saved_because_laptops_are_offline(deployment, stranger):
    assert stranger.post("/webhooks", {**WEBHOOK, "url": "https://nowhere.invalid/"}).status_code == 201


def test_saving_does_not_wait_long_for_a_name(deployment, stranger, monkeypatch):
    monkeypatch.setattr(webhook_addresses, "RESOLVE_TIMEOUT", 0.05)
    over = webhook_addresses.threading.Event()
    monkeypatch.setattr(webhook_addresses.socket, "getaddrinfo", lambda *_, **__: over.wait(5) and [])
    assert stranger.post("/webhooks", {**WEBHOOK, "url": "https://slow.example/"}).status_code == 201
    over.set()
