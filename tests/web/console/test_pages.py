"""Every page for every kind of case: found, complete, small, and deaf to what outsiders wrote."""

import json
import re
from html import unescape
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import func, select, update

from tests.cases.world import a_purchase, an_account
from tests.requests.world import PeopleWorld
from tests.web.console.one_engine import database_url
from tests.web.console.reading import case_id, page
from tests.web.console.scene import a_request
from tests.web.console.site import Browser, Site, words_of
from worker.cases.effects.effects import pause_after
from worker.cases.money import limits
from worker.clock import written
from worker.reruns import Answer
from worker.sandbox.creem import Lost, Switches
from worker.sandbox.creem.words import Fault
from worker.store.engine import Store
from worker.store.tables import case_history, cases, disputes, evidence, requests

__all__ = ["database_url"]


def test_overview_says_what_waits(local: Browser) -> None:
    text = words_of(page(local, "/"))
    for said in ("3 for review", "0 promises overdue", "3 open dead letters", "5 open cases", "money 9.00", "Due next"):
        assert said in text


def test_deadlines_come_earliest_first_with_the_overdue_marked(world: PeopleWorld, local: Browser) -> None:
    world.clock.pass_(days=1)
    world.happen(world.submitted("job_later", "acc_2"), world.succeeded("job_later", "acc_2"), world.failed("job_later", "acc_2"))
    assert "None is overdue." in words_of(page(local, "/overdue"))
    world.clock.pass_(days=3)
    text = words_of(page(local, "/overdue"))
    assert "before all others. 4 overdue" in text, "not those that were closed in time"
    assert max(text.index("ord_4"), text.index("job_odd")) < text.index("job_later")
    assert "4 promises overdue" in words_of(page(local, "/"))


def test_deadlines_of_one_moment_follow_one_another_page_by_page(world: PeopleWorld, local: Browser) -> None:
    assert "after=" not in page(local, "/overdue")
    for number in range(40):
        name = f"job_n{number:02}"
        world.arrive(world.submitted(name, "acc_2"), world.succeeded(name, "acc_2"), world.failed(name, "acc_2"))
    world.sweep()
    text = page(local, "/overdue")
    seen = re.findall(r">(job_\w+|ord_\d)<", text)
    while link := re.search(r'href="(/overdue\?after=[^"]*)"', text):
        text = page(local, unescape(link[1]))
        seen += re.findall(r">(job_\w+|ord_\d)<", text)
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen, key=lambda name: str(world.case(name)["due_at"]))  # type: ignore[index]
    assert {name for name in seen if name.startswith("job_n")} == {f"job_n{number:02}" for number in range(40)}
    assert {"job_odd", "ord_3", "ord_4"} < set(seen)


def test_cases_are_listed_and_filtered(local: Browser) -> None:
    assert all(name in page(local, "/cases") for name in ("job_whole", "job_again", "ord_1", "ord_4", "ord_3"))
    review = page(local, "/cases?state=review&kind=job&account=acc_2")
    assert "job_odd" in review
    assert "job_whole" not in review
    assert "No cases like that." in page(local, "/cases?state=unknown")
    page(local, "/cases?state=nonsense", 400)


def test_call_whose_outcome_is_not_proved_is_found_behind_its_tile_whoever_has_the_case(store: Store, tmp_path: Path) -> None:
    world = PeopleWorld(store, tmp_path, switches=Switches(post=Fault.TIMEOUT, post_side=Lost.BEFORE_COMMIT, post_times=1))
    world.twice_charged()
    world.settle_down(days=2)
    assert world.state("ord_1") == "review"
    local = Site(world).browser()
    assert "1 outcomes unknown" in words_of(page(local, "/"))
    (behind,) = re.findall(r'href="([^"]*)"><b>1</b> outcomes unknown', page(local, "/"))
    assert "ord_1" in page(local, unescape(behind))
    assert "No cases like that." in page(local, f"{unescape(behind)}&kind=job")
    world.close()


