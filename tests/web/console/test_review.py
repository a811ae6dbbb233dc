"""The review queue in pages: nothing is done that was not shown, nobody agrees with themselves, money asks for the password."""

import pytest
from sqlalchemy import select, update

from tests.requests.world import PeopleWorld, text_of
from tests.web.console.reading import case_id, page
from tests.web.console.site import PASSWORD, Browser, Site, hidden_fields, words_of
from worker.errors import Refused
from worker.store.tables import approvals, leases, proposals, purchases


@pytest.fixture
def site(world: PeopleWorld) -> Site:
    return Site(world)


@pytest.fixture
def ana(site: Site) -> Browser:
    return site.an_operator("ana")


@pytest.fixture
def ben(site: Site) -> Browser:
    return site.an_operator("ben")


def taken(browser: Browser, name: str) -> str:
    """The path of a case that the browser's operator has just taken."""
    path = f"/review/{case_id(browser.site.world, name)}"  # type: ignore[arg-type]
    assert browser.send(path, f"{path}/take").status_code == 303
    return path


def test_queue_is_in_the_order_received_and_says_who_has_what(world: PeopleWorld, ana: Browser, ben: Browser) -> None:
    ids = [item["case_id"] for item in world.reviewer.queue(limit=10, after=None)[0]]
    text = page(ana, "/review")
    assert len(ids) == 3
    assert sorted(ids, key=text.index) == ids
    taken(ana, "job_odd")
    assert "taken ana" in words_of(page(ben, "/review"))
    assert "Creem may refund" in words_of(text)
    assert 'href="/accounts/acc_4"' in text


def test_looking_takes_nothing_and_shows_what_each_choice_would_do(world: PeopleWorld, ana: Browser) -> None:
    text = words_of(page(ana, f"/review/{case_id(world, 'job_odd')}"))
    assert "5 credits come back to be spent" in text
    assert "nothing is given back, and the customer is told the reason" in text
    request = words_of(page(ana, f"/review/{case_id(world, 'ord_4')}"))
    for said in ("Not now:", "moves money", "<script>alert(1)</script>", "b_gnp.exe", "and so on"):
        assert said in request
    assert world.store.read(lambda tx: tx.all(select(leases.c.name).where(leases.c.name.like("review:%")))) == []
    page(ana, f"/review/{case_id(world, 'job_whole')}")
    page(ana, "/review/none", 404)


def test_case_taken_by_one_is_not_taken_by_another(world: PeopleWorld, ana: Browser, ben: Browser) -> None:
    path = taken(ana, "job_odd")
    assert "by you until" in words_of(page(ana, path))
    seen = page(ben, path)
    assert "ana has it in hand" in words_of(seen)
    csrf = hidden_fields(seen, "/sign-out")
    refused = ben.post(f"{path}/take", csrf)
    assert refused.status_code == 409
    assert "is with ana until" in refused.text
    assert ana.send(path, f"{path}/give-back").headers["location"] == "/review?note=given-back"
    assert ben.post(f"{path}/take", csrf).status_code == 303


def test_address_that_is_handed_on_tells_nobody_else_that_the_case_is_theirs(ana: Browser, ben: Browser) -> None:
    path = taken(ana, "job_odd")
    assert "The case is yours" in page(ana, f"{path}?note=taken")
    assert ben.get(f"{path}?note=taken").headers["location"] == path
    assert ana.send(path, f"{path}/decide", choice="credits", reason="our fault").status_code == 303
    assert ana.get(f"{path}?note=taken").headers["location"] == path, "and whoever goes back is told no more that it is"


def test_credits_are_given_back_by_whoever_has_the_case(world: PeopleWorld, ana: Browser) -> None:
    path, before = taken(ana, "job_odd"), world.credits("acc_2")
    answer = ana.send(path, f"{path}/decide", choice="credits", reason="our fault")
    assert answer.headers["location"] == f"/cases/{case_id(world, 'job_odd')}?note=decided"
    assert world.credits("acc_2") == before + 5
    assert "by ana" in words_of(page(ana, path)) or world.state("job_odd") == "refunded"
    again = ana.post(f"{path}/decide", hidden_fields(ana.get("/").text, "/sign-out") | {"choice": "credits", "reason": "again"})
    odd = case_id(world, "job_odd")
    assert (again.status_code, f"{odd} does not wait for a person: it is refunded" in words_of(again.text)) == (409, True)
    assert f'href="/cases/{odd}"' in again.text
    assert world.credits("acc_2") == before + 5


