"""GET /healthz."""


def test_health_needs_no_credential_at_either_address(app, anonymous):
    assert anonymous.get("/healthz").json == {"status": "ok"}
    answer = app.test_client().get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})