def test_payment_that_waits_says_in_list_and_case_what_for(store: Store, tmp_path: Path) -> None:
    world = PeopleWorld(store, tmp_path, switches=Switches(get=Fault.TIMEOUT))
    world.twice_charged()
    world.turn()
    local, now = Site(world).browser(), world.clock.now()
    for _ in range(5):
        world.store.write(lambda tx: limits.away(tx, "no answer", now))
    world.store.write(lambda tx: limits.stop(tx, by="ann", reason="a look first", now=now))
    for text in (words_of(page(local, "/cases")), words_of(page(local, f"/cases/{case_id(world, 'ord_1')}"))):
        assert "nothing has left yet: Creem is not reachable" in text
        assert f"next turn {written(world.claim('tran_1').due_at)}" in text
    assert "held by the creem breaker until 2026-03-02T" in text
    assert "held by the money breaker until a person ends that: stopped by ann: a look first" in text
    assert "next look" not in text
    world.close()


def test_rerun_that_the_pipeline_does_not_take_says_in_list_and_case_what_its_order_waits_for(
    world: PeopleWorld, local: Browser
) -> None:
    world.pipeline.answer = lambda order: Answer.NOT_HEARD
    world.arrive(world.submitted("job_lost", "acc_2"), world.failed("job_lost", "acc_2", code="job_timeout"))
    world.assessor.assess()
    path = f"/cases/{case_id(world, 'job_lost')}"
    assert "the pipeline has no order yet; next turn" in words_of(page(local, path))
    world.performer.rerun()
    found = world.case("job_lost")
    assert found is not None
    next_turn, deadline = written(world.clock.now() + pause_after(1)), found["history"][-1]["detail"]["deadline_at"]
    said = (
        f"has not taken the order in 1 turn: as told; next turn {next_turn}; without an answer by {deadline} it counts as failed"
    )
    for text in (words_of(page(local, "/cases")), words_of(page(local, path))):
        assert said in text
    world.pipeline.answer = lambda order: Answer.ACCEPTED
    world.clock.pass_(minutes=5)
    world.sweep()
    for text in (words_of(page(local, "/cases")), words_of(page(local, path))):
        assert "it is run again once, at no charge" in text
        assert "has not taken the order" not in text


def test_case_that_a_person_decided_is_shown_as_such_and_accuses_nobody(world: PeopleWorld, local: Browser) -> None:
    odd = case_id(world, "job_odd")
    world.reviewer.decide(odd, "credits", by="ana", reason="our fault after all")
    text = words_of(page(local, f"/cases/{odd}"))
    assert "A person decided that" in text
    assert "The policy had said: Review" in text
    assert "changed in place" not in text
    assert "A person decided that" not in words_of(page(local, f"/cases/{case_id(world, 'job_whole')}"))


def test_case_whose_terms_were_changed_in_place_says_so(world: PeopleWorld, local: Browser) -> None:
    whole = case_id(world, "job_whole")
    world.store.write(
        lambda tx: tx.connection.execute(update(cases).where(cases.c.case_id == whole).values(rule="no_fault")).rowcount
    )
    assert "changed in place" in words_of(page(local, f"/cases/{whole}"))


def test_pages_of_cases_follow_one_another(world: PeopleWorld, local: Browser) -> None:
    world.load(an_account("acc_9"), a_purchase("ord_9", "acc_9", 500))
    for number in range(40):
        world.arrive(world.submitted(f"job_n{number}", "acc_9"), world.failed(f"job_n{number}", "acc_9"))
    world.sweep()
    first = page(local, "/cases?account=acc_9")
    link = re.search(r'href="(/cases\?[^"]*after=[^"]*)"', first)
    assert link is not None
    second = page(local, link[1].replace("&amp;", "&"))
    seen = re.findall(r">(job_n\d+)<", first) + re.findall(r">(job_n\d+)<", second)
    assert len(seen) == len(set(seen)) == 40
    assert "All its cases" in page(local, "/accounts/acc_9")


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("job_whole", "/cases/"),
        ("ord_3", "/cases/"),
        ("acc_2", "/accounts/acc_2"),
        ("stream:11-0", "/dead/"),
        ("tran_3", "/cases/"),
    ],
)
def test_search_leads_straight_to_what_it_names(local: Browser, query: str, path: str) -> None:
    answer = local.get(f"/cases?q=%20{query}%20")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(path)
    page(local, answer.headers["location"])


@pytest.mark.parametrize("around", ["{}\u00a0", "\u200b{}", "\u202a{}\u202c", "{}\t", "\ufeff{}\r\n"])
def test_search_is_for_what_is_read_of_a_pasted_name(local: Browser, around: str) -> None:
    answer = local.get(f"/cases?q={quote(around.format('job_whole'))}")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/cases/case_")