def test_form_that_is_sent_twice_leads_where_it_led(world: PeopleWorld, ana: Browser, ben: Browser) -> None:
    """A click too many told whoever had decided that nothing was done."""
    world.bought_once("ord_8", "acc_8", amount=20_000)
    world.mail("Please refund ord_8.", sender="acc_8@example.org", message_id="<8@example.org>")
    odd, dear = (f"/cases/{case_id(world, name)}?note=decided" for name in ("job_odd", "ord_8"))
    review = f"/review/{case_id(world, 'ord_8')}"
    with_password = {"choice": "money", "reason": "unused", "password": PASSWORD}
    for browser, name, words, leads in (
        (ana, "job_odd", {"choice": "credits", "reason": "our fault"}, odd),
        (ana, "ord_8", with_password, f"{review}?note=proposed"),
        (ben, "ord_8", with_password | {"reason": "so it is"}, dear),
    ):
        path = taken(browser, name) if browser is ana else review
        form = hidden_fields(page(browser, path), f"{path}/decide") | words
        for _ in range(2):
            assert browser.post(f"{path}/decide", form).headers["location"] == leads
    assert world.state("ord_8") == "refunding"


def test_form_that_is_not_what_was_decided_is_told_so(world: PeopleWorld, ana: Browser, ben: Browser) -> None:
    path = taken(ana, "job_odd")
    form = hidden_fields(page(ana, path), f"{path}/decide") | {"choice": "credits", "reason": "our fault"}
    assert ana.post(f"{path}/decide", form).status_code == 303
    for other in ({"choice": "decline"}, {"reason": "no fault"}):
        assert ana.post(f"{path}/decide", form | other).status_code == 409
    assert ben.post(f"{path}/decide", form | hidden_fields(ben.get("/").text, "/sign-out")).status_code == 409


@pytest.mark.parametrize("fields", [{}, {"choice": "nonsense"}, {"choice": "money"}])
def test_choice_that_is_not_offered_is_refused(world: PeopleWorld, ana: Browser, fields: dict[str, str]) -> None:
    path = taken(ana, "job_odd")
    assert ana.send(path, f"{path}/decide", reason="our fault", **fields).status_code == 400
    assert world.state("job_odd") == "review"


def test_decision_without_a_reason_is_refused(world: PeopleWorld, ana: Browser) -> None:
    path = taken(ana, "job_odd")
    assert ana.send(path, f"{path}/decide", choice="credits", reason=" ").status_code == 400
    assert world.state("job_odd") == "review"


def test_choice_that_does_something_else_by_now_is_shown_again(world: PeopleWorld, ana: Browser) -> None:
    path = taken(ana, "ord_3")
    form = hidden_fields(page(ana, path), f"{path}/decide") | {"choice": "won", "reason": "the bank says so"}
    spent = {"frozen": purchases.c.frozen - 1, "void": purchases.c.void + 1}
    with world.store.engine.begin() as connection:
        connection.execute(update(purchases).where(purchases.c.purchase_id == "ord_3").values(spent))
    answer = ana.post(f"{path}/decide", form)
    assert answer.status_code == 409
    assert "Look again" in answer.text
    assert world.state("ord_3") == "review"


def test_order_that_a_mail_means_is_chosen_from_those_of_its_account(world: PeopleWorld, ana: Browser) -> None:
    world.bought_once("ord_5", "acc_5")
    known = {"sender": "acc_5@example.org", "message_id": "<5@example.org>"}
    case = world.mail("I want my money back.", **known).case_id
    assert "The order it means" not in page(ana, f"/review/{case}"), "only to who has it in hand"
    path = taken(ana, case)
    assert "ord_5 · 9.00 USD" in words_of(page(ana, path))
    assert ana.send(path, f"{path}/name", order="ord_5", reason="").status_code == 400
    for order in ("", "ord_4"):
        assert ana.send(path, f"{path}/name", order=order, reason="the only one").status_code == 400
    assert world.state(case) == "waiting"
    assert ana.send(path, f"{path}/name", order="ord_5", reason="the only one").headers["location"] == f"{path}?note=named"
    assert (world.state(case), "The order it means" in page(ana, path)) == ("review", False)
    assert "9.00 USD goes back" in words_of(page(ana, path))


def test_pages_show_the_newest_mails_and_say_what_was_left_out_of_them(world: PeopleWorld, ana: Browser) -> None:
    request = case_id(world, "ord_4")
    for number in range(7):
        own = {"sender": "acc_4@example.org", "message_id": f"<more-{number}@example.org>"}
        world.clock.pass_(seconds=1)
        world.mail(
            f"And this is word {number} about ord_4.",
            files={f"clip-{number}.mov": b"\0" * (11 << 20)} if number > 5 else {},
            **own,
        )
    for path, shown in ((f"/review/{request}", 5), (f"/cases/{request}", 3)):
        text = words_of(page(ana, path))
        words = [f"this is word {number}" for number in range(6, 6 - shown, -1)]
        assert sorted(words, key=text.index) == words
        assert f"this is word {6 - shown}" not in text
        assert f"{8 - shown} earlier: refunds review show {request}" in text
        assert "clip-6.mov was left out" in text
        assert "confirmed as the account's own" in text