def test_reference_of_a_mail_a_file_and_a_dispute_lead_to_their_case(world: PeopleWorld, local: Browser) -> None:
    world.bought_once("ord_8", "acc_8")
    asked = world.mail("Please refund ord_8.", sender="acc_8@example.org", verified=False, message_id="<8@example.org>")
    for chosen, its_case in (
        (select(requests.c.reference).where(requests.c.case_id == asked.case_id), asked.case_id),
        (select(func.min(evidence.c.evidence_id)).where(evidence.c.kind == "exe"), case_id(world, "ord_4")),
        (select(disputes.c.dispute_id), case_id(world, "ord_3")),
    ):
        name = world.store.read(lambda tx, chosen=chosen: tx.value(chosen))  # type: ignore[misc]
        assert local.get(f"/cases?q={name}").headers["location"] == f"/cases/{its_case}"


def test_customer_is_found_by_mail_address_and_who_is_none_is_said_to_be_unknown(world: PeopleWorld, local: Browser) -> None:
    assert local.get("/cases?q=ACC_4@example.org").headers["location"] == "/accounts/acc_4"
    assert local.get("/accounts/acc_4@example.org").headers["location"] == "/accounts/acc_4"
    assert "ord_4" in page(local, "/cases?account=acc_4@example.org")
    text = words_of(page(local, "/cases?account=acc_5@example.org"))
    assert "acc_5@example.org: no account of that name or address" in text
    assert "No cases like that" not in text
    assert "tran_3 is a charge of acc_3" in words_of(page(local, "/cases?account=tran_3"))
    assert "job_o: no case, job, order or account of that name; there are job_odd" in words_of(page(local, "/cases?q=job_o", 404))
    world.load(an_account("acc_7") | {"email": "JÖRG@example.org"})
    assert local.get("/cases?q=JÖRG@EXAMPLE.org").headers["location"] == "/accounts/acc_7"
    world.load(an_account("acc_6") | {"email": "acc_4@example.org"})
    said = "acc_4@example.org is the address of 2 accounts: acc_4, acc_6"
    assert said in words_of(page(local, "/cases?q=acc_4@example.org", 404))
    assert said in words_of(local.get("/accounts/acc_4@example.org").text)
    assert "ord_4" in page(local, "/cases?account=acc_4@example.org")


def test_search_for_nothing_says_what_is_known(world: PeopleWorld, local: Browser) -> None:
    world.happen(world.submitted("job_fine", "acc_2"))
    assert "job_none: no case, job, order or account of that name" in words_of(page(local, "/cases?q=job_none", 404))
    assert "nothing failed in it" in words_of(page(local, "/cases?q=job_fine", 404))
    page(local, "/cases?q=%3Cscript%3Ealert(1)%3C/script%3E%22", 404)


def test_job_is_explained_in_plain_words(world: PeopleWorld, local: Browser) -> None:
    text = words_of(page(local, f"/cases/{case_id(world, 'job_whole')}"))
    for said in ("gets its credits back without being asked", "Had", "5 of 5 owed came back", "failure code model_error"):
        assert said in text
    raw = page(local, f"/cases/{case_id(world, 'job_whole')}")
    assert '<time datetime="2026-03-' in raw
    assert 'href="https://flower.example.org/tasks?search=job_whole"' in raw


def test_charge_shows_its_payment_with_every_call(world: PeopleWorld, local: Browser) -> None:
    text = words_of(page(local, f"/cases/{case_id(world, 'ord_1')}"))
    for said in ("tran_1 9.00 USD refunded", "accepted", "the later charge is refunded", "Payment refunded"):
        assert said in text


def test_dispute_and_request_are_for_a_person(world: PeopleWorld, local: Browser) -> None:
    dispute = page(local, f"/cases/{case_id(world, 'ord_3')}")
    assert "A charge that is under dispute" in words_of(dispute)
    assert ">Review</a>" in dispute
    request = words_of(page(local, f"/cases/{case_id(world, 'ord_4')}"))
    assert "nothing of the purchase of 9.00 USD was used" in request
    assert "<script>alert(1)</script>" in request
    assert "b_gnp.exe" in request


def test_case_is_found_under_every_name_and_has_one_address(world: PeopleWorld, local: Browser) -> None:
    assert local.get("/cases/job_whole").headers["location"] == f"/cases/{case_id(world, 'job_whole')}"
    for path in ("/cases/none", "/cases/none/requeue", "/dead/none", "/dead/none/raw", "/accounts/none", "/none", "/cases/a/b/c"):
        assert "Nothing here" in page(local, path, 404)