def test_pages_say_that_a_machine_wrote(world: PeopleWorld, ana: Browser) -> None:
    world.bought_once("ord_6", "acc_6")
    sent = {"sender": "acc_6@example.org", "message_id": "<away@example.org>", "Auto_Submitted": "auto-replied"}
    request = world.mail("I am away until Monday. > ord_6", **sent).case_id
    for path in (f"/review/{request}", f"/cases/{request}"):
        text = words_of(page(ana, path))
        assert "A machine wrote it" in text
        assert "not confirmed as the account's own" in text


def test_page_shown_before_the_customer_wrote_again_decides_nothing(world: PeopleWorld, ana: Browser, ben: Browser) -> None:
    path = taken(ana, "ord_4")
    form = hidden_fields(page(ana, path), f"{path}/decide") | {"choice": "decline", "reason": "it was used"}
    world.mail("It was not used: see for yourself.\n\nord_4", sender="acc_4@example.org", message_id="<again@example.org>")
    refused = ana.post(f"{path}/decide", form)
    assert (refused.status_code, "there is new mail" in refused.text, "see for yourself" in refused.text) == (409, True, True)
    assert world.state("ord_4") == "review"
    # the page that shows the mail decides
    stale = hidden_fields(refused.text, f"{path}/decide") | {"choice": "decline", "reason": "it was used"}
    world.clock.pass_(minutes=16)
    other = taken(ben, "ord_4")
    assert ben.send(other, f"{other}/decide", choice="decline", reason="it was used").status_code == 303
    world.clock.pass_(minutes=2)
    [letter] = [mail for mail in world.written() if "it was used" in text_of(mail)]
    world.mail("No!", sender="acc_4@example.org", message_id="<no@example.org>", In_Reply_To=str(letter["Message-ID"]))
    assert world.state("ord_4") == "review"
    assert ana.post(f"{path}/decide", stale).status_code == 409
    assert world.state("ord_4") == "review"
    assert ana.send(path, f"{path}/take").status_code == 303
    assert ana.send(path, f"{path}/decide", choice="decline", reason="it was used").status_code == 303


def test_second_person_agrees_with_a_password_of_their_own(world: PeopleWorld, ana: Browser, ben: Browser) -> None:
    path = taken(ana, "ord_3")
    for wrong in ({}, {"password": "wrong password"}):
        answer = ana.send(path, f"{path}/decide", choice="suspend", reason="abuse", **wrong)
        assert (answer.status_code, "not your password" in answer.text) == (403, True)
        waiting = ana.send(path, f"{path}/decide", choice="suspend", reason="abuse", password=PASSWORD)
        assert (waiting.status_code, "retry-after" in waiting.headers) == (429, True)
        world.clock.pass_(seconds=5)
    assert world.store.read(lambda tx: tx.all(select(proposals.c.state))) == []
    proposed = ana.send(path, f"{path}/decide", choice="suspend", reason="abuse", password=PASSWORD)
    assert proposed.headers["location"] == f"{path}?note=proposed"
    own = page(ana, path)
    assert f'action="{path}/decide"' not in own
    assert "second person ana: suspend" in words_of(page(ana, "/review"))
    # ana cannot agree, whatever her browser sends
    form = hidden_fields(page(ben, path), f"{path}/decide") | hidden_fields(own, "/sign-out")
    forged = ana.post(f"{path}/decide", form | {"reason": "yes", "password": PASSWORD})
    assert forged.status_code == 409
    assert "a second, different person has to agree" in forged.text
    refused = ben.send(path, f"{path}/decide", reason="yes", password="wrong password")
    assert refused.status_code == 403
    world.clock.pass_(seconds=5)
    agreed = ben.send(path, f"{path}/decide", reason="yes", password=PASSWORD)
    assert agreed.headers["location"].endswith("?note=decided")
    rows = world.store.read(lambda tx: tx.all(select(proposals.c.state, proposals.c.proposed_by, proposals.c.ended_by)))
    assert [tuple(row) for row in rows] == [("agreed", "ana", "ben")]