def test_long_history_comes_in_pieces(world: PeopleWorld, local: Browser) -> None:
    found, now = case_id(world, "job_odd"), world.clock.now()
    row = {"case_id": found, "at": now, "by": "worker", "detail": {"error": "<b>&\x1b" * 500, "more": ["x" * 5000] * 5}}
    rows = [row | {"event": f"case.stuck_{number}"} for number in range(100)]
    world.store.write(lambda tx: tx.insert(case_history, rows))
    text = page(local, f"/cases/{found}")
    assert "Case stuck 99" in text
    link = re.search(r'href="([^"]*before=\d+)#history"', text)
    assert link is not None
    assert "Case stuck 70<" not in text
    assert "Case stuck 70<" in page(local, link[1])
    page(local, f"/cases/{found}?before=x")
    page(local, f"/cases/{found}?before=99999999999999999999")


def test_requeue_shows_what_would_happen_and_then_does_that(world: PeopleWorld, local: Browser) -> None:
    path = f"/cases/{case_id(world, 'job_odd')}"
    assert "There is nothing to put back" in words_of(page(local, f"{path}/requeue"))
    with world.store.engine.begin() as connection:
        connection.execute(update(cases).where(cases.c.job_id == "job_odd").values(state="waiting"))
    shown = words_of(page(local, f"{path}/requeue"))
    assert "now waiting then review" in shown
    assert world.state("job_odd") == "waiting"
    answer = local.send(f"{path}/requeue", f"{path}/requeue", reason="stuck")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{path}?note=requeued")
    put_back = [row for row in world.case("job_odd")["history"] if row["event"] == "case.requeued"]  # type: ignore[index]
    assert [(row["by"], row["detail"]) for row in put_back] == [("local", {"reason": "stuck"})]
    world.sweep()
    assert world.state("job_odd") == "review"


def test_requeue_of_a_case_that_moved_meanwhile_is_shown_again(world: PeopleWorld, local: Browser) -> None:
    path = f"/cases/{case_id(world, 'job_odd')}/requeue"
    with world.store.engine.begin() as connection:
        connection.execute(update(cases).where(cases.c.job_id == "job_odd").values(state="waiting"))
    form = {**_form(local, path), "reason": "stuck & <b>"}
    world.sweep()
    with world.store.engine.begin() as connection:
        connection.execute(update(cases).where(cases.c.job_id == "job_odd").values(state="rerunning"))
    answer = local.post(path, form)
    assert answer.status_code == 409
    assert "The case moved" in answer.text
    assert "stuck &amp; &lt;b&gt;" in answer.text
    assert not any(row["event"] == "case.requeued" for row in world.case("job_odd")["history"])  # type: ignore[index]
    assert local.post("/cases/none/requeue", form).status_code == 404


def _form(browser: Browser, path: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', page(browser, path).split('class="act"')[1])
    return dict(found)


def test_account_shows_standing_lots_and_cases(world: PeopleWorld, local: Browser) -> None:
    text = words_of(page(local, "/accounts/acc_2"))
    for said in ("active", "credits to spend 190", "<img/src=x/onerror=alert(1)>\\x202e@example.org", "ord_2 200 190 10 0 0"):
        assert said in text
    for number in range(60):
        world.load(a_purchase(f"ord_n{number}", "acc_2", 10))
    assert "The latest 40 of 61." in words_of(page(local, "/accounts/acc_2"))


def test_notes_are_ours_alone(local: Browser) -> None:
    assert "hello" not in page(local, "/?note=hello")
    assert "You are signed out." in page(local, "/?note=signed-out")


@pytest.mark.landing
def test_full_pages_stay_small(world: PeopleWorld, local: Browser) -> None:
    long = "x" * 100
    for number in range(5, 40):
        a_request(world, number)
        world.arrive(json.dumps({"<&>" * 30: number}))
    world.sweep()
    full = {"order_id": cases.c.case_id + long, "reason": "<&>'" * 500}
    world.store.write(lambda tx: tx.connection.execute(update(cases).values(full)))
    for path in ("/", "/overdue", "/cases", "/review", "/dead", "/accounts/acc_2", f"/cases/{case_id(world, 'job_odd')}"):
        page(local, path)