def test_account_page_leads_to_the_closed_case_under_which_it_is_reinstated(
    world: PeopleWorld, ana: Browser, ben: Browser
) -> None:
    world.bought_once("ord_9", "acc_9")
    world.happen(
        world.submitted("job_9", "acc_9"), world.succeeded("job_9", "acc_9"), world.event("downloaded", "job_9", "acc_9")
    )
    request = world.mail("Please refund my order ord_9.", sender="acc_9@example.org").case_id
    for by in ("cyd", "dan"):
        world.decide(request, "suspend", by=by)
    world.decide(request, "decline", by="dan")
    path = f"/review/{request}"
    assert f'href="{path}"' in page(ana, "/accounts/acc_9")
    assert ana.send(path, f"{path}/take").status_code == 303
    assert "acc_9 is active again" in words_of(page(ana, path))
    done = ana.send(path, f"{path}/decide", choice="reinstate", reason="a mix-up")
    assert done.headers["location"] == f"/cases/{request}?note=decided"
    assert (world.account("acc_9")["status"], world.state(request)) == ("active", "declined")
    assert f'href="{path}"' not in page(ben, "/accounts/acc_9").partition("<section>")[0]
    assert "there is nothing to choose" in words_of(page(ben, path))


def test_proposal_is_withdrawn_with_a_reason(world: PeopleWorld, ana: Browser, ben: Browser) -> None:
    path = taken(ana, "ord_3")
    ana.send(path, f"{path}/decide", choice="suspend", reason="abuse", password=PASSWORD)
    assert ben.send(path, f"{path}/withdraw", reason="").status_code == 400
    assert ben.send(path, f"{path}/withdraw", choice="", reason="too harsh").status_code == 400
    assert ben.send(path, f"{path}/withdraw", reason="too harsh").headers["location"] == f"{path}?note=withdrawn"
    assert "Proposed, and waiting" not in page(ana, path)
    assert [row.state for row in world.store.read(lambda tx: tx.all(select(proposals.c.state)))] == ["withdrawn"]


def test_page_that_shows_a_proposal_takes_back_nothing_that_was_agreed_to_since(
    world: PeopleWorld, ana: Browser, ben: Browser
) -> None:
    """Once the form named no choice, and ended the claim that two people had agreed to."""
    transaction = world.bought_once("ord_9", "acc_9", amount=50001)
    request = world.mail("Please refund my order ord_9.", sender="acc_9@example.org").case_id
    world.decide(request, "money", by="cyd")
    path = f"/review/{request}"
    form = hidden_fields(page(ana, path), f"{path}/withdraw") | {"reason": "not yet"}
    world.decide(request, "money", by="ben")
    late = ana.post(f"{path}/withdraw", form)
    assert (late.status_code, "nothing is proposed" in late.text) == (409, True)
    with pytest.raises(Refused, match="nothing is proposed"):
        world.reviewer.withdraw(request, by="ana", reason="not yet")
    assert world.claim(transaction).closed_at is None


def test_whoever_gave_much_today_is_told_so_and_needs_a_second_person(world: PeopleWorld, ana: Browser, ben: Browser) -> None:
    given = {"case_id": case_id(world, "job_whole"), "at": world.clock.now(), "choice": "credits"}
    rows = [given | {"by": "ana", "credits": 998, "minor_units": 0, "currency": None}]
    world.store.write(lambda tx: tx.insert(approvals, rows))
    said = "ana: 0.00 of 500.00 and 998 of 1000 credits approved alone in 24 hours"
    assert said in words_of(page(ana, "/review"))
    path = taken(ana, "job_odd")
    assert f"{said}; this would be 5 credits more" in words_of(page(ana, path))
    assert "998" not in words_of(page(ben, path))
    answer = ana.send(path, f"{path}/decide", choice="credits", reason="our fault", password=PASSWORD)
    assert answer.headers["location"].endswith("?note=proposed")
    assert world.state("job_odd") == "review"


def test_shared_password_is_one_person(world: PeopleWorld) -> None:
    site = Site(world, password="the shared password")
    first, second = site.browser(), site.browser(address="10.0.0.1")
    for browser in (first, second):
        assert browser.sign_in("console", "the shared password").status_code == 303
    path = taken(first, "ord_3")
    first.send(path, f"{path}/decide", choice="suspend", reason="abuse", password="the shared password")
    assert f'action="{path}/decide"' not in page(second, path)
    assert "Somebody else has to agree" in second.get(path).text


def test_machine_without_a_password_asks_for_none_and_is_one_person(world: PeopleWorld, site: Site) -> None:
    browser = site.browser()
    path = taken(browser, "ord_3")
    assert 'type="password"' not in page(browser, path)
    assert browser.send(path, f"{path}/decide", choice="suspend", reason="abuse").status_code == 303
    assert f'action="{path}/decide"' not in page(browser, path)
