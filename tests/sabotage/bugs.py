"""Bugs put in on purpose. Each is a change to one or two places, the harm it does, and the tests that have to turn red.

Old texts have to be there exactly once: where the code moves on, the bug moves along.
"""

# ruff: noqa: E501 - lines of the code they change

from dataclasses import dataclass

Edit = tuple[str, str, str]


@dataclass(frozen=True)
class Bug:
    """One deliberate defect."""

    name: str
    harm: str
    caught_by: tuple[str, ...]
    edits: tuple[Edit, ...]


BUGS = (
    # events: none is lost
    Bug(
        "ack_before_commit",
        "an event acknowledged and then not stored is lost",
        ("tests/intake/test_consumer.py",),
        (
            (
                "worker/intake/consumer.py",
                "            taken = self._accept.accept(entries)\n        except NoGround:\n"
                "            raise  # no entry is to blame",
                "            self._acknowledge(entries, [])\n            taken = self._accept.accept(entries)\n"
                "        except NoGround:\n            raise  # no entry is to blame",
            ),
        ),
    ),
    Bug(
        "answers_of_any_weight",
        "one entry with many fields is read whole, and ends every process that looks at the stream",
        ("tests/intake/test_consumer.py", "tests/intake/test_stream.py"),
        (("worker/intake/heavy.py", "if self._taken > self._most:", "if False:"),),
    ),
    Bug(
        "of_two_events_in_one_entry_the_last_is_taken",
        "the first is acknowledged and stands in no book: its customer is never paid, and the audit finds nothing",
        ("tests/intake/test_consumer.py::test_two_events_in_one_entry_are_handed_over_and_neither_is_taken_for_the_entry",),
        (("worker/intake/entry.py", "    if len(set(names)) == len(names):", "    if names:"),),
    ),
    Bug(
        "what_is_no_message_ends_the_task_process",
        "one thing in a queue that is no message ends each worker that takes it: customers wait until somebody empties the queue",
        ("tests/scenarios/test_no_message.py::test_what_is_no_message_is_dropped_with_a_line_each_and_tasks_go_on",),
        (("worker/broker.py", '(("redis", "rediss"), "worker.transport:Transport")', '((), "")'),),
    ),
    Bug(
        "what_is_no_message_goes_back_into_the_queue",
        "each worker dies of it again as it starts, for good",
        ("tests/scenarios/test_no_message.py::test_what_is_no_message_is_dropped_with_a_line_each_and_tasks_go_on",),
        (("worker/transport.py", "if not (no_ack or message.acknowledged):", "if False:"),),
    ),
    Bug(
        "task_process_goes_on_without_its_place_in_the_pool",
        "it looks alive, takes one task more, and does none: customers wait, and nothing says why",
        ("tests/scenarios/test_no_message.py::test_task_that_celery_begins_and_cannot_do_ends_one_process_and_none_after_it",),
        (("worker/transport.py", "if any(request.message is message for request in reserved_requests):", "if False:"),),
    ),
    Bug(
        "key_that_holds_another_programs_value_is_not_named",
        "task processes connect anew for ever, nothing is decided, and the doctor finds nothing",
        ("tests/scenarios/test_commands.py::test_doctor_names_each_key_of_ours_and_of_celerys_that_holds_something_else",),
        (("worker/cli/doctor/queue.py", 'if kind not in {kinds[name], "none"}', "if not kind"),),
    ),
    Bug(
        "worker_that_redis_refuses_says_no_word_of_why",
        "tasks stand still, and whoever is called reads stacks of restarts and nothing of the key or right that is missing",
        ("tests/scenarios/test_redis_refuses.py::test_worker_that_redis_refuses_says_why_in_one_line_each_time",),
        (("worker/observe.py", "addFilter(_why_it_connects_anew)", "addFilter(_no_plans)"),),
    ),
    Bug(
        "every_delivery_of_what_cannot_be_read_is_another_letter",
        "one entry that is delivered again and again fills the dead letters, and nobody sees the others among them",
        ("tests/cases/test_poison.py::test_redelivered_malformed_entry_makes_one_letter",),
        (("worker/intake/accept.py", 'key=f"stream:{entry.stream_id}"', "key=inbox.new_id(entry.stream_id, now)"),),
    ),
    Bug(
        "case_that_nothing_moves_is_due_for_ever",
        "cases whose rows were changed by hand fill every sweep, and no other customer's time comes",
        ("tests/cases/test_poison.py::test_case_that_is_due_and_moved_by_nothing_ends_with_a_person",),
        (("worker/cases/assess/waker.py", "            self._give_up(case_id, UNMOVED)\n", ""),),
    ),
    Bug(
        "late_worker_takes_the_row_of_another",
        "a process that woke up after its claim works on what another has in hand",
        ("tests/cases/test_poison.py::test_claim_of_a_dead_process_ends_and_a_late_worker_finds_it_gone",),
        (("worker/store/inbox.py", "    return [row for row in rows if row.attempts == attempt[row.id]]", "    return rows"),),
    ),
    Bug(
        "outcomes_forgotten_before_they_are_acknowledged",
        "the product never hears of credits that came back while it was away",
        ("tests/intake/test_stream.py",),
        (
            (
                "worker/intake/stream.py",
                "    return {name: oldest for name, oldest in found.items() if oldest is not None}",
                "    return {}",
            ),
        ),
    ),
    Bug(
        "outcomes_are_never_forgotten",
        "what was sent fills Redis, and then no event comes in and no task goes out",
        ("tests/intake/test_stream.py",),
        (
            (
                "worker/intake/upkeep.py",
                "{self._stream: self._retention, **self._sent}.items()",
                "{self._stream: self._retention}.items()",
            ),
        ),
    ),
    Bug(
        "group_starts_at_the_end",
        "what was sent before the first start is never read",
        ("tests/intake/test_consumer.py",),
        (("worker/intake/consumer.py", 'self.group, id="0", mkstream', 'self.group, id="$", mkstream'),),
    ),
    Bug(
        "pending_of_the_dead_never_claimed",
        "what a dead process held stays with it",
        ("tests/intake/test_consumer.py", "tests/crash"),
        (("worker/intake/consumer.py", "self._own() or self._reclaimed() or self._fresh()", "self._own() or self._fresh()"),),
    ),
    Bug(
        "held_account_counts_as_failed_attempt",
        "events of an account that somebody holds use up their attempts and end with the dead letters",
        ("tests/cases/test_held.py",),
        (
            (
                "worker/cases/assess/assessor.py",
                "            due_at = self.clock.now() + HELD_FOR\n            self.store.write(lambda tx: inbox.release(tx, claims, due_at))",
                "            due_at = self.clock.now() + HELD_FOR\n"
                '            self.store.write(lambda tx: [inbox.postpone(tx, one, "held", due_at) for one in claims])',
            ),
        ),
    ),
    Bug(
        "held_account_holds_up_its_batch",
        "one account whose row is held stalls everybody who shares a batch with it",
        ("tests/cases/test_held.py",),
        (("worker/cases/assess/assessor.py", "whose.items() if account_id in self.held}", "whose.items() if self.held}"),),
    ),
    Bug(
        "trigger_of_the_product_books_again_what_came_back",
        "credits come back twice, by our update and by the product's trigger on our entry, and the audit finds it right",
        ("tests/credits/test_balances.py::TestTriggers",),
        (("worker/credits/balances.py", "            if has != had[row] + sums[row]:", "            if False:"),),
    ),
    Bug(
        "moved_again_at_the_commit",
        "what a deferred trigger adds to a balance is not looked at",
        ("tests/credits/test_balances.py::TestTriggers", "tests/credits/test_balances.py::TestRefusing"),
        (("worker/credits/balances.py", "        tx.check_now()\n", ""),),
    ),
    Bug(
        "renamed_column_of_the_product_is_a_defect_of_each_event",
        "while the product's column has another name every failed job ends in the dead letters",
        ("tests/credits/test_balances.py",),
        (("worker/store/faults.py", "    if state == NO_SUCH_COLUMN and not _is_column_of_ours(error):", "    if False:"),),
    ),
    Bug(
        "one_row_of_some_is_one_of_all",
        "an account that has a row for each of its plans gets what comes back in every one",
        ("tests/credits/test_balances.py::TestNames",),
        (("worker/credits/named.py", '{"postgresql_where", "sqlite_where", "postgresql_invalid"}', "set[str]()"),),
    ),
    Bug(
        "checks_stay_at_once",
        "a check that waits for balance and entry sees the one without the other",
        ("tests/credits/test_balances.py::TestTriggers",),
        (("worker/store/bulk.py", '            self.connection.exec_driver_sql("set constraints all deferred")\n', ""),),
    ),
    Bug(
        "text_that_no_row_can_hold_is_named_at_the_first_event",
        "the doctor is content, and every event that brings credits back ends with the dead letters",
        ("tests/credits/test_balances.py::TestPostgres",),
        (
            (
                "worker/credits/named.py",
                "    if not tx.postgres:\n        return Text()\n    called",
                "    return Text()\n    called",
            ),
        ),
    ),
    Bug(
        "balance_with_decimals_cannot_be_written_down",
        "of a product whose balances have decimals no credits come back, and the doctor is content",
        ("tests/credits/test_balances.py::TestPostgres",),
        (("worker/credits/named.py", "Numeric() if part == AFTER and postgres else BigInteger()", "BigInteger()"),),
    ),
    Bug(
        "text_of_ours_is_cut_to_one_letter",
        "in a product's column of type char(n) each entry of ours stands with the first letter of what the settings say, and in one of bits every job is a dead letter",
        ("tests/credits/test_balances.py::TestPostgres",),
        (("worker/credits/named.py", "format_type(atttypid, -1)", "format_type(atttypid, null)"),),
    ),
    Bug(
        "job_made_good_by_hand_in_observe_cannot_be_said_to_be",
        "whom somebody gave credits by hand while the worker looked on gets them once more when it goes live",
        ("tests/review/test_review.py::test_job_that_was_made_good_by_hand_in_observe_is_not_made_good_again_when_going_live",),
        (("worker/cases/review/choices.py", "if choice.act is Act.DECLINE and scene.case.kind is CaseKind.JOB:", "if False:"),),
    ),
    Bug(
        "what_was_said_in_observe_is_told_when_going_live",
        "customers who were made good by hand read a no, weeks later",
        ("tests/review/test_review.py::test_job_that_was_made_good_by_hand_in_observe_is_not_made_good_again_when_going_live",),
        (("worker/cases/review/act.py", "said = None if looks else announcement", "said = announcement"),),
    ),
    Bug(
        "product_is_not_told_which_credits_went_with_the_money",
        "customers of a product that keeps balances by what is announced have their money back and keep its credits",
        ("tests/money/test_ends.py",),
        (("worker/cases/money/close.py", '{"credits_void": voided} if voided else {}', "dict[str, int]()"),),
    ),
    Bug(
        "accounts_of_fixed_length_have_no_row",
        "of a product whose ids are char(n) no credits come back, for want of rows that are there",
        ("tests/credits/test_balances.py::TestPostgres",),
        (("worker/credits/balances.py", "one.rstrip() if isinstance(one, str) else one", "one"),),
    ),
    Bug(
        "row_that_the_product_holds_holds_up_its_batch",
        "one customer whose balance the product has in hand stalls the credits of everybody who shares a batch with them",
        ("tests/credits/test_held_by_the_product.py",),
        (("worker/cases/assess/assessor.py", " | self.ledger.held(tx, account_ids))", ")"),),
    ),
    Bug(
        "row_that_the_product_holds_holds_up_reconcile",
        "of the jobs that nobody was told of none is made good while the product has one customer's balance in hand",
        ("tests/credits/test_held_by_the_product.py::test_reconcile_makes_others_good_beside_it",),
        (("worker/cases/reconcile/reconcile.py", " | self.settler.ledger.held(tx, owners))", ")"),),
    ),
    Bug(
        "balance_is_locked_against_rows_that_refer_to_it",
        "credits wait for every transaction of the product that added an image of the customer, and the product for ours",
        ("tests/credits/test_held_by_the_product.py::test_rows_that_refer_to_the_account_are_in_nobodys_way",),
        (
            (
                "worker/credits/balances.py",
                "self._rows(tx, rows).with_for_update(key_share=True)",
                "self._rows(tx, rows).with_for_update()",
            ),
        ),
    ),
    Bug(
        "held_account_stands_as_handled",
        "an event that came while somebody held its account is never heard again",
        ("tests/cases/test_held.py::test_drain_goes_on_beside_it",),
        (("worker/intake/accept.py", "handled=handled and event.account_id not in left", "handled=handled"),),
    ),
    Bug(
        "conflict_taken_for_a_repeat",
        "a second, different event under a known name vanishes without a trace",
        ("tests/cases/test_assess.py",),
        (("worker/intake/accept.py", "if row.sha256 != event.sha256 and not _same(row.raw, event.raw):", "if False:"),),
    ),
    Bug(
        "attempts_not_counted",
        "an event that kills its worker kills workers for ever",
        ("tests/cases/test_poison.py",),
        (("worker/store/inbox.py", ".values(attempts=inbox.c.attempts + 1, due_at=", ".values(due_at="),),
    ),
    Bug(
        "death_counts_against_those_that_wait_their_turn",
        "an event that kills its worker takes the events behind it in the batch to the dead letters, and those customers wait",
        ("tests/cases/test_poison.py::test_event_that_ends_its_process_costs_none_of_its_batch_more_than_time",),
        (
            ("worker/cases/assess/assessor.py", "self.store.write(lambda tx: inbox.release(tx, waiting[1:], until))", "pass"),
            (
                "worker/cases/assess/assessor.py",
                "if claim is waiting[0] or self.store.write(partial(inbox.begin, claim=claim)):",
                "if True:",
            ),
        ),
    ),
    Bug(
        "tried_before_and_in_a_batch_again",
        "an event that kills its worker ends it again and again over all that came with it",
        ("tests/cases/test_poison.py::test_event_that_ends_its_process_costs_none_of_its_batch_more_than_time",),
        (
            ("worker/cases/assess/assessor.py", "for claim in claims if claim.attempt == 1])", "for claim in claims])"),
            (
                "worker/cases/assess/assessor.py",
                "for claim in claims if claim.attempt > 1], now",
                "for claim in claims[:0]], now",
            ),
        ),
    ),
    Bug(
        "requeue_takes_effects_out_of_somebodys_hands",
        "a re-run is asked for, or an outcome announced, while another does it",
        ("tests/cases/test_poison.py::test_requeue_takes_no_effect_out_of_the_hands_of_who_does_it",),
        (
            (
                "worker/cases/requeue.py",
                'about(plan.case_id), UNDONE, effects.c.state == "due")',
                "about(plan.case_id), UNDONE)",
            ),
        ),
    ),
    Bug(
        "poison_takes_its_batch_along",
        "one event that cannot be handled stops all that came with it",
        ("tests/cases/test_poison.py",),
        (
            (
                "worker/cases/assess/assessor.py",
                "error=one_line(error))\n        done = Assessed()",
                "error=one_line(error))\n            raise\n        done = Assessed()",
            ),
        ),
    ),
    Bug(
        "overtaken_reports_wait_for_ever",
        "a report and its job handled at once miss each other, and nobody comes back",
        ("tests/cases/test_assess.py",),
        (("worker/cases/sweep.py", "        self._wake_overtaken()\n        if", "        if"),),
    ),
    Bug(
        "abandoned_effects_stay",
        "an announcement whose process died is never made",
        ("tests/cases/test_drain.py", "tests/crash"),
        (
            (
                "worker/store/effects.py",
                'UNDONE = one_of(effects.c.state, ("due", "claimed"))',
                'UNDONE = one_of(effects.c.state, ("due",))',
            ),
        ),
    ),
    Bug(
        "sweep_passes_over_all_effects_on_sqlite",
        "every idle sweep reads every effect there ever was, and the oldest installations are the slowest",
        ("tests/store/test_old_rows.py::test_no_step_works_through_old_rows_on_sqlite",),
        (
            (
                "worker/store/effects.py",
                'one_of(effects.c.state, ("due", "claimed"))',
                'one_of(effects.c.state, ("claimed", "due"))',
            ),
        ),
    ),
    Bug(
        "sweep_looks_among_all_cases_on_sqlite",
        "every idle sweep looks at every case there ever was, and the oldest installations are the slowest",
        ("tests/store/test_old_rows.py::test_no_step_works_through_old_rows_on_sqlite",),
        (("worker/store/statements.py", "    return and_(*conditions).is_(true())\n", "    return and_(*conditions)\n"),),
    ),
    Bug(
        "stream_left_to_others_who_do_not_read_it",
        "no task process reads what piles up, and the intake looks at it every ten seconds",
        ("tests/intake/test_consumer.py::test_stream_that_nobody_else_reads_is_read_on",),
        (("worker/intake/consumer.py", "if not more or last == before:", "if not more:"),),
    ),
    Bug(
        "stream_left_to_others_for_ever",
        "while others read, nothing is trimmed, nobody is reclaimed from, and no further process is called",
        ("tests/intake/test_consumer.py::test_stream_that_others_read_on_for_ever_is_read_by_turns",),
        (("worker/intake/consumer.py", "for _ in range(MOST_RESTS):", "while True:"),),
    ),
    Bug(
        "only_the_first_of_many_is_announced",
        "of all that were made whole together the product hears of one: the others see no credits, and nobody comes back to it",
        ("tests/cases/test_told_together.py::test_one_intent_tells_of_all_that_end_together",),
        (
            (
                "worker/cases/effects/effects.py",
                "[_claimed(one) for record in claimed for one in effects.each(record)]",
                "[_claimed(effects.each(record)[0]) for record in claimed]",
            ),
        ),
    ),
    Bug(
        "what_was_to_be_announced_together_is_left",
        "a process died after its commit: the product never hears of the credits of a whole batch",
        ("tests/cases/test_told_together.py::test_death_after_the_commit_leaves_all_of_them_to_the_sweep",),
        (
            (
                "worker/cases/effects/effects.py",
                "keys=(), limit=1, now=now, lease=lease)",
                "keys=(), limit=0, now=now, lease=lease)",
            ),
        ),
    ),
    Bug(
        "frozen_credits_announced_as_spendable_the_second_time",
        "the product books credits that are frozen, because their case does not say so and is what is told again",
        ("tests/requests/test_told.py::test_credits_that_come_back_frozen_to_several_jobs_are_told_of_as_frozen_each_time",),
        (
            (
                "worker/cases/assess/carry_out.py",
                "if case.state is CaseState.REFUNDED and not frozen:",
                "if case.state is CaseState.REFUNDED:",
            ),
        ),
    ),
    Bug(
        "what_may_be_told_again_goes_without_a_row",
        "a no, or that a person looks, is announced each time that the case comes there",
        ("tests/cases/test_told_together.py::test_what_may_be_told_again_and_what_is_not_over_have_rows_of_their_own",),
        (("worker/cases/assess/carry_out.py", "if case.state is CaseState.REFUNDED and not frozen:", "if not frozen:"),),
    ),
    Bug(
        "announced_together_as_of_another_time",
        "what is announced a second time under its identity says something else",
        ("tests/cases/test_told_together.py::test_what_is_told_a_second_time_is_told_in_the_same_words",),
        (
            (
                "worker/cases/effects/effects.py",
                "record = announcement(case_of(rows[case_id]), effect.created_at)",
                "record = announcement(case_of(rows[case_id]), rows[case_id].due_at)",
            ),
        ),
    ),
    Bug(
        "many_announcements_counted_as_one",
        "hundreds of customers' credits are not announced, and status says one",
        (
            "tests/cases/test_told_together.py::test_what_is_not_yet_told_is_counted_by_the_case_and_brought_forward_by_any_of_them",
        ),
        (("worker/store/effects.py", 'effects.c.payload["number"].as_integer()), else_=1)', "1), else_=1)"),),
    ),
    Bug(
        "dead_letter_without_bytes",
        "what could not be read cannot be put right either",
        ("tests/cases/test_poison.py",),
        (
            (
                "worker/intake/accept.py",
                "raw = entry.raw if entry.raw is not None else _as",
                'raw = b"" if entry.raw is not None else _as',
            ),
        ),
    ),
    # credits: each job once, to the lots they came from
    Bug(
        "reversal_key_is_new_each_time",
        "a job can be given back twice",
        ("tests/cases/test_ledger.py", "tests/cases/test_audit.py"),
        (
            (
                "worker/credits/ledger.py",
                'return ":".join(part for part in (self.kind.value, self.job_id, self.purchase_id, self.occasion) if part)',
                'return f"{self.kind.value}:{id(self)}:{self.job_id}:{self.purchase_id}:{self.occasion}"',
            ),
        ),
    ),
    Bug(
        "collision_swallowed",
        "postings that already stood count as made, and the lot is added to a second time",
        ("tests/cases/test_ledger.py",),
        (
            (
                "worker/credits/ledger.py",
                "tx.insert_all(postings, records, postings.c.key)",
                "tx.insert_absent(postings, records)",
            ),
        ),
    ),
    Bug(
        "one_sided_reversal",
        "credits appear that nobody granted",
        ("tests/cases/test_assess.py",),
        (
            (
                "worker/credits/ledger.py",
                'PostingKind.REVERSAL: {"spent": -1, "remaining": +1}',
                'PostingKind.REVERSAL: {"remaining": +1}',
            ),
        ),
    ),
    Bug(
        "credits_to_nobody",
        "credits of an account that the product does not have count as given back",
        ("tests/credits/test_balances.py::test_account_without_a_row_keeps_its_event_in_the_dead_letters_until_it_has_one",),
        (
            (
                "worker/credits/balances.py",
                "            if (has := balances.get(row)) is None:\n",
                "            if (has := balances.get(row)) is None:\n                continue\n            if False:\n",
            ),
        ),
    ),
    Bug(
        "balance_of_the_last_job_only",
        "of a batch of jobs of one account, the product's balance sees one",
        ("tests/credits/test_balances.py",),
        (
            (
                "worker/credits/balances.py",
                "            sums[row] += posting.credits\n",
                "            sums[row] = posting.credits\n",
            ),
        ),
    ),
    Bug(
        "money_for_spent_credits",
        "money goes back for credits that the product knows to be spent",
        ("tests/credits/test_balances.py::TestMoney",),
        (
            (
                "worker/cases/money/duplicate.py",
                "self._held() or self.ledger.short(work.tx, charge.facts.purchase_id)",
                "self._held()",
            ),
        ),
    ),
    Bug(
        "account_not_locked",
        "two workers decide about one account on the same old facts",
        ("tests/cases/test_batches.py",),
        (
            (
                "worker/cases/book/locks.py",
                "order_by(accounts.c.account_id).with_for_update()\n",
                "order_by(accounts.c.account_id)\n",
            ),
        ),
    ),
    Bug(
        "accounts_locked_in_any_order",
        "two batches wait for one another until the database kills one",
        ("tests/cases/test_batches.py",),
        (
            (
                "worker/cases/book/locks.py",
                "order_by(accounts.c.account_id).with_for_update()\n",
                "order_by(func.random()).with_for_update()\n",
            ),
            (
                "worker/cases/book/locks.py",
                "from sqlalchemy import Row, Select, bindparam, select",
                "from sqlalchemy import Row, Select, bindparam, func, select",
            ),
        ),
    ),
    Bug(
        "newest_lot_first",
        "credits are taken from, and come back to, the wrong purchase",
        ("tests/cases/test_assess.py",),
        (
            (
                "worker/credits/ledger.py",
                ".order_by(purchases.c.paid_at, purchases.c.purchase_id)",
                ".order_by(purchases.c.paid_at.desc(), purchases.c.purchase_id)",
            ),
        ),
    ),
    Bug(
        "foreign_job_believed",
        "whoever names somebody else's job moves that one's credits",
        ("tests/cases/test_assess.py", "tests/cases/test_model.py"),
        (
            (
                "worker/cases/assess/judge.py",
                "    if job is not None and case.account_id != job.account_id:\n        case.account_id, case.changed = job.account_id, True\n",
                "",
            ),
        ),
    ),
    # the policy
    Bug(
        "rerun_again_and_again",
        "a job is run a third and a fourth time at no charge",
        ("tests/policy",),
        (
            (
                "policy/rules/remedy.py",
                "not terms.rerunnable(fault.code) or rerun_obstacle(facts)",
                "not terms.rerunnable(fault.code)",
            ),
        ),
    ),
    Bug(
        "velocity_not_looked_at",
        "one account is reversed without limit",
        ("tests/policy",),
        (("policy/rules/remedy.py", "if outage or facts.reversals_today < limit:", "if True:"),),
    ),
    Bug(
        "what_came_back_covers_nobody",
        "jobs of one small lot wait for a debit that the credits given back in their own batch would cover",
        ("tests/cases/test_covered.py::test_jobs_on_one_small_lot_are_all_made_whole_in_one_batch_as_one_by_one",),
        (
            (
                "worker/cases/assess/assess.py",
                "            book.touched = offer_what_came_back(tx, book, self.ledger)\n",
                "            break\n",
            ),
        ),
    ),
    Bug(
        "budget_for_doubt_read_twice",
        "each round over what came back begins with the whole day's budget for doubt again",
        ("tests/cases/test_covered.py::test_budget_for_doubt_is_spent_once_by_jobs_on_one_lot",),
        (("worker/cases/assess/surroundings.py", "_doubt_today(tx, book) + book.doubt_spent", "_doubt_today(tx, book)"),),
    ),
    Bug(
        "wish_for_credits_not_heard",
        "a customer who asked for credits waits for a re-run",
        ("tests/requests/test_requests.py::test_customer_who_asked_for_the_credits_gets_them_instead_of_a_rerun",),
        (
            (
                "worker/cases/assess/surroundings.py",
                "book.credits_asked |= {row.job_id for row in tx.all(asked)}",
                "book.credits_asked |= set()",
            ),
        ),
    ),
    Bug(
        "anybody_asks_for_credits",
        "a forged mail decides what a customer gets",
        ("tests/requests/test_requests.py::test_customer_who_asked_for_the_credits_gets_them_instead_of_a_rerun",),
        (("worker/cases/assess/surroundings.py", ", requests.c.confirmed_at.is_not(None))", ")"),),
    ),
    Bug(
        "money_of_lots_not_looked_at",
        "a job whose charge is disputed is paid in credits too",
        ("tests/money/test_told.py::test_job_paid_from_a_disputed_charge_is_held_for_a_person",),
        (("worker/cases/book/load.py", " and not row.lot_moved}", "}"),),
    ),
    Bug(
        "what_was_just_heard_not_asked_for",
        "a failure that comes in one batch with the word of a dispute is paid in credits too",
        ("tests/money/test_told.py::test_failure_that_comes_with_the_word_of_a_dispute_is_held_for_a_person",),
        (("worker/cases/book/load.py", "    if not book.heard:\n", "    if True:\n"),),
    ),
    Bug(
        "other_mode_read_on_and_on",
        "one charge of another mode is read for as long as a task may take, and no other charge at all",
        ("tests/money/test_told.py::test_charge_whose_reads_teach_nothing_is_read_once_an_hour_and_keeps_no_other_waiting",),
        (
            (
                "worker/cases/money/pay.py",
                " or not self.creem.environment.accepts(seen.mode):\n            return self._leave",
                ":\n            return self._leave",
            ),
        ),
    ),
    Bug(
        "read_knows_only_the_purchases_of_before",
        "money went back, and the credits of a purchase that came in beside the read stay with the customer",
        ("tests/money/test_races.py::test_refunded_charge_whose_old_purchase_comes_in_under_reconcile_takes_its_credits_along",),
        (
            (
                "worker/cases/money/seen.py",
                "if changed and purchase is None and charges.purchase_of(tx, seen.id) is not None:",
                "if False:",
            ),
        ),
    ),
    Bug(
        "what_was_supposed_contradicts_what_is_booked",
        "the webhook of a charge whose purchase comes in beside it lies with the dead letters, and a person looks for a contradiction",
        ("tests/money/test_told.py::test_charge_imported_in_one_batch_with_its_webhook_is_as_it_was_imported",),
        (("worker/cases/assess/bought.py", "    if supposed and stands is not None:\n", "    if False:\n"),),
    ),
    Bug(
        "word_of_an_end_locks_no_account",
        "a cancellation that was heard of is written over, or missed by a mail that is just judged, and the customer is told a wrong no",
        ("tests/requests/test_renewals.py::test_mail_that_is_judged_while_the_end_is_heard_of_is_judged_anew",),
        (
            (
                "worker/cases/money/told.py",
                "theirs = payers(tx, purchases.c.subscription_id, ended.values())",
                "theirs: dict[str, list[str]] = {}",
            ),
            ("worker/cases/money/ends.py", "if not book.accounts.keys() >= set(theirs):", "if False:"),
        ),
    ),
    Bug(
        "end_and_purchase_pass_each_other",
        "a cancellation and a renewal that are taken in at the same time never meet, and the renewal is declined as not cancelled",
        ("tests/requests/test_renewals.py::test_end_that_is_heard_of_while_a_purchase_is_taken_in_stands_with_it",),
        (("worker/cases/money/ends.py", ".order_by(s.subscription_id).with_for_update()", ".order_by(s.subscription_id)"),),
    ),
    Bug(
        "end_of_a_subscription_learnt_later_is_forgotten",
        "a renewal that an import told of without its subscription is declined as not cancelled",
        ("tests/requests/test_renewals.py::test_purchase_whose_subscription_is_learnt_after_its_end_has_the_end",),
        (
            (
                "worker/cases/money/ends.py",
                "in (*book.purchases_new, *book.purchases_changed.values()) if",
                "in book.purchases_new if",
            ),
        ),
    ),
    Bug(
        "trial_of_which_only_the_price_was_told_was_paid_for",
        "who pays at the end of a trial and asks for it at once is told that a renewal was not cancelled",
        (
            "tests/requests/test_renewals.py::test_month_that_follows_a_trial_is_no_renewal_though_the_trials_webhook_named_its_price",
        ),
        (
            (
                "worker/cases/money/charges.py",
                "    if paid is None and seen.cost_nothing and not refunded and not _once_claimed(tx, seen.id):\n",
                "    if False:\n",
            ),
        ),
    ),
    Bug(
        "claimed_charge_that_is_read_as_paid_with_nothing_is_owed_nothing",
        "one wrong answer of Creem's, and a charge that was to go back is closed as owed nothing by nobody",
        ("tests/money/test_approved.py::test_charge_that_is_not_the_one_approved_is_a_persons",),
        (("worker/cases/money/charges.py", " and not _once_claimed(tx, seen.id):", ":"),),
    ),
    Bug(
        "withdrawn_proposal_frees_what_others_hold",
        "credits can be spent while the bank, or a refund on its way, has their money",
        (
            "tests/review/test_disputes_over.py"
            "::test_proposal_that_is_withdrawn_frees_nothing_that_a_dispute_or_a_refund_holds_since",
        ),
        (("worker/cases/review/act.py", "    for lot in holds.held(tx, frozen):\n        del frozen[lot]\n", ""),),
    ),
    Bug(
        "several_units_of_a_subscription_cost_what_one_does",
        "who pays for three seats gets the credits of one, and no refund of them can leave, for Creem shows another amount",
        ("tests/creem/test_webhooks.py::test_price_of_several_units_is_what_their_transaction_says_else_that_of_each",),
        (("worker/creem/webhooks.py", "money(money(value) * of_it)", "money(value)"),),
    ),
    Bug(
        "second_payment_of_an_order_is_the_first_told_again",
        "an order that was paid twice is kept twice without a word: no purchase, no case, no letter",
        ("tests/money/test_told.py::test_order_that_was_paid_twice_is_a_persons_and_once_imported_a_duplicate",),
        (
            (
                "worker/cases/money/told.py",
                "if told is None or booked in {None, told}:",
                "if True:",
            ),
        ),
    ),
    Bug(
        "order_of_a_subscription_means_its_first_charge",
        "who asks for yesterday's renewal by the only order that a subscription has is told that it is too late",
        ("tests/requests/test_renewals.py::test_order_of_a_subscription_means_its_last_charge",),
        (("worker/cases/requests/identify.py", "    if not its_jobs:\n", "    if False:\n"),),
    ),
    Bug(
        "older_word_of_an_end_is_passed_over",
        "who cancelled before a renewal, and again after being charged for it, is told that it was not cancelled in time",
        (
            "tests/requests/test_renewals.py::test_renewal_of_what_was_cancelled_before_it_is_no_no_in_whatever_order_that_is_told",
        ),
        (("worker/cases/money/ends.py", "return replace(self, cancelled_at=since)", "return self"),),
    ),
    Bug(
        "what_goes_on_after_a_renewal_undoes_its_end",
        "a renewal that was charged after its subscription was cancelled is declined, where the word that it goes on came first",
        (
            "tests/requests/test_renewals.py::test_renewal_of_what_was_cancelled_before_it_is_no_no_in_whatever_order_that_is_told",
        ),
        (("worker/cases/money/ends.py", "if self.ended or renewed_at < self.updated_at else None", "if self.ended else None"),),
    ),
    Bug(
        "reconcile_passes_missed_ends_over",
        "a renewal that missed its cancellation under an earlier release is declined for ever",
        ("tests/requests/test_renewals.py::test_end_that_a_purchase_missed_is_found_by_the_audit_and_mended_by_reconcile",),
        (("worker/cases/reconcile/reconcile.py", '            "subscriptions": lambda: self._ends(done),\n', ""),),
    ),
    Bug(
        "persons_no_asked_again",
        "what a person said of a charge is undone, and its money sent, by news of another charge",
        ("tests/review/test_claimed_before.py",),
        (("worker/cases/money/duplicate.py", "if declined_by_a_person(case) and not", "if False and not"),),
    ),
    Bug(
        "more_heard_than_paid",
        "a refund told of twice under two ids ends with the dead letters where there is no key to read by",
        ("tests/money/test_told.py::test_where_nothing_can_be_read_no_more_goes_back_than_was_paid",),
        (
            (
                "worker/cases/money/charges.py",
                "paid.get(transaction_id) or known.amount_paid, heard",
                "paid.get(transaction_id), heard",
            ),
        ),
    ),
    Bug(
        "end_of_a_claim_is_the_end_of_its_charge",
        "a charge that a person refunds after our claim failed leaves the customer the credits as well",
        ("tests/money/test_another_hand.py",),
        (
            (
                "worker/cases/money/settle.py",
                "(payment.closed_at is None or payment.state == PaymentState.REFUNDED.value)",
                "payment.state != PaymentState.NOT_NEEDED.value",
            ),
        ),
    ),
    Bug(
        "price_compared_with_what_was_paid",
        "of a charge with tax that went back whole some credits are left to spend",
        ("tests/money/test_another_hand.py::test_share_is_of_what_was_paid_with_tax",),
        (
            (
                "worker/cases/money/holds.py",
                "share_gone(lot.granted, lot.refunded, paid)",
                "share_gone(lot.granted, min(lot.refunded, lot.amount), paid)",
            ),
        ),
    ),
    Bug(
        "part_before_our_call_forgotten",
        "the share of what went back by another hand before our call is left to spend",
        ("tests/money/test_another_hand.py::test_part_that_went_back_before_our_call_takes_its_share_along",),
        (
            (
                "worker/cases/money/close.py",
                "    voided = holds.void_gone(tx, with_.ledger, payment.purchase_id, case_id=payment.case_id, now=with_.now)\n",
                "    voided = 0\n",
            ),
        ),
    ),
    Bug(
        "stopped_duplicate_said_to_be_owed",
        "of a duplicate that is disputed before its refund leaves, the customer is told that the earlier charge stays valid",
        ("tests/money/test_approved.py::test_duplicate_that_is_stopped_is_decided_anew_and_told_as_that",),
        (
            (
                "worker/cases/money/close.py",
                "with_.settler.judge_stopped(tx, case, payment.purchase_id, now) if target is CaseState.REVIEW else None",
                "None",
            ),
        ),
    ),
    Bug(
        "why_a_claim_ended_is_lost",
        "of a duplicate that a person approved and Creem would not take, nobody is told what Creem said",
        ("tests/review/test_claimed_before.py",),
        (
            (
                "worker/cases/money/duplicate.py",
                "decision.outcome is Outcome.REFUND_PAYMENT or decision.rule == decide_charge(charge_facts(case), terms).rule",
                "decision.outcome is Outcome.REFUND_PAYMENT",
            ),
        ),
    ),
    Bug(
        "chargeback_taken_for_a_refund",
        "nobody can say that a dispute was won once its charge was read, and the customer's credits stay frozen",
        ("tests/review/test_disputes_over.py",),
        (("worker/cases/money/charges.py", "shown if seen.tells_of_refunds or is_lost else heard", "shown"),),
    ),
    Bug(
        "won_dispute_goes_on_holding",
        "a job whose charge stands again after a dispute is held for a person, who may not give its credits",
        ("tests/review/test_disputes_over.py",),
        (("worker/cases/review/act.py", "        charges.stand_again(work.tx, work.case.subject)\n", ""),),
    ),
    Bug(
        "lost_dispute_goes_on_holding",
        "every job of a charge that the bank gave back waits for a person, who can only say no",
        ("tests/review/test_disputes_over.py::test_job_of_a_charge_that_was_lost_was_paid_back_by_the_bank",),
        (("worker/cases/review/act.py", "        charges.give_up(work.tx, work.case.subject, charge.facts.amount)\n", ""),),
    ),
    Bug(
        "lost_charge_is_disputed_anew_by_reads",
        "a charge that is done with is held again, and nobody is asked about it",
        ("tests/review/test_disputes_over.py::test_charge_that_was_lost_before_it_was_read_with_its_tax_is_gone_whole",),
        (
            (
                "worker/cases/money/charges.py",
                "    if disputed_at is None and seen.chargeback and over is None:\n",
                "    if disputed_at is None and seen.chargeback and over is not CaseState.DECLINED:\n",
            ),
        ),
    ),
    Bug(
        "next_dispute_asks_nobody",
        "a bank that comes back to a charge freezes its jobs' credits for ever, and nobody is told",
        ("tests/review/test_disputes_over.py",),
        (
            (
                "worker/cases/money/dispute.py",
                "    if case is not None and case.state is not CaseState.DECLINED:\n",
                "    if case is not None:\n",
            ),
        ),
    ),
    Bug(
        "late_word_of_the_next_dispute_is_taken_for_the_first",
        "a bank that came back before somebody said that the first was won has the money, and the customer the credits",
        ("tests/review/test_disputes_over.py",),
        (
            (
                "worker/cases/money/charges.py",
                "cases.c.failed_at > one.created_at + ASTRAY, ~named",
                "cases.c.closed_at >= one.created_at",
            ),
        ),
    ),
    Bug(
        "clock_of_creem_is_believed",
        "a second dispute is taken for the word of the first that was won, and a refund leaves beside it",
        ("tests/review/test_disputes_over.py",),
        (("worker/cases/money/charges.py", "cases.c.failed_at > one.created_at + ASTRAY", "cases.c.failed_at > one.created_at"),),
    ),
    Bug(
        "what_waited_for_a_dispute_sleeps_on",
        "a customer whose dispute is over waits another day for credits that are owed",
        ("tests/review/test_disputes_over.py",),
        (("worker/cases/review/act.py", ".values(next_action_at=work.now))", ".values(next_action_at=c.next_action_at))"),),
    ),
    Bug(
        "duplicate_sleeps_while_its_credits_come_back",
        "a person is asked for a day about credits that nobody used, and the money that is owed at once stays",
        ("tests/review/test_review.py",),
        (
            (
                "worker/cases/book/woken.py",
                "(CaseKind.REQUEST, CaseKind.DUPLICATE_CHARGE)",
                "(CaseKind.REQUEST,)",
            ),
        ),
    ),
    Bug(
        "who_asked_for_a_charge_sleeps_through_its_dispute",
        "a person is told for a day that the money of a charge is owed which the bank has",
        ("tests/review/test_disputes_over.py",),
        (
            ("worker/cases/money/seen.py", "        wake_about_orders(tx, [purchase.account_id], now)\n", ""),
            ("worker/cases/assess/assess.py", "if isinstance(item.said, PurchaseRecord | Webhook) for one", "if False for one"),
        ),
    ),
    Bug(
        "claim_that_ends_frees_what_is_to_be_forfeited",
        "credits that two people are about to forfeit can be spent, and they then forfeit nothing",
        ("tests/review/test_disputes_over.py::test_claim_that_ends_leaves_frozen_what_waits_to_be_forfeited",),
        (
            (
                "worker/cases/money/holds.py",
                "    credits = int(_lot(tx, purchase_id).frozen) - proposed(tx, purchase_id)\n",
                "    credits = int(_lot(tx, purchase_id).frozen)\n",
            ),
        ),
    ),
    Bug(
        "mail_of_the_dead_is_another_mail",
        "a customer has a letter twice whose sender died with it in its hands",
        ("tests/requests/test_notices.py",),
        (("worker/cases/effects/notifier.py", "    message_id = begun or f", "    message_id = f"),),
    ),
    Bug(
        "won_dispute_gives_back_what_is_to_be_forfeited",
        "what two people have yet to agree on is spent meanwhile",
        ("tests/review/test_disputes_over.py::test_dispute_won_leaves_frozen_what_another_case_proposes_to_forfeit",),
        (("worker/cases/review/act.py", "charge.facts.frozen - work.scene.proposed", "charge.facts.frozen"),),
    ),
    Bug(
        "withdrawn_forfeit_gives_back_what_is_gone",
        "credits whose money went back while they were frozen can be spent again",
        (
            "tests/review/test_disputes_over.py::test_credits_frozen_to_be_forfeited_are_void_when_their_money_went_back_meanwhile",
        ),
        (("worker/cases/review/act.py", "scene.now) for lot in frozen)\n    wake", "scene.now) for lot in ())\n    wake"),),
    ),
    Bug(
        "share_of_one_refund_booked_once",
        "credits that come back to a partly refunded purchase break every nightly look at its charge",
        ("tests/money/test_another_hand.py",),
        (("worker/cases/money/holds.py", 'f"outside.{lot.refunded}.{lot.void}"', 'f"outside.{lot.refunded}"'),),
    ),
    Bug(
        "untold_at_the_end",
        "Flower shows the last tasks of a worker that was stopped as never ended",
        ("tests/house/test_task_events.py",),
        (("worker/task_events.py", "_send_event_buffered\n            dispatcher.flush()", "_send_event_buffered"),),
    ),
    Bug(
        "last_tasks_told_too_late",
        "Flower shows tasks that ended while their worker stopped as never ended",
        ("tests/house/test_task_events.py",),
        (("worker/task_events.py", "dispatcher.on_send_buffered = consumer.on_send_event_buffered", "pass"),),
    ),
    Bug(
        "batch_not_part_of_the_outage",
        "whether a customer is paid by itself hangs on how many events one read brought",
        ("tests/cases/test_assess.py",),
        (
            (
                "worker/cases/assess/surroundings.py",
                "if job.ended_at is not None and since < job.ended_at <= until",
                "if job.ended_at is None",
            ),
        ),
    ),
    Bug(
        "doubt_without_budget",
        "an unknown code is a way to free credits",
        ("tests/policy",),
        (
            (
                "policy/rules/remedy.py",
                "in_budget = facts.doubt_credits_today + facts.standing_debit <= terms.doubt_credits_per_day",
                "in_budget = True",
            ),
        ),
    ),
    Bug(
        "seven_days_in_the_wrong_zone",
        "a customer in the last zone on earth loses half a day of the window",
        ("tests/policy",),
        (
            ("policy/rules/requests.py", "terms.request_window_days, terms.zone)", "terms.request_window_days, UTC_ZONE)"),
            (
                "policy/rules/requests.py",
                "from policy.calendar import within_window\n",
                "from zoneinfo import ZoneInfo\nfrom policy.calendar import within_window\nUTC_ZONE = ZoneInfo('UTC')\n",
            ),
        ),
    ),
    Bug(
        "rerun_deadline_forgotten",
        "a customer whose re-run never answers is never paid",
        ("tests/cases/test_assess.py::test_rerun_nobody_hears_is_asked_again_with_the_same_order_until_its_deadline",),
        (
            ("worker/cases/assess/judge.py", "elif book.now >= rerun.deadline_at:", "elif False:"),
            ("policy/reruns.py", " and facts.now < rerun.deadline_at and ", " and "),
        ),
    ),
    Bug(
        "observe_that_acts",
        "a trial run gives credits back",
        ("tests/cases/test_assess.py::test_observe_decides_and_does_nothing",),
        (("worker/cases/assess/carry_out.py", "held = mode is Mode.OBSERVE", "held = mode is Mode.CREDITS_ONLY"),),
    ),
    # money: at most once, proved
    Bug(
        "timeout_is_a_reason_to_send_again",
        "an answer that was lost pays twice",
        (
            "tests/money/test_procedure.py::test_each_answer_has_its_way",
            "tests/money/test_plans.py::test_every_trouble_alone_ends_proved_or_with_a_person",
        ),
        (
            (
                "worker/cases/money/record.py",
                "            # nothing shows that a throttled refund was not executed: it is not sent again (A16)\n"
                "            unknown(tx, payment, case, answer.detail, with_)",
                "            _not_sent(tx, payment, case, answer, with_)",
            ),
        ),
    ),
    Bug(
        "lost_call_is_sent_again",
        "a process that died after its call pays twice when it comes back",
        ("tests/money/test_plans.py::test_dying_around_a_call_that_the_reads_do_not_show_yet_sends_nothing_twice",),
        (
            (
                "worker/cases/money/arm.py",
                "not in {PaymentState.CLAIMED.value, PaymentState.REFUSED.value}",
                "not in {PaymentState.CLAIMED.value, PaymentState.REFUSED.value, PaymentState.UNKNOWN.value, PaymentState.SENDING.value}",
            ),
            (
                "worker/cases/money/pay.py",
                "state=PaymentState.UNKNOWN, next_step=READ)",
                "state=PaymentState.UNKNOWN, next_step=SEND)",
            ),
            (
                "policy/lifecycle.py",
                "    _P.UNKNOWN: frozenset({_P.CONFIRMING, ",
                "    _P.UNKNOWN: frozenset({_P.SENDING, _P.CONFIRMING, ",
            ),
        ),
    ),
    Bug(
        "dispute_not_looked_at",
        "money goes back twice: by us and by the bank",
        ("tests/money/test_procedure.py::test_dispute_that_we_were_told_of_and_no_read_shows_yet_stops_the_call",),
        (
            ("worker/cases/money/approved.py", "    if ours.disputed_at is not None:\n", "    if False:\n"),
            ("worker/cases/money/approved.py", "    if seen.chargeback:\n", "    if False:\n"),
        ),
    ),
    Bug(
        "kept_charge_not_looked_at",
        "both charges go back and the customer has paid for nothing",
        ("tests/money/test_approved.py",),
        (("worker/cases/money/approved.py", "    return _kept_is_gone(intent) or _paid", "    return _paid"),),
    ),
    Bug(
        "refund_that_pends_is_none",
        "money goes back twice: by us and by whoever refunded it in the dashboard",
        (
            "tests/money/test_another_hand.py::test_refund_by_another_hand_is_waited_for_whatever_its_word_until_it_comes_to_nothing",
        ),
        (("worker/cases/money/charges.py", "creem_refunds.c.status.not_in(IN_VAIN)", "creem_refunds.c.status == SUCCEEDED"),),
    ),
    Bug(
        "charge_that_may_go_back_stays",
        "both charges go back, each because the other was to stay",
        ("tests/money/test_another_hand.py::test_charge_is_no_duplicate_of_one_whose_own_refund_is_under_way",),
        (
            ("worker/cases/money/arm.py", "if kept_id is not None and claims.is_open(", "if False and claims.is_open("),
            ("worker/cases/money/duplicate.py", " or _first_may_go(work, first)", ""),
        ),
    ),
    Bug(
        "more_leaves_than_was_shown",
        "one person sends what takes two, where only the price was known when they approved it",
        (
            "tests/review/test_claimed_before.py::test_money_approved_by_its_price_waits_until_what_was_paid_is_approved_by_as_many_as_that_needs",
        ),
        (("worker/cases/money/arm.py", "    other = not_as_shown(intent)\n", "    other = None\n"),),
    ),
    Bug(
        "money_that_did_not_arrive_is_settled_by_machine",
        "whoever says that the money never came is told that nothing more is owed",
        ("tests/requests/test_told.py::test_person_reads_that_the_money_did_not_show_up",),
        (("worker/cases/requests/facts.py", "told_paid=charge is not None and", "told_paid=charge is None and"),),
    ),
    Bug(
        "measures_for_what_a_stranger_asked",
        "an account loses its credits over a refund that it never asked for",
        ("tests/requests/test_denied.py::test_nobody_is_measured_by_or_told_of_what_only_others_asked_for",),
        (("worker/cases/review/choices.py", "CaseKind.REQUEST and not scene.own_mails", "CaseKind.JOB"),),
    ),
    Bug(
        "decided_over_what_came_since",
        "a page that was left open declines an objection that nobody read",
        ("tests/review/test_review.py::test_what_came_after_it_was_shown_is_not_decided_over",),
        (("worker/cases/review/shown.py", "row.outcome, *mails, *files]", "row.outcome]"),),
    ),
    Bug(
        "two_agree_to_what_one_was_shown",
        "two people agree to one amount, and another leaves",
        ("tests/review/test_review.py::test_what_two_people_agree_to_is_what_the_first_was_shown",),
        (("worker/cases/review/reviewer.py", "if now.gives and now.does != proposal.does:", "if False:"),),
    ),
    Bug(
        "person_sends_what_stays",
        "one click sends back both of two charges, while the refund of the earlier one is on its way",
        ("tests/money/test_another_hand.py::test_person_cannot_send_back_the_later_charge_beside_an_earlier_one_that_may_go",),
        (("worker/cases/review/choices.py", "if scene.first_may_go is not None:", "if False:"),),
    ),
    Bug(
        "old_page_takes_back_what_was_agreed_to",
        "whoever withdraws a proposal that they see ends the refund that two people agreed to since, and spends its one claim",
        ("tests/web/console/test_review.py::test_page_that_shows_a_proposal_takes_back_nothing_that_was_agreed_to_since",),
        (("worker/cases/review/withdraw.py", "if choice != REFUND or", "if _unsent(tx, row) is None or"),),
    ),
    Bug(
        "approval_repeated_is_counted_again",
        "one refund that waits uses up what a person may give in a day",
        ("tests/review/test_allowance.py::test_claim_that_is_approved_anew_counts_once",),
        (("worker/cases/review/allowance.py", "    if claim is None:\n        return 0\n", "    return 0\n"),),
    ),
    Bug(
        "word_that_nobody_knows_is_a_refund",
        "what the bank took is booked as given back by us, and nobody looks",
        ("tests/creem/test_transactions.py", "tests/money/test_arm.py"),
        (
            (
                "worker/creem/transactions.py",
                "self.remaining == 0 and self.tells_of_refunds",
                "self.remaining == 0 and not self.chargeback",
            ),
        ),
    ),
    Bug(
        "passing_read_spends_the_claim",
        "what is owed can never go back by us, for the charge was read a second before Creem showed it",
        ("tests/money/test_arm.py",),
        (("worker/cases/money/arm.py", "if payment.probes < len(charges.LOOKS) and", "if False and"),),
    ),
    Bug(
        "dispute_that_is_not_whole_holds_nothing",
        "money goes back twice: by us and by the bank, for the dispute named its amount in a way of its own",
        ("tests/creem/test_webhooks.py",),
        (("worker/creem/webhooks.py", "amount=try_(lambda: said.of", "amount=(lambda read: read())(lambda: said.of"),),
    ),
    Bug(
        "unnamed_disputes_are_one",
        "the next dispute of a charge is taken for the first that was won, and a refund leaves beside it",
        ("tests/review/test_disputes_over.py",),
        (("worker/creem/webhooks.py", 'f"unnamed:{event.id}"', 'f"unnamed:{transaction_id}"'),),
    ),
    Bug(
        "line_without_its_call_is_nothing",
        "a call that the journal alone remembers is armed and made again",
        ("tests/money/test_whole_way.py::test_journal_line_whose_commit_never_came_is_an_unknown_call_and_nothing_is_sent",),
        (("worker/cases/money/arm.py", "if before and before[-1].attempt > payment.attempts:", "if False:"),),
    ),
    Bug(
        "sent_call_is_said_to_be_unsent",
        "a person is told that nothing could be sent, and sends again what is on its way",
        ("tests/money/test_procedure.py::test_claim_that_waited_for_days_and_was_sent_is_nobodys_before_its_call_is_old",),
        (("worker/cases/money/close.py", "left=state in MAY_HAVE_LEFT)", "left=False)"),),
    ),
    Bug(
        "amount_not_compared",
        "a charge of another size than was approved is sent back",
        ("tests/money/test_approved.py",),
        (("worker/cases/money/approved.py", "if payment.amount not in {seen.amount_paid, seen.amount}:", "if False:"),),
    ),
    Bug(
        "customer_not_compared",
        "somebody else's charge is sent back",
        ("tests/money/test_approved.py",),
        (("worker/cases/money/approved.py", "seen.customer != booked.customer_id:", "False:"),),
    ),
    Bug(
        "no_limit_on_money",
        "a defect empties the till before anybody looks",
        ("tests/money/test_limits.py", "tests/money/test_procedure.py"),
        (("worker/cases/money/limits.py", "if sent + amount > limit and not shown:", "if False:"),),
    ),
    Bug(
        "held_account_ends_the_round_of_payments",
        "a transaction that somebody left open on one account keeps the claims of all others from being paid, again and again",
        ("tests/money/test_told.py::test_claim_whose_account_somebody_holds_keeps_no_other_waiting",),
        (
            (
                "worker/cases/money/pay.py",
                '            said = f"later, {error}:"\n',
                "            raise\n",
            ),
        ),
    ),
    Bug(
        "claim_whose_case_takes_nobody_ends_the_round",
        "one claim that cannot be worked on, of a case that cannot be handed over, keeps all others of the round from being paid",
        ("tests/money/test_procedure.py::test_claim_that_cannot_be_worked_on_stops_alone",),
        (
            (
                "worker/cases/money/pay.py",
                '            log.exception("payment.not_set_aside", transaction_id=turn.transaction_id)\n',
                "            raise\n",
            ),
        ),
    ),
    Bug(
        "refused_key_stops_nobody_else",
        "every claim calls with a key that was just refused",
        ("tests/money/test_procedure.py::test_key_that_was_refused_is_tried_by_no_other_claim_meanwhile",),
        (
            (
                "worker/cases/money/record.py",
                "        limits.open_until(tx, limits.KEY, now + limits.KEY_TROUBLE, answer.detail)\n",
                "",
            ),
        ),
    ),
    Bug(
        "answer_for_another_charge_stops_nobody",
        "Creem answers for other charges than we ask for, and money goes on leaving",
        ("tests/money/test_procedure.py::test_answer_for_another_charge_stops_all_money_until_a_person_releases_it",),
        (
            (
                "worker/cases/money/record.py",
                "        limits.open_until(tx, limits.MONEY, limits.FOR_EVER, why, needs_person=True)\n",
                "",
            ),
        ),
    ),
    Bug(
        "call_not_sent_is_not_counted",
        "a Creem that takes no connection is called on and on",
        ("tests/money/test_procedure.py::test_call_that_was_not_sent_is_one_of_the_five_after_which_creem_is_left_alone",),
        (("worker/cases/money/record.py", "    limits.away(tx, answer.detail, with_.now)\n", ""),),
    ),
    Bug(
        "step_in_the_dashboard_is_told_a_day_later",
        "a refund that waits for a hand at Creem waits for a day before a person hears of it",
        ("tests/money/test_procedure.py::test_refund_that_may_need_a_hand_in_the_dashboard_is_a_persons_within_the_turn",),
        (("worker/cases/money/record.py", '        if answer.status != "pending":\n', "        if False:\n"),),
    ),
    Bug(
        "calls_that_come_to_nothing_spend_every_claim",
        "where Creem hears no refund call each charge that is due is called for once and never again: nobody is paid by itself",
        ("tests/money/test_procedure.py::test_calls_that_come_to_nothing_end_before_they_have_spent_every_claim",),
        (("worker/cases/money/record.py", "            limits.call_in_vain(tx, answer, with_.now)\n", ""),),
    ),
    Bug(
        "retry_after_of_a_refund_call_is_not_read",
        "every claim is sent into a Creem that has too many calls, and is a person's",
        ("tests/money/test_procedure.py::test_creem_that_has_too_many_calls_gets_no_other_before_it_wants_one",),
        (
            (
                "worker/creem/post.py",
                "        return replace(answer, retry_after=retry_after(heard.response, self._clock.now()))\n",
                "        return answer\n",
            ),
        ),
    ),
    Bug(
        "page_of_a_firewall_is_a_no_of_creems",
        "one charge whose id a firewall does not like stops all money, and a right key is said to be wrong",
        (
            "tests/creem/test_reads.py::test_status_decides_whether_it_is_asked_again",
            "tests/money/test_procedure.py::test_page_of_a_firewall_about_one_charge_holds_no_other_and_is_not_about_the_key",
        ),
        (("worker/creem/reads.py", "        if said.refuses:\n", "        if said.no:\n"),),
    ),
    Bug(
        "address_without_a_way_takes_all_of_the_time",
        "where the first address of Creem's host cannot be reached no refund leaves, though the next one answers",
        ("tests/creem/test_sockets.py::test_address_where_nobody_is_leaves_time_for_the_next_one",),
        (("worker/deadline.py", "            share = left / (1 + len(addresses) - tried)\n", "            share = left\n"),),
    ),
    Bug(
        "where_a_redirect_leads_is_read",
        "a portal on the way has a person called for every charge that is due, and re-runs that nobody hears are told to nobody",
        (
            "tests/creem/test_sockets.py::test_redirect_that_leads_nowhere_is_a_redirect_like_any_other",
            "tests/reruns/test_http.py::test_redirect_that_leads_nowhere_is_not_heard_and_names_the_setting",
        ),
        (("worker/deadline.py", "headers=_unled(got.headers)", "headers=got.headers"),),
    ),
    Bug(
        "what_a_gateway_says_of_us_is_a_no_to_the_job",
        "behind a wrong password no job is ever run again, and nobody is told",
        ("tests/reruns/test_http.py::test_status_decides_what_is_known",),
        (("worker/reruns/http.py", "        if status in _NOT_OF_THE_JOB:\n", "        if status in _AGAIN:\n"),),
    ),
    Bug(
        "delivery_that_goes_astray_is_told_to_nobody",
        "behind a proxy that keeps its prefix every webhook is answered 404 for good, and purchases are missed without a word",
        ("tests/web/test_app.py::test_delivery_that_went_astray_on_the_way_is_told_to_who_is_on_call",),
        (("worker/web/app.py", "        if SIGNATURE in request.headers:\n", "        if False:\n"),),
    ),
    Bug(
        "doctor_listens_to_the_pipeline_for_ever",
        "on call, `refunds doctor` never comes to its end where a server in the pipeline's place goes on and on",
        (
            "tests/scenarios/test_commands.py"
            "::test_doctor_comes_to_an_end_whatever_the_pipeline_answers_and_shows_nothing_of_the_sign_in",
        ),
        (
            (
                "worker/cli/doctor/examine.py",
                "with client_of() as client, client.stream(",
                "with httpx.Client(trust_env=False) as client, client.stream(",
            ),
        ),
    ),
    Bug(
        "throttled_refund_is_sent_again",
        "a refund that Creem carried out behind its 429 is paid twice",
        ("tests/money/test_procedure.py::test_refund_that_was_too_much_at_once_is_read_and_never_called_again",),
        (
            (
                "worker/cases/money/record.py",
                "        case CallOutcome.THROTTLED | CallOutcome.UNKNOWN:\n",
                "        case CallOutcome.THROTTLED:\n            _not_sent(tx, payment, case, answer, with_)\n"
                "        case CallOutcome.UNKNOWN:\n",
            ),
        ),
    ),
    Bug(
        "hints_as_many_as_events",
        "the queue grows faster than anybody works it off",
        ("tests/scenarios/test_hints.py",),
        (
            ("worker/tasks.py", "if to_announce and _ANNOUNCE_HINTS.due():", "if to_announce:"),
            ("worker/tasks.py", "batch > 1 and _DRAIN_HINTS.due()", "batch > 1"),
        ),
    ),
    Bug(
        "backlog_with_one_repeated_event_is_left_to_the_intake",
        "while producers send again what they sent, or one line in hundreds is no event, all others wait fourteen times as long",
        ("tests/scenarios/test_hints.py::test_task_processes_are_called_to_a_backlog_whatever_of_it_is_new",),
        (("worker/intake/process.py", "len(entries) >= AT_ONCE", "len(accepted) >= AT_ONCE"),),
    ),
    Bug(
        "reconcile_agrees_with_whom_it_did_not_ask",
        "in an outage of Creem's a person is told that both sides agree, and lifts the stop after a restore",
        ("tests/money/test_reconcile.py::test_customers_of_whom_nobody_was_asked_are_not_agreed_with",),
        (("worker/cases/reconcile/customers.py", "    if not left:\n", "    if left:\n"),),
    ),
    Bug(
        "reruns_that_nobody_hears_keep_announcements_back",
        "in an outage of the pipeline the product does not hear of credits that came back",
        ("tests/cases/test_assess.py::test_reruns_that_nobody_hears_keep_no_announcement_back",),
        (("worker/store/effects.py", "_KINDS_DUE = DUE.distinct()", "_KINDS_DUE = DUE.order_by(effects.c.due_at).limit(5)"),),
    ),
    Bug(
        "one_announcement_of_many_a_sweep",
        "after an outage the product hears of credits that came back hours later",
        ("tests/cases/test_told_together.py::test_intents_that_piled_up_are_all_made_in_one_turn",),
        (
            (
                "worker/cases/effects/effects.py",
                "            if not for_all and len(alone) < self.batch:\n                break\n",
                "            break\n",
            ),
        ),
    ),
    Bug(
        "everybody_calls_creem_at_once",
        "a Creem that comes back is met by every process together",
        ("tests/money/test_procedure.py::test_while_one_process_asks_creem_no_other_does",),
        (("worker/cases/money/turn.py", "    return leases.take(tx, FLOOR, holder, now, now + lease)", "    return True"),),
    ),
    Bug(
        "effect_claimed_for_no_time",
        "two sweeps carry out one effect",
        ("tests/store/test_claims.py::test_effect_that_somebody_is_at_is_nobody_elses_until_the_time_for_it_is_over",),
        (
            (
                "worker/store/effects.py",
                '"attempts": effects.c.attempts + 1, "due_at": bindparam("until")}',
                '"attempts": effects.c.attempts + 1}',
            ),
        ),
    ),
    Bug(
        "nobody_is_told_how_long_a_case_waits",
        "the oldest case of the queue lies there unseen",
        ("tests/cases/test_overview.py::test_since_when_the_oldest_case_waits_for_a_person_is_said",),
        (("worker/cases/overview.py", '"oldest_at": moment(oldest), "proposals"', '"oldest_at": None, "proposals"'),),
    ),
    Bug(
        "file_is_read_before_it_is_locked",
        "of two who look and then write one fails or knows nothing of the other",
        ("tests/store/test_engine.py",),
        (("worker/store/sqlite.py", '"begin immediate" if writing else "begin"', '"begin"'),),
    ),
    Bug(
        "file_shared_over_the_network",
        "two hosts write one file at once and ruin it",
        ("tests/store/test_engine.py::test_file_of_sqlite_on_a_network_is_refused_and_not_made",),
        (("worker/store/sqlite.py", "        _refuse_network(file, mounts)\n", "        pass\n"),),
    ),
    Bug(
        "old_sqlite_with_a_write_ahead_log",
        "two connections that copy the log back at once ruin the file",
        ("tests/store/test_engine.py::test_file_is_opened_the_safe_way",),
        (("worker/store/sqlite.py", '"wal" if sqlite3.sqlite_version_info >= WAL_FROM else "delete"', '"wal"'),),
    ),
    Bug(
        "declared_length_is_not_looked_at",
        "whoever says a gigabyte is listened to",
        ("tests/web/test_app.py::test_body_that_says_it_is_large_is_refused_without_a_look_at_it",),
        (
            (
                "worker/web/body.py",
                "    if declared.isascii() and declared.isdigit() and int(declared[:20]) > most:\n        return None\n",
                "",
            ),
        ),
    ),
    Bug(
        "taken_back_after_it_was_sent",
        "a refund that is on its way is called taken back, its credits are spent, and it is paid",
        ("tests/review/test_claimed_before.py::test_refund_of_which_a_call_may_have_left_is_not_taken_back",),
        (
            (
                "worker/cases/review/withdraw.py",
                "claim if claim is not None and claims.nothing_left(tx, claim) else None",
                "claim",
            ),
        ),
    ),
    Bug(
        "asked_to_stay_away_and_calls",
        "Creem asks for two hours, is called every few minutes, and takes the key away",
        ("tests/money/test_limits.py",),
        (("worker/store/breakers.py", "min(asked or 0, LONGEST_ASKED", "min(0, LONGEST_ASKED"),),
    ),
    Bug(
        "two_that_arm_at_once_do_not_count_each_other",
        "more money leaves in an hour than the terms allow",
        ("tests/money/test_races.py::test_two_that_arm_at_once_are_counted_one_after_the_other",),
        (
            (
                "worker/cases/money/limits.py",
                "breakers.c.name == MONEY).with_for_update())\n    if stands.open_until",
                "breakers.c.name == MONEY))\n    if stands.open_until",
            ),
        ),
    ),
    Bug(
        "second_stop_is_lost",
        "who releases their own stop lifts that of somebody else, whom nobody heard",
        ("tests/money/test_limits.py",),
        (("worker/cases/money/limits.py", 'values["last_error"] = f"{stands.last_error}{AND}{why}"', "pass"),),
    ),
    Bug(
        "forfeit_agreed_to_after_the_end",
        "a forfeit proposed while the case waited is carried out when it is closed and its suspension could be lifted",
        (
            "tests/review/test_review.py::test_proposal_that_outlived_its_case_is_not_agreed_to_where_the_suspension_can_be_lifted",
        ),
        (
            (
                "worker/cases/review/reviewer.py",
                "    if not waits_for_a_person(row):\n        # what was proposed",
                "    if False:\n        # what was proposed",
            ),
        ),
    ),
    Bug(
        "product_suspension_lifted_here",
        "one person opens an account that the product keeps shut, under a case of long ago",
        ("tests/review/test_review.py",),
        (
            (
                "worker/cases/documents/suspended.py",
                "AccountStatus.SUSPENDED.value, a.suspended_here",
                "AccountStatus.SUSPENDED.value",
            ),
        ),
    ),
    Bug(
        "release_of_what_was_not_shown",
        "a stop that came while somebody read the question is lifted by their yes",
        ("tests/money/test_limits.py",),
        (("worker/cases/money/limits.py", "if shown not in {None, stopped[0]}:", "if False:"),),
    ),
    Bug(
        "old_release_lets_anything_through",
        "after a drill the next refund leaves, however far it is over the limit",
        ("tests/money/test_limits.py",),
        (("worker/cases/money/limits.py", "stands.transaction_id == transaction_id and released > now - span", "True"),),
    ),
    Bug(
        "money_in_any_mode",
        "credits_only and observe send money",
        ("tests/money/test_approved.py::test_claim_made_before_the_mode_was_changed_waits",),
        (("worker/cases/money/pay.py", "if mode is not Mode.FULL:", "if False:"),),
    ),
    Bug(
        "belief_taken_for_proof",
        "a refund that never happened is called done, and the customer is silently not paid",
        ("tests/money/test_procedure.py", "tests/money/test_plans.py::test_every_trouble_alone_ends_proved_or_with_a_person"),
        (("worker/cases/money/prove.py", "    if seen.refunded_whole:\n        if state", "    if True:\n        if state"),),
    ),
    Bug(
        "success_is_believed",
        "a refund that Creem calls succeeded and never makes is called done, and the customer is silently not paid",
        ("tests/money/test_procedure.py::test_refund_that_creem_calls_succeeded_is_done_when_the_charge_shows_it",),
        (
            ("worker/cases/money/record.py", "import Closing, hand_over, overdue", "import Closing, hand_over, overdue, proved"),
            (
                "worker/cases/money/record.py",
                "        move(tx, payment, PaymentState.CONFIRMING, next_step=READ, due_at=now, detail=None)\n",
                "        move(tx, payment, PaymentState.CONFIRMING, next_step=READ, due_at=now, detail=None)\n"
                "        payment = tx.one(select(payments).where(payments.c.payment_id == payment.payment_id))\n"
                "        return proved(tx, payment, case, payment.amount, with_)\n",
            ),
        ),
    ),
    Bug(
        "refusal_is_called_again_at_once",
        "a refund that Creem refuses is called for over and over, and the customer hears of it when the claim has no time left",
        ("tests/money/test_procedure.py::test_refund_that_creem_refuses_is_called_once_and_a_persons",),
        (
            (
                "worker/cases/money/record.py",
                "PaymentState.REFUSED, next_step=READ, refusals=refusals, due_at=now",
                "PaymentState.REFUSED, next_step=SEND, refusals=refusals, due_at=now",
            ),
        ),
    ),
    Bug(
        "key_that_may_not_refund_is_tried_for_ever",
        "a key without the right to refund is tried every ten minutes, and no person has the customer's case",
        ("tests/money/test_procedure.py::test_key_that_may_not_refund_is_a_persons_after_a_day",),
        (("worker/cases/money/record.py", "if answer.key_trouble and refusals <= KEY_REFUSALS:", "if answer.key_trouble:"),),
    ),
    Bug(
        "claim_moves_where_the_lifecycle_has_no_way",
        "a call that may have moved money leads back to another, wherever the code has it so by mistake, and nobody hears of it",
        ("tests/money/test_races.py::test_claim_moves_only_where_the_lifecycle_has_a_way",),
        (("worker/cases/money/turn.py", "if to is not was and to not in PAYMENT_MOVES[was]:", "if False:"),),
    ),
    Bug(
        "word_that_nobody_knows_ends_a_claim",
        "the credits of money that a bank may have can be spent, for Creem had refused our call",
        ("tests/money/test_another_hand.py::test_claim_is_not_ended_by_a_word_that_nobody_knows_though_creem_said_no",),
        (("worker/cases/money/prove.py", "and (seen.tells_of_refunds or seen.chargeback):", "and True:"),),
    ),
    Bug(
        "claim_and_dispute_wait_for_each_other",
        "credits stay frozen for good: the claim waits for the chargeback to go, and `won` for the claim to end",
        ("tests/review/test_claimed_before.py::test_claim_that_creem_refused_waits_for_no_dispute_to_end",),
        (("worker/cases/money/prove.py", "and (seen.tells_of_refunds or seen.chargeback):", "and seen.tells_of_refunds:"),),
    ),
    Bug(
        "failure_of_another_hand",
        "a colleague's refund that failed ends ours that is on its way: its credits are spent, and the money is sent by hand too",
        (
            "tests/money/test_ends.py::test_the_one_refund_that_came_to_nothing_ends_a_claim_only_when_ours_was_not_proved_in_time",
        ),
        (
            (
                "worker/cases/money/prove.py",
                "        if with_.now >= patience_ends(payment, case, with_, left=True):",
                "        if True:",
            ),
        ),
    ),
    Bug(
        "refusal_counts_as_silence",
        "a charge that Creem refuses to show counts as Creem being away, and five such answers hold everybody's money",
        ("tests/money/test_told.py::test_charge_that_creem_refuses_to_show_is_no_word_of_creem_being_away",),
        (
            (
                "worker/cases/money/pay.py",
                'return self._leave(transaction_id, limits.KEY_TROUBLE, "refused")',
                "return self._look_later(transaction_id, CreemAway(str(refusal)))",
            ),
        ),
    ),
    Bug(
        "failure_before_our_call",
        "a refund cancelled before our call ends ours that is on its way, where Creem's clock is ahead",
        ("tests/money/test_ends.py::test_refund_heard_of_before_our_call_ends_no_claim_whatever_creems_clock_says",),
        (("worker/cases/money/prove.py", "min(told[0].created_at, told[0].heard_at)", "told[0].created_at"),),
    ),
    Bug(
        "lying_proof_believed",
        "what a read shows once is booked and told to the customer, though the read before the call showed another amount",
        ("tests/money/test_approved.py",),
        (
            (
                "worker/cases/money/prove.py",
                "if payment.charged is not None and seen.amount_paid not in {None, payment.charged}:",
                "if False:",
            ),
        ),
    ),
    Bug(
        "unknown_forgotten",
        "a claim that is never proved is nobody's",
        ("tests/money/test_procedure.py::test_each_answer_has_its_way",),
        (
            ("worker/cases/money/prove.py", "    if now >= ends:\n", "    if False:\n"),
            ("worker/cases/money/prove.py", "    elif now + pause > ends:\n", "    elif False:\n"),
        ),
    ),
    Bug(
        "answer_of_another_call",
        "the answer to an earlier call moves the claim of a later one",
        ("tests/money/test_approved.py",),
        (
            (
                "worker/cases/money/record.py",
                "    if not fresh or not waits:\n",
                "    if False:\n",
            ),
        ),
    ),
    Bug(
        "late_permission_still_sends",
        "a frozen process sends long after everybody gave the call up",
        ("tests/creem/test_once.py",),
        (("worker/creem/post.py", "and timer() >= until:", "and False:"),),
    ),
    # outsiders
    Bug(
        "webhook_signature_not_checked",
        "anybody can say that a charge was disputed or refunded",
        ("tests/web/test_app.py", "tests/creem/test_webhooks.py"),
        (("worker/creem/webhooks.py", "and hmac.compare_digest(made, header)", "and bool(made)"),),
    ),
    Bug(
        "pages_do_not_escape",
        "a job's error text runs as a script in an operator's browser",
        ("tests/web/console/test_pages.py",),
        (("worker/web/console/pages.py", "autoescape=True", "autoescape=False"),),
    ),
    Bug(
        "forms_without_a_token",
        "another site decides cases in an operator's name",
        ("tests/web/console",),
        (
            (
                "worker/web/console/guard.py",
                "if not hmac.compare_digest(sent.encode(), visit.session.csrf.encode()):",
                "if False:",
            ),
        ),
    ),
    Bug(
        "console_answers_to_any_name",
        "a name that points at the console reaches it from any page",
        ("tests/web/console/test_guard.py",),
        (("worker/web/console/guard.py", "if not self.hosts.allow(request):", "if False:"),),
    ),
    Bug(
        "terminal_believes_what_it_prints",
        "an event rewrites an operator's screen",
        ("tests/scenarios/test_commands.py::test_hostile_text_never_reaches_the_terminal_as_it_is",),
        (("worker/screen.py", "c if c.isprintable() else", "c if True else"),),
    ),
    # people
    Bug(
        "own_second_person",
        "one person suspends an account alone",
        ("tests/review/test_review.py", "tests/review/test_allowance.py"),
        (("worker/cases/review/reviewer.py", "if by == proposal.proposed_by:", "if False:"),),
    ),
    Bug(
        "any_signature_will_do",
        "whoever can write to the stream speaks for every producer",
        ("tests/intake/test_signature.py",),
        (("worker/intake/signature.py", "if not hmac.compare_digest(said, key.sign(raw).encode()):", "if False:"),),
    ),
    Bug(
        "link_of_one_moment",
        "a table that is written anew while its link is made was empty at that moment, and honest rows are named as put in for ever",
        ("tests/cases/test_chain.py::test_rows_of_a_table_that_is_written_anew_meanwhile_are_none_that_were_put_in",),
        (
            (
                "worker/cases/chain/chainer.py",
                "            if self.store.read(lambda tx: _due(tx, table, now)) is None:\n                break\n"
                "            rows = self.store.write(lambda tx: self._add(tx, table, now))\n",
                "            link = self.store.read(lambda tx: next_link(tx, table, self.batch, now))\n"
                "            rows = None if link is None else self.store.write(\n"
                "                lambda tx: tx.insert_new(chain_links, [link], chain_links.c.number) and link['rows']\n            )\n",
            ),
        ),
    ),
    Bug(
        "files_looked_up_in_one_moment",
        "files of customers are deleted because the table of their rows was written anew at that moment",
        ("tests/requests/test_evidence.py::test_file_whose_row_is_written_anew_meanwhile_is_no_leftover",),
        (
            (
                "worker/cases/requests/evidence.py",
                "rows = self.store.write(lambda tx: tx.all(wanted",
                "rows = self.store.read(lambda tx: tx.all(wanted",
            ),
        ),
    ),
    Bug(
        "chain_that_waits_for_nobody",
        "an honest row that commits late is named as put in",
        ("tests/cases/test_chain.py",),
        (("worker/cases/chain/chainer.py", "return bool(oldest_open < last.horizon <= next_xid)", "return False"),),
    ),
    Bug(
        "slices_below_the_limit",
        "one person sends back any sum in a day, in slices",
        ("tests/review/test_allowance.py::test_slices_that_reach_the_limit_are_given_alone_and_one_cent_more_is_not",),
        (
            (
                "worker/cases/review/reviewer.py",
                "return self._allowance(tx, by).checked(chosen, before), before",
                "return chosen, before",
            ),
        ),
    ),
    Bug(
        "lease_that_holds_nobody_off",
        "two people decide one case",
        ("tests/review/test_review.py",),
        (
            (
                "worker/store/leases.py",
                'free = or_(leases.c.until <= bindparam("now"), leases.c.holder == new.excluded.holder)',
                "free = or_(leases.c.until <= bindparam(\"now\"), leases.c.holder != '')",
            ),
        ),
    ),
    Bug(
        "files_end_with_the_first_thing_that_is_left",
        "a person decides the rest of a mail without what its customer sent to prove it",
        ("tests/requests/test_rest.py",),
        (("worker/cases/requests/evidence.py", "    to = _left(tx, over)\n", "    to: dict[str, Record] = {}\n"),),
    ),
    Bug(
        "files_kept_for_ever",
        "customers' files outlive the promise",
        ("tests/requests/test_evidence.py",),
        (
            (
                "worker/cases/requests/evidence.py",
                "and_(now - hours / 2 >= DECIDED_AT, evidence",
                "and_(now - hours * 1000 >= DECIDED_AT, evidence",
            ),
        ),
    ),
    Bug(
        "told_by_the_name_of_its_case",
        "after a restore the product is told of the same credits under another identity, and books them twice",
        ("tests/cases/test_told_together.py",),
        (("worker/cases/book/casework.py", 'key.replace(case.case_id, f"{case.kind.value}:{case.subject}", 1)', "key"),),
    ),
    Bug(
        "files_go_as_they_come",
        "an edition that lets files be kept for one day has them deleted before a person can look at them",
        ("tests/requests/test_evidence.py::test_file_that_may_be_kept_for_a_day_is_there_to_be_looked_at",),
        (("worker/cases/requests/evidence.py", "most - min(BEFORE_THE_LAST_DAY, most / 2)", "most - BEFORE_THE_LAST_DAY"),),
    ),
    Bug(
        "order_hidden_by_a_job_of_its_name",
        "who decides about an order decides about a job of another account that has the same id",
        ("tests/review/test_named_by_a_person.py::test_id_that_is_a_jobs_and_an_orders_changes_neither_case",),
        (
            (
                "worker/cases/documents/document.py",
                "    if others := of_the_order(tx, row, name):\n        raise",
                "    if others := ():\n        raise",
            ),
        ),
    ),
    Bug(
        "folder_of_another_database_is_swept",
        "an observer that shares the folder deletes the files of open cases of the live installation",
        ("tests/requests/test_evidence.py::test_folder_of_another_database_is_neither_swept_nor_written_to",),
        (("worker/cases/requests/evidence.py", "        if not mark.is_ours():\n            return 0, []\n", ""),),
    ),
    Bug(
        "row_deletes_in_the_folder_of_another_database",
        "a copy of the books, given another's folder, deletes what lies there",
        ("tests/requests/test_evidence.py::test_row_deletes_nothing_in_the_folder_of_another_database",),
        (("worker/cases/requests/evidence.py", "            self.files.mark.require_ours()\n", ""),),
    ),
    Bug(
        "all_leftovers_in_one_turn",
        "a folder full of leftovers keeps every process that takes what customers send past the time of its task",
        ("tests/requests/test_evidence.py::test_turn_deletes_some_of_many_leftovers_and_the_next_goes_on",),
        (("worker/cases/requests/evidence.py", "            if count >= MOST_LEFTOVERS:\n", "            if count < 0:\n"),),
    ),
    Bug(
        "folder_looked_through_with_every_turn",
        "with many files of open cases the turns follow each other without a pause, and mails wait",
        ("tests/requests/test_evidence.py::test_whole_folder_is_looked_through_once_an_hour_whoever_sweeps",),
        (("worker/cases/requests/evidence.py", "by=installation.c.name, where=due)", "by=installation.c.name)"),),
    ),
    Bug(
        "folder_without_a_mark_is_anybodys",
        "whoever writes first after the upgrade owns the files of the live installation, and deletes them as leftovers",
        ("tests/requests/test_evidence.py::test_folder_of_another_database_is_neither_swept_nor_written_to",),
        (("worker/cases/requests/mark.py", "        return not some\n", "        return True\n"),),
    ),
    Bug(
        "any_name_is_ours",
        "the sweep deletes whatever else lies in the folder that it was given",
        ("tests/requests/test_evidence.py::test_what_others_keep_in_the_folder_stays",),
        (
            ("worker/cases/requests/files.py", "                    if ours and entry", "                    if entry"),
            (
                "worker/cases/requests/files.py",
                "        if not (_WHOLE.fullmatch(name) or _HALF.fullmatch(name)):",
                "        if not name:",
            ),
        ),
    ),
    Bug(
        "what_came_after_the_backup_is_a_leftover",
        "books out of a backup, or a staging made of a copy, delete the files that came since",
        (
            "tests/requests/test_evidence.py::test_books_out_of_a_backup_delete_nothing_that_came_after_it_before_the_longest_time",
        ),
        (("worker/cases/requests/evidence.py", "            whole = now - self._longest(now)\n", "            pass\n"),),
    ),
    Bug(
        "files_of_customers_among_others",
        "files are deleted in a folder that holds the Maildir, the claim journal or the database",
        ("tests/requests/test_evidence.py::test_folder_in_which_files_are_deleted_holds_nothing_else",),
        (("worker/runtime.py", "        if other and disk.nested(folder, Path(other)):", "        if False:"),),
    ),
    Bug(
        "look_not_on_record",
        "nobody knows who looked at a customer's file",
        ("tests/requests/test_evidence.py",),
        (
            (
                "worker/cases/requests/evidence.py",
                '            tx.insert(evidence_looks, [{"evidence_id": evidence_id, "at": now, "by": by, "reason": reason}])\n',
                "",
            ),
        ),
    ),
    Bug(
        "lost_answer_posts_again",
        "a customer gets the same mail twice",
        ("tests/notices",),
        (
            (
                "worker/notices/mail/postbox.py",
                "outcome = Posted.UNKNOWN if session.phase is Phase.DOT else Posted.LATER",
                "outcome = Posted.LATER",
            ),
        ),
    ),
    Bug(
        "unique_key_of_claims_dropped",
        "one charge can be claimed twice",
        ("tests/store/test_schema.py",),
        (("worker/store/tables.py", '    UniqueConstraint("environment", "transaction_id"),\n', ""),),
    ),
    Bug(
        "what_has_the_number_of_another_row_is_known",
        "where the numbers of a moved database begin again, each event is acknowledged and in no book, as many as there were rows",
        ("tests/store/test_guards.py::test_what_gets_the_number_of_another_row_is_no_repeat_and_waits_until_numbers_go_on",),
        (
            (
                "worker/store/statements.py",
                "new = insertion(postgres, table, names).on_conflict_do_nothing(index_elements=known_by(table))",
                "new = insertion(postgres, table, names).on_conflict_do_nothing()",
            ),
        ),
    ),
    Bug(
        "numbers_that_begin_again_count_as_failed_attempts",
        "events of a moved database use up their attempts over its numbers, and end with the dead letters",
        ("tests/store/test_guards.py::test_what_gets_the_number_of_another_row_is_no_repeat_and_waits_until_numbers_go_on",),
        (("worker/store/faults.py", "    if state == TAKEN and (behind", "    if not state and (behind"),),
    ),
    Bug(
        "renewal_of_a_history_is_another_than_creems",
        "whoever is imported with a month that Creem tells of as well has its credits twice, and a person is asked about a second charge",
        ("tests/money/test_nameless.py::test_renewal_grants_once_whoever_tells_of_it_first",),
        (
            (
                "worker/cases/assess/bought.py",
                'alike = _begin_together(said.period_start, stands["period_start"])',
                "alike = False",
            ),
        ),
    ),
    Bug(
        "renewal_is_any_other_of_that_day",
        "a month that was paid is taken for another payment of that day, and grants nothing",
        ("tests/money/test_nameless.py::test_renewal_that_differs_from_a_nameless_one_is_another",),
        (
            (
                "worker/cases/assess/bought.py",
                'alike = _begin_together(said.period_start, stands["period_start"])',
                "alike = True",
            ),
        ),
    ),
    Bug(
        "commit_without_an_answer_is_held_against_the_event",
        "while a standby is away events use up their attempts over commits that wait for it, and end with the dead letters",
        (
            "tests/store/test_engine.py::test_task_whose_time_ends_at_a_commit_that_waits_blames_no_row_and_leaves_a_connection_that_works",
        ),
        (
            (
                "worker/store/engine.py",
                "with _within_the_time(connection), transaction:",
                "with transaction:",
            ),
        ),
    ),
    Bug(
        "redis_of_another_installation_feeds_the_database_unseen",
        "half of the re-runs and outcomes go to a Redis that nobody reads, and nothing says so",
        ("tests/store/test_feeders.py",),
        (("worker/store/feeders.py", "if one.last > max(begun, now - PRESENT)]", "if one.last > max(begun, now)]"),),
    ),
    Bug(
        "key_that_was_never_finished_guards",
        "the doctor finds nothing where a unique key is not in force, and what is done once is done twice",
        ("tests/store/test_guards.py::test_key_whose_making_was_broken_off_is_none",),
        (("worker/store/guards.py", "i.indisunique and i.indisvalid and i.indisready and", "i.indisunique and"),),
    ),
    Bug(
        "who_waits_to_change_a_table_is_in_nobodys_way",
        "everything stands still behind a change of a table that waits for a dump, and the doctor names nobody",
        ("tests/store/test_holders.py::test_who_waits_to_change_a_table_behind_a_reader_is_named",),
        (("worker/store/holders.py", "and not before_it.pids && array(", "and before_it.pids && array("),),
    ),
    Bug(
        "tables_elsewhere_are_made_again",
        "a search_path that leads past the books gets an empty installation, in which nobody is owed anything",
        ("tests/store/test_place.py::test_tables_that_the_search_path_leads_past_are_named_and_not_made_again",),
        (("worker/store/place.py", "if found.homes and not (anew and found.version_in is None):", "if False:"),),
    ),
    Bug(
        "version_table_of_another_program_is_ours",
        "the product's own migrations are taken for a newer release of this one, or for our schema",
        ("tests/store/test_place.py::test_version_table_of_another_program_is_none_of_ours",),
        (
            (
                "worker/store/schema.py",
                "return None if _kept(tx) else astray(tx, anew=anew)",
                "return None if _found(tx) else astray(tx, anew=anew)",
            ),
        ),
    ),
    Bug(
        "rows_that_are_hidden_are_none",
        "claims and disputes that row security hides are taken for none, and the audit says that the books hold",
        ("tests/deploy/test_roles.py::test_rows_that_row_security_hides_are_not_taken_for_none",),
        (("worker/store/schema.py", "    return hidden(tx)\n", "    return None\n"),),
    ),
    Bug(
        "process_that_runs_never_looks_again",
        "jobs are judged without the purchases that are hidden since the process began, and their credits never come back",
        ("tests/deploy/test_roles.py::test_process_that_runs_decides_nothing_while_rows_are_hidden_from_it",),
        (("worker/tasks.py", "                runtime().sure_of_the_database()\n", ""),),
    ),
    Bug(
        "console_never_looks_whether_its_database_is_fit",
        "with its operators hidden by row security the console lets in whoever is at the machine, to send money",
        ("tests/deploy/test_roles.py::test_console_of_a_process_that_runs_shows_nothing_while_rows_are_hidden_from_it",),
        (("worker/web/console/guard.py", "            self.fit()\n", ""),),
    ),
    Bug(
        "policy_for_reading_shows_what_is_to_be_changed",
        "rows that may be read and not changed are passed over by every step that would, without an error",
        ("tests/deploy/test_roles.py::test_policy_that_shows_every_row_hides_none",),
        (("worker/store/hidden.py", "(values ('r', 'select'), ('w', 'update'))", "(values ('r', 'select'))"),),
    ),
    Bug(
        "unique_key_of_events_dropped",
        "one event can stand twice",
        ("tests/store/test_schema.py",),
        (("worker/store/tables.py", '    UniqueConstraint("source", "event_id"),\n', ""),),
    ),
    Bug(
        "refund_call_repeated_on_a_timeout",
        "a call whose answer was lost is made again",
        ("tests/creem/test_once.py",),
        (
            (
                "worker/creem/post.py",
                "        if isinstance(heard, Unheard):\n",
                "        if isinstance(heard, Unheard):\n            heard = self._wire.once(ask, seconds=self._seconds, most=BODY_LIMIT)\n        if isinstance(heard, Unheard):\n",
            ),
        ),
    ),
    Bug(
        "permission_checked_and_then_used",
        "two threads use one permission",
        ("tests/creem/test_once.py",),
        (("worker/creem/armed.py", "if not self._unspent.acquire(blocking=False):", "if self._unspent.locked():"),),
    ),
    Bug(
        "permission_outlives_its_time",
        "a late call still leaves",
        ("tests/creem/test_once.py",),
        (("worker/creem/armed.py", "if now >= self.until:", "if False:"),),
    ),
    Bug(
        "sweep_skips_the_events",
        "an event whose hint was lost is never handled",
        ("tests/cases/test_assess.py",),
        (("worker/cases/sweep.py", "assessed = self._assess_backlog()", "assessed = Assessed()"),),
    ),
    Bug(
        "hint_lost_and_cases_never_woken",
        "a case whose time has come is never looked at",
        ("tests/cases/test_assess.py",),
        (("worker/cases/sweep.py", "woken = self._wake_due(assessed)", "woken = 0"),),
    ),
    Bug(
        "waiting_events_never_found_again",
        "an event that waited is never handled",
        ("tests/cases/test_assess.py",),
        (("worker/cases/sweep.py", "        self._wake_overtaken()\n", ""),),
    ),
    Bug(
        "turn_of_a_claim_forgotten",
        "two processes work on one claim",
        ("tests/money/test_approved.py",),
        (("worker/cases/money/turn.py", "return int(payment.turn) == turn.turn", "return True"),),
    ),
    Bug(
        "claim_taken_without_a_lease",
        "two processes take one claim",
        ("tests/money/test_approved.py",),
        (
            (
                "worker/cases/money/turn.py",
                '"until": now + lease, "in_environment"',
                '"until": now, "in_environment"',
            ),
        ),
    ),
    Bug(
        "amount_of_the_webhook_believed",
        "whoever writes a webhook says what was refunded",
        ("tests/money/test_approved.py",),
        (("worker/cases/money/charges.py", "    if can_read:\n", "    if False:\n"),),
    ),
    Bug(
        "currency_not_compared_before_the_call",
        "a charge in another currency is sent back",
        ("tests/money/test_approved.py",),
        (("worker/cases/money/approved.py", "if seen.currency != payment.currency:", "if False:"),),
    ),
    Bug(
        "part_refunded_and_sent_all_the_same",
        "more goes back than was paid",
        ("tests/money/test_approved.py",),
        (
            ("worker/cases/money/approved.py", "    if seen.refunded_amount or ours.refunded:\n", "    if False:\n"),
            ("worker/cases/money/approved.py", "    if seen.status != PAID:\n", "    if False:\n"),
        ),
    ),
    Bug(
        "stale_read_sent_on",
        "what was true a while ago decides about money",
        ("tests/money/test_approved.py",),
        (("worker/cases/money/arm.py", "    if left <= 0:\n", "    if False:\n"),),
    ),
    Bug(
        "unhandled_webhook_overlooked",
        "a call leaves beside a refund that was just told of",
        ("tests/money/test_approved.py",),
        (("worker/cases/money/arm.py", "return None if told is None else", "return None if True else"),),
    ),
    Bug(
        "silence_taken_for_not_sent",
        "a call that may have paid is made again",
        ("tests/creem/test_answers.py", "tests/money/test_plans.py::test_every_trouble_alone_ends_proved_or_with_a_person"),
        (
            (
                "worker/creem/answers.py",
                'return Answer(CallOutcome.UNKNOWN, f"no answer {said}")',
                'return Answer(CallOutcome.NOT_SENT, f"no answer {said}")',
            ),
        ),
    ),
    Bug(
        "other_refusals_believed_as_creem_s_own",
        "a proxy decides that no money moved",
        ("tests/creem/test_answers.py",),
        (("worker/creem/answers.py", "if said.creems and said.no:", "if said.no:"),),
    ),
    Bug(
        "refusal_that_says_succeeded",
        "a refund that a 409 calls succeeded is closed as nothing, and its credits are spent",
        ("tests/creem/test_answers.py",),
        (("worker/creem/envelope.py", 'if "status" not in document:', "if trace_id is not None:"),),
    ),
    Bug(
        "any_word_of_balance",
        "a refusal that only speaks of a balance is sent again every day, and stops everybody's money meanwhile",
        ("tests/creem/test_answers.py",),
        (("worker/creem/answers.py", " and _TOO_LOW.search(said.message) is not None", ""),),
    ),
    Bug(
        "low_balance_under_way",
        "a refund that Creem says is under way is sent again tomorrow",
        ("tests/creem/test_answers.py",),
        (("worker/creem/answers.py", "said.http_status != 400 or _UNDER_WAY.search(said.message)", "said.http_status != 400"),),
    ),
    Bug(
        "lot_not_frozen_with_its_claim",
        "credits are spent that are being paid back",
        ("tests/money/test_procedure.py",),
        (("worker/cases/money/claims.py", "    for claim in wanted:\n", "    for claim in wanted[:0]:\n"),),
    ),
    Bug(
        "second_claim_on_a_charge_ignored",
        "two cases send back one charge",
        ("tests/money/test_approved.py::test_charge_is_claimed_once",),
        (("worker/cases/money/claims.py", "if len(added) != len(wanted):", "if False:"),),
    ),
    Bug(
        "job_runs_again_while_its_money_goes_back",
        "a job is delivered by a re-run, and its purchase's money goes back as well",
        ("tests/requests/test_told.py::test_credits_that_come_back_frozen_are_told_of_once_they_can_be_spent",),
        (
            (
                "worker/cases/assess/judge.py",
                '"refund_under_way": not drawn.isdisjoint(book.lots_claimed)',
                '"refund_under_way": False',
            ),
        ),
    ),
    Bug(
        "claim_without_its_key_waits_unseen",
        "a refund whose key no process has is promised for ever, and nobody is told",
        ("tests/money/test_other_key.py",),
        (("worker/cases/money/close.py", "        if now - row.since < timedelta(hours=hours):", "        if True:"),),
    ),
    Bug(
        "claim_hides_a_refund_that_came_back",
        "a customer is told that a colleague gave the money back, the bank turned it away, and nobody hears of it",
        ("tests/money/test_compare.py::test_refund_by_another_hand_that_is_not_shown_any_more_is_named_beside_a_claim_of_ours",),
        (
            (
                "worker/cases/reconcile/compare.py",
                "    elif (row.known_refunded or 0) > seen.refunded_amount",
                "    elif row.payment_state is None and (row.known_refunded or 0) > seen.refunded_amount",
            ),
        ),
    ),
    Bug(
        "accounts_are_compared_each_alone",
        "who paid the same twice for two accounts is charged twice, and nobody sees it",
        ("tests/money/test_reconcile.py::test_customer_who_paid_the_same_for_two_accounts_is_a_persons",),
        (("worker/cases/reconcile/compare.py", "func.count(p.account_id.distinct()) > 1", "func.count() < 1"),),
    ),
    Bug(
        "units_are_one",
        "three units grant the credits of one, and the credits of two stay when the money has gone back",
        (
            "tests/money/test_told.py::test_several_units_grant_what_was_granted_at_their_price_or_nothing_till_a_person_imports_it",
        ),
        (("worker/cases/money/told.py", "(last if charge.units == 1 else None)", "last"),),
    ),
    Bug(
        "every_later_period_is_a_renewal",
        "who asks for the first payment after a trial back is told that the subscription was not cancelled before it renewed",
        ("tests/money/test_told.py::test_charge_is_a_renewal_where_it_is_known_to_go_on_with_what_was_paid",),
        (("worker/cases/money/told.py", "any(period.goes_on_with(charge) for period in books.periods)", "True"),),
    ),
    Bug(
        "last_of_a_customers_accounts_has_the_charge",
        "a charge and its credits go to an account of the customer's that did not pay for it",
        ("tests/money/test_told.py",),
        (
            (
                "worker/cases/money/told.py",
                "    return next((named for named in narrowed if named), owned)",
                "    return owned[-1:]",
            ),
        ),
    ),
    Bug(
        "other_key_claims_again",
        "with the other environment's key a charge whose refund may be on its way is claimed a second time",
        ("tests/money/test_other_key.py",),
        (
            (
                "worker/cases/money/claims.py",
                "if row.closed_at is None or not is_elsewhere(row, environment)]",
                "if not is_elsewhere(row, environment)]",
            ),
        ),
    ),
    Bug(
        "end_of_one_claim_frees_what_another_holds",
        "a claim that ends frees credits whose money another claim may have on its way back",
        ("tests/money/test_other_key.py",),
        (("worker/cases/money/close.py", " or tx.exists(select(purchases.c.purchase_id).where(*another)):", ":"),),
    ),
    Bug(
        "unsettled_payment_may_be_sent_again",
        "an unknown claim is sent again",
        ("tests/policy/test_lifecycle.py",),
        (("policy/lifecycle.py", "_P.UNKNOWN: frozenset({_P.CONFIRMING", "_P.UNKNOWN: frozenset({_P.SENDING, _P.CONFIRMING"),),
    ),
    Bug(
        "made_whole_may_move_on",
        "a case that was made whole goes on to another remedy",
        ("tests/policy/test_lifecycle.py",),
        (("policy/lifecycle.py", "    _OK: frozenset(),\n    # somebody", "    _OK: frozenset({_RV, _NO}),\n    # somebody"),),
    ),
    Bug(
        "moves_are_not_asked_for",
        "a case goes where the lifecycle has no way, and nobody hears of it",
        ("tests/cases/test_casework.py",),
        (("worker/cases/book/casework.py", "if not may_follow(case.state, target):", "if False:"),),
    ),
    Bug(
        "reversal_booked_to_nobody",
        "a reversal has no source",
        ("tests/policy/test_ledger.py",),
        (
            (
                "policy/ledger.py",
                'PostingKind.REVERSAL: ("job:{job}", "lot:{purchase}")',
                'PostingKind.REVERSAL: ("job:{job}", "issued")',
            ),
        ),
    ),
    Bug(
        "wrong_zone_for_the_seven_days",
        "the window closes hours early or late",
        ("tests/policy/test_calendar.py",),
        (("policy/calendar.py", "since.astimezone(zone).date() + days", "since.date() + days"),),
    ),
    Bug(
        "saturday_is_a_business_day",
        "the promise is broken by weekends",
        ("tests/policy/test_calendar.py",),
        (("policy/calendar.py", "SATURDAY = 5", "SATURDAY = 6"),),
    ),
    Bug(
        "duplicate_window_open_at_its_end",
        "a second purchase is taken for a duplicate",
        ("tests/policy/test_charges.py",),
        (("policy/duplicates.py", "first.paid_at > window", "first.paid_at >= window"),),
    ),
    Bug(
        "line_end_behind_a_failure_code_counts",
        "a failure of ours is judged as one that nobody knows",
        ("tests/intake/test_wire.py::test_code_that_nobody_used_before_is_kept_as_a_text",),
        (("policy/codes.py", "said.strip()[:LONGEST]", "said[:LONGEST]"),),
    ),
    Bug(
        "edit_before_the_download_counts_as_use",
        "who edited first and downloaded then is declined",
        ("tests/requests/test_requests.py::test_output_that_was_edited_only_before_it_was_downloaded_was_not_used",),
        (("worker/cases/requests/facts.py", "job.downloaded_at <= job.edited_at", "True"),),
    ),
    Bug(
        "last_word_of_an_address_holds",
        "an old event that comes late, or is told again, sends letters to an address that the account has left",
        ("tests/cases/test_imports.py",),
        (("worker/cases/assess/fold.py", "account.email is None or (account.opened_at, ", "True or (account.opened_at, "),),
    ),
    Bug(
        "first_edit_is_kept",
        "who edited before the download and after it was none that used the output",
        ("tests/requests/test_requests.py::test_output_that_was_edited_only_before_it_was_downloaded_was_not_used",),
        (("worker/cases/assess/fold.py", "max(job.edited_at or at, at)", "min(job.edited_at or at, at)"),),
    ),
    Bug(
        "period_that_begins_a_second_later_is_another",
        "a subscription begun twice is paid twice",
        ("tests/policy/test_charges.py",),
        (("policy/duplicates.py", "mine[1] <= others[0] or others[1] <= mine[0]", "mine[0] != others[0]"),),
    ),
    Bug(
        "period_is_no_difference",
        "a renewal paid late, minutes before the next, goes back",
        ("tests/policy/test_charges.py",),
        (("policy/duplicates.py", "and not _other_period(one, other)", "and True"),),
    ),
    Bug(
        "key_in_the_kept_answer",
        "the API key lies in the database",
        ("tests/creem/test_secrets.py", "tests/creem/test_answers.py"),
        (("worker/creem/answers.py", 'raw=hide(body.decode(errors="replace"))', 'raw=str(body.decode(errors="replace"))'),),
    ),
    Bug(
        "changed_webhook_under_a_known_id_taken",
        "a repeat with other content counts",
        ("tests/web/test_app.py",),
        (("worker/creem/receive.py", "if first.sha256 == hook.sha256 or", "if True or"),),
    ),
    Bug(
        "form_of_another_site_taken",
        "another site decides in an operator's name",
        ("tests/web/console/test_guard.py",),
        (("worker/web/console/guard.py", 'if request.method == "POST" and not own_form(request):', "if False:"),),
    ),
    Bug(
        "notice_sent_again_after_a_death",
        "a customer gets a mail twice",
        ("tests/requests/test_notices.py",),
        (("worker/cases/effects/notifier.py", "if mailer.repeatable:", "if True:"),),
    ),
    Bug(
        "notice_not_marked_as_being_sent",
        "a mail whose sender died is sent again",
        ("tests/requests/test_notices.py",),
        (("worker/cases/effects/notifier.py", 'values = {"state": "sending",', 'values = {"state": "due",'),),
    ),
    Bug(
        "re_run_asked_for_when_it_is_over",
        "a job is run again that was delivered, or that a person has decided",
        ("tests/cases/test_assess.py::test_rerun_that_delivered_though_nobody_heard_of_its_order_is_not_ordered_again",),
        (("worker/cases/effects/effects.py", "if effect.case_state != CaseState.RERUNNING.value:", "if False:"),),
    ),
    Bug(
        "rerun_sent_however_late",
        "a process that stood still has a job run again whose credits came back meanwhile: two remedies",
        ("tests/cases/test_assess.py::test_process_that_stood_still_asks_for_no_rerun_of_what_came_back_as_credits",),
        (("worker/cases/effects/effects.py", "read_at + left.total_seconds()))", 'float("inf")))'),),
    ),
    Bug(
        "late_worker_ends_another_s_claim",
        "an effect is called done that somebody else is doing",
        ("tests/cases/test_poison.py",),
        (
            (
                "worker/store/effects.py",
                'return tx.update(effects, records, by=["key"], expect={"attempts": "was"})',
                'return tx.update(effects, records, by=["key"])',
            ),
        ),
    ),
    Bug(
        "collision_not_repeated",
        "two that meet both fail",
        ("tests/store/test_engine.py",),
        (("worker/store/engine.py", "if isinstance(error, Collision | _Broken):", "if isinstance(error, _Broken):"),),
    ),
    Bug(
        "live_key_sent_to_another_host",
        "the live key is known to a stranger",
        ("tests/creem/test_environment.py",),
        (("worker/creem/environment.py", 'if str(url).rstrip("/") != LIVE_URL:', "if False:"),),
    ),
    Bug(
        "one_broken_case_stops_the_sweep",
        "one case keeps all others waiting",
        ("tests/cases/test_poison.py",),
        (("worker/cases/assess/waker.py", '            log.exception("case.stuck", case_id=case_id)\n', "            raise\n"),),
    ),
    Bug(
        "waits_that_grow_for_ever",
        "a case that cannot be judged for weeks keeps all others waiting",
        ("tests/cases/test_poison.py",),
        (
            (
                "worker/cases/assess/waker.py",
                '"next_action_at": now + growing(stuck, STUCK_FOR)}',
                '"next_action_at": now + timedelta(seconds=2**stuck)}',
            ),
        ),
    ),
    Bug(
        "case_not_set_aside_stops_the_sweep",
        "one case keeps all others waiting",
        ("tests/cases/test_poison.py::test_case_that_cannot_even_be_set_aside_costs_the_others_nothing",),
        (
            (
                "worker/cases/assess/waker.py",
                '            log.exception("case.not_set_aside", case_id=case_id)\n',
                "            raise\n",
            ),
        ),
    ),
    Bug(
        "case_that_ends_its_process_takes_its_batch_along",
        "whoever is due with it is never looked at",
        ("tests/cases/test_poison.py::test_case_that_ends_its_process_costs_those_due_with_it_none_but_time",),
        (
            (
                "worker/cases/assess/waker.py",
                "[case_id for case_id, begun in due.items() if not begun]",
                "list(due)",
            ),
        ),
    ),
    Bug(
        "wakings_are_not_counted",
        "one case ends one process after another, for ever",
        ("tests/cases/test_poison.py::test_case_that_ends_its_process_costs_those_due_with_it_none_but_time",),
        (("worker/store/wakings.py", "begun=wakings.c.begun + 1, until=now + lease", "until=now + lease"),),
    ),
    Bug(
        "database_away_is_held_against_the_due",
        "cases that nothing is wrong with go to a person after five outages",
        ("tests/cases/test_poison.py::test_database_that_goes_away_is_not_held_against_the_cases_that_are_due",),
        (("worker/cases/assess/waker.py", "            self._give_back(ours)\n            raise", "            raise"),),
    ),
    Bug(
        "money_before_its_credits_are_taken",
        "a customer has the money and spends the credits at Creem",
        ("tests/credits/test_at_creem.py::test_credits_of_a_second_charge_are_taken_before_its_money_goes_back",),
        (("worker/cases/money/arm.py", "    if credits.pending:\n", "    if False:\n"),),
    ),
    Bug(
        "credits_given_back_that_were_never_taken",
        "credits out of nothing",
        ("tests/credits/test_at_creem.py::test_money_stays_where_the_customer_has_spent_the_credits_at_creem",),
        (
            (
                "worker/credits/at_creem.py",
                "credits = max(0, credits - untaken(tx, row.purchase_id, before=row.key).held)",
                "pass",
            ),
        ),
    ),
    Bug(
        "customer_learnt_too_late_for_the_credits",
        "credits for a purchase whose customer was not known at first are never booked at Creem, and hold its claim up for ever",
        ("tests/credits/test_at_creem.py::test_entry_of_a_purchase_whose_customer_is_learnt_later_goes_to_that_customer",),
        (("worker/credits/at_creem.py", "func.coalesce(e.customer_id, bought_by)", "e.customer_id"),),
    ),
    Bug(
        "void_settles_every_refusal",
        "credits out of nothing, once a part of a lot is void",
        (
            "tests/policy/test_ledger.py",
            "tests/credits/test_at_creem.py::test_a_void_settles_no_more_of_a_refusal_than_it_covers",
        ),
        (("policy/ledger.py", "                held -= never\n                void += never\n", "                held = 0\n"),),
    ),
    Bug(
        "balance_given_what_was_never_taken_of_it",
        "a dispute that is won doubles the credits of an account whose row came in between",
        ("tests/credits/test_balances.py::TestRefusing",),
        (
            (
                "worker/credits/balances.py",
                "due = max(0, whole - untaken(tx, posting.purchase_id, before=posting.key).held)",
                "due = whole",
            ),
        ),
    ),
    Bug(
        "table_that_refuses_hides_the_dispute",
        "a dispute is a dead letter where the product's table takes no balance below zero",
        ("tests/credits/test_balances.py::TestRefusing",),
        (("worker/credits/balances.py", "if not refuses_the_row(error):", "if True:"),),
    ),
    Bug(
        "table_that_is_gone_is_taken_for_a_refusal",
        "while the product's table is away money goes back and its credits are written off, and the customer keeps both",
        ("tests/credits/test_balances.py::TestMoney",),
        (("worker/credits/balances.py", "if not refuses_the_row(error):", "if False:"),),
    ),
    Bug(
        "observer_takes_credits",
        "a worker that only looks takes the credits of customers whose charge is disputed",
        ("tests/credits/test_balances.py::TestRefusing",),
        (("worker/runtime.py", "acts = self.settings.mode is not Mode.OBSERVE", "acts = True"),),
    ),
    Bug(
        "what_was_not_taken_is_nobodys",
        "nobody hears of credits that a customer kept beside their money",
        ("tests/credits/test_balances.py::TestRefusing",),
        (("worker/cases/reconcile/reconcile.py", "            done.found(_not_moved(each))\n", "            pass\n"),),
    ),
    Bug(
        "each_try_has_a_key_of_its_own",
        "an answer that is lost books the credits twice",
        ("tests/credits/test_at_creem.py",),
        (("worker/cases/effects/book_at_creem.py", "Entry(due.key, due", 'Entry(f"{due.key}:{due.attempt}", due'),),
    ),
    Bug(
        "entry_of_a_late_task_left_to_it",
        "an event whose message was lost is never handled",
        ("tests/intake/test_handed.py",),
        (("worker/intake/consumer.py", "if self._handed.overdue():", "if False:"),),
    ),
    Bug(
        "entry_acknowledged_when_it_is_handed_on",
        "an event is lost with the message of its task",
        ("tests/intake/test_handed.py",),
        (
            (
                "worker/intake/consumer.py",
                "accepted = self._settle([pair for pair in found if pair[0] not in handed])",
                "accepted = self._settle([pair for pair in found if pair[0] not in handed])\n"
                "        if handed:\n"
                "            self._redis.xack(self.stream, self.group, *handed)",
            ),
        ),
    ),
    Bug(
        "repeated_delivery_handled_without_a_count",
        "an event that kills its process kills one after another",
        ("tests/cases/test_drain.py",),
        (("worker/cases/assess/drain.py", "again = any(entry.again for entry in entries)", "again = False"),),
    ),
    Bug(
        "handled_rows_that_wait",
        "a report before its job stands as handled and is never heard again",
        ("tests/cases/test_drain.py",),
        (
            (
                "worker/cases/assess/assess.py",
                'if f["id"] not in standing or f["state"] != Fate.HANDLED.value',
                'if f["id"] not in standing',
            ),
        ),
    ),
    # a database set back
    Bug(
        "journal_line_after_the_commit",
        "a call that the database forgets is in no journal",
        ("tests/restore/test_stop.py::test_journal_that_cannot_be_written_lets_nothing_leave",),
        (
            (
                "worker/cases/money/arm.py",
                "BEHIND = timedelta(seconds=1), timedelta(seconds=5)\n",
                "BEHIND = timedelta(seconds=1), timedelta(seconds=5)\nLATER = []\n",
            ),
            (
                "worker/cases/money/arm.py",
                "with_.witnesses.journal.add(mark - 1, now, call_of(payment, case, attempt, now, deadline_at))",
                "LATER.append((with_.witnesses.journal, mark - 1, now, call_of(payment, case, attempt, now, deadline_at)))",
            ),
            (
                "worker/cases/money/pay.py",
                "        untold = self.witnesses.tell(armed.mark)\n",
                "        while arm.LATER:\n            journal, *line = arm.LATER.pop()\n            journal.add(*line)\n"
                "        untold = self.witnesses.tell(armed.mark)\n",
            ),
        ),
    ),
    Bug(
        "set_back_and_armed_all_the_same",
        "what the database forgot is sent a second time",
        ("tests/restore/test_stop.py::test_without_a_journal_redis_alone_stops_money",),
        (("worker/cases/money/arm.py", "return None if held is None else", "return None if True else"),),
    ),
    Bug(
        "mark_that_never_rises",
        "nobody notices that the database was set back",
        ("tests/restore/test_stop.py::test_fresh_installation_starts_without_ceremony_and_every_witness_learns_of_it",),
        (("worker/cases/money/epoch.py", "mark = max(int(stands.mark), above) + 1", "mark = max(int(stands.mark), above)"),),
    ),
    Bug(
        "lower_mark_replaces_a_higher_one",
        "a process that wakes up late makes Redis forget",
        ("tests/restore/test_stop.py::test_lower_mark_never_replaces_a_higher_one",),
        (("worker/cases/money/epoch.py", "{MEMBER: mark}, gt=True)", "{MEMBER: mark})"),),
    ),
    Bug(
        "recovered_call_is_armed_again",
        "the person who recovers sends everything a second time",
        ("tests/restore/test_stop.py::test_recovered_claim_is_proved_by_reading_and_the_person_is_on_record",),
        (
            (
                "worker/cases/money/remember.py",
                "move(tx, payment, PaymentState.SENDING, next_step=READ, due_at=with_.now, probes=0, **known)",
                "move(tx, payment, PaymentState(payment.state), **known)",
            ),
        ),
    ),
    Bug(
        "backup_not_doubted_without_a_journal",
        "what was sent and is in no witness is sent again after the lift",
        ("tests/restore/test_stop.py::test_both_witnesses_lost_stop_money_until_a_person_lifts_it_and_a_day_longer",),
        (("worker/cases/money/restore.py", "doubted = 0 if found.whole else self._doubt()", "doubted = 0"),),
    ),
    Bug(
        "second_call_on_a_charge_not_kept",
        "a call that the journal alone remembers is armed and made again",
        ("tests/restore/test_journal.py",),
        (
            (
                "worker/cases/money/journal.py",
                "self._calls[key] = tuple(sorted((*others, armed)))",
                "self._calls.setdefault(key, (armed, *others))",
            ),
        ),
    ),
    Bug(
        "line_that_is_still_growing_is_passed_over",
        "a call that was written while somebody looked is never read by them",
        ("tests/restore/test_journal.py",),
        (("worker/cases/money/journal.py", "            if ended:\n", "            if True:\n"),),
    ),
    Bug(
        "torn_line_takes_the_next_along",
        "a call is in the journal and nobody can read it",
        ("tests/restore/test_journal.py",),
        (("worker/cases/money/journal.py", 'line = f"\\n{json.dumps', 'line = f"{json.dumps'),),
    ),
    Bug(
        "replica_taken_for_the_primary",
        "decisions are made on books as they were",
        ("tests/store/test_replica.py",),
        (("worker/store/schema.py", "    if replica:", "    if False:"),),
    ),
    Bug(
        "connection_to_the_standby_is_kept",
        "a process that started during a failover waits for as long as the old standby lives",
        ("tests/store/test_replica.py",),
        (("worker/store/schema.py", "        store.close()\n", "        pass\n"),),
    ),
    Bug(
        "journal_away_is_told_to_the_log_alone",
        "no money leaves, and status, figures and alerts say nothing",
        ("tests/restore/test_stop.py::test_journal_that_takes_no_lines_stops_money_for_all_to_see_until_it_takes_them_again",),
        (("worker/cases/money/pay.py", "            if error.service != JOURNAL:", "            if True:"),),
    ),
    Bug(
        "database_that_takes_no_writes_passes",
        "every check is green while nothing is decided or paid back",
        ("tests/threats/test_libraries.py",),
        (("worker/store/schema.py", '    if reads_only == "on":', "    if False:"),),
    ),
    # who says it
    Bug(
        "origin_that_only_begins_like_ours",
        "a host whose name begins like ours decides in an operator's name",
        ("tests/web/console/test_guard.py::test_form_that_another_site_sent_is_refused_even_with_the_token",),
        (
            (
                "worker/web/console/hosts.py",
                'return named is None or _netloc(named) == request.headers.get("host", "").lower()',
                'return named is None or str(_netloc(named)).startswith(request.headers.get("host", "").lower())',
            ),
        ),
    ),
    Bug(
        "first_of_two_senders_believed",
        "a mail that shows people another sender moves an account's credits",
        ("tests/intake/mail/test_corpus.py",),
        (("worker/intake/mail/sender.py", "if len(values) != 1 or headers.cut", "if not values or headers.cut"),),
    ),
    Bug(
        "sender_vouched_for_as_another_domain",
        "whoever passes DMARC for a domain of his own writes as any customer",
        ("tests/intake/mail/test_corpus.py",),
        (("worker/intake/mail/results.py", "    if about - {domain}:\n", "    if False:\n"),),
    ),
    Bug(
        "any_sender_vouched_for_is_the_customer",
        "a customer asks for another's money",
        ("tests/requests/test_requests.py::test_unconfirmed_sender_is_parked_and_the_accounts_own_address_is_asked",),
        (
            (
                "worker/cases/requests/identify.py",
                "    return about.own and mail.verdict",
                "    return mail.verdict",
            ),
        ),
    ),
    Bug(
        "number_of_an_order_is_a_no",
        'who answers with "No. de pedido: ..." is noted as having denied the mail: nothing is proposed, and a no is told to nobody',
        ("tests/requests/test_denied.py::test_request_that_the_account_says_it_wrote_is_confirmed",),
        (("worker/intake/mail/denial.py", "(?!{_NUMBER})", ""),),
    ),
    Bug(
        "domain_beyond_ascii_is_nobodys",
        "who has an address at bücher.example is a stranger to us: each mail is asked about, and none is answered",
        (
            "tests/requests/test_requests.py::test_account_with_a_domain_beyond_ascii_is_known_by_what_its_host_writes_and_is_told",
        ),
        (("worker/cases/book/known.py", "in (str, as_hosts_write, as_people_write)", "in (str, as_hosts_write)"),),
    ),
    Bug(
        "shifts_of_a_charset_are_letters",
        "a Japanese mail with one sign that only Windows has is read as noise, and the id behind a shift is another: nobody's",
        ("tests/intake/mail/test_corpus.py",),
        (("worker/intake/mail/charsets.py", "name.startswith(_SEVEN_BITS) and content.isascii()", "False"),),
    ),
    Bug(
        "answering_machine_is_the_customer",
        "a mail that anybody wrote is the customer's once the mailbox is away on holiday",
        ("tests/requests/test_requests.py::test_answer_that_no_person_wrote_confirms_nothing_and_stays_on_record",),
        (("worker/cases/requests/placing.py", "        if self.mail.automatic:\n", "        if False:\n"),),
    ),
    Bug(
        "of_two_orders_in_a_mail_one_is_judged",
        "the no about an old order ends the request about a new one",
        ("tests/requests/test_requests.py::test_mail_that_names_two_orders_ends_neither_by_itself",),
        (("policy/rules/__init__.py", "    requests.request_names_several,\n", ""),),
    ),
    Bug(
        "sentence_with_a_date_ends_what_was_written",
        "an order below the sentence in which a customer says when and with which address it was paid is refunded by nobody",
        ("tests/requests/test_quoted.py::test_order_below_a_sentence_that_begins_like_the_line_of_a_mailer_is_not_lost",),
        (
            (
                "worker/intake/mail/history.py",
                '    named = named or (quotes and "@" in joined)\n',
                '    named = named or "@" in joined\n',
            ),
        ),
    ),
    Bug(
        "objection_to_a_measure_is_a_machines",
        "who objects to a suspension or a forfeiture after the dispute is told by a machine that the request came too late",
        ("tests/requests/test_answers.py::test_objection_to_a_measure_under_a_dispute_that_is_over_is_read_by_a_person",),
        (
            (
                "worker/cases/requests/facts.py",
                "    return request.purchase_id is not None and _told_of_measure(tx, request)\n",
                "    return False\n",
            ),
        ),
    ),
    Bug(
        "strangers_copy_confirms",
        "what a stranger wrote in a customer's name is taken for the customer's own word once the stranger's own host vouches for it",
        ("tests/requests/test_requests.py::test_copy_of_a_strangers_mail_that_is_vouched_for_confirms_nothing",),
        (
            (
                "worker/cases/requests/placing.py",
                "(vouched or letter)):\n            return known(before)",
                "mail.verdict.value == 'verified'):\n            return known(before)",
            ),
            (
                "worker/cases/requests/placing.py",
                "        if vouched and (first := parked_by",
                "        if (first := parked_by",
            ),
        ),
    ),
    Bug(
        "answered_no_keeps_its_old_promise",
        "what a customer says to a no is overdue in the minute it comes, and nobody sees which of them really is",
        (
            "tests/requests/test_answers.py::test_promise_of_an_answered_no_runs_from_the_answer_and_the_customer_is_told_until_when",
        ),
        (("worker/cases/requests/placing.py", "                promise_from(self.bench, case, self.arrival.at)\n", ""),),
    ),
    Bug(
        "rest_of_a_decided_mail_forgotten",
        "what a mail asks for beside what a person decided is answered by nobody, and declined as late when it is asked for again",
        ("tests/requests/test_rest.py",),
        (
            (
                "worker/cases/review/act.py",
                "        if case.kind is CaseKind.REQUEST:\n            money",
                "        if False:\n            money",
            ),
        ),
    ),
    Bug(
        "rest_of_a_decided_mail_received_when_decided",
        "what was asked for in time is declined as late because a person took days for the other half of its mail",
        ("tests/requests/test_rest.py",),
        (("worker/cases/requests/rest.py", '        "key": key,\n', '        "key": key,\n        "received_at": now,\n'),),
    ),
    Bug(
        "no_about_one_order_ends_a_mail_that_overtook_another",
        "of two orders in a mail the one whose purchase came a moment later is never looked at",
        ("tests/requests/test_requests.py::test_mail_that_names_an_order_not_yet_known_beside_an_old_one_is_not_declined",),
        (("worker/cases/requests/judge.py", "    if about_one and not request.named.get(UNKNOWN):\n", "    if about_one:\n"),),
    ),
    Bug(
        "order_on_the_line_below_its_label_is_none",
        "where the mailer broke the line before its id, an order whose purchase came a moment later is never looked at",
        ("tests/requests/test_requests.py::test_what_is_called_an_order_by_its_id_or_looks_like_one_is_not_known_yet",),
        (
            (
                "worker/intake/mail/named.py",
                'found["between"].count("\\n") < (3 if ":" in found["between"] else 2)',
                '"\\n" not in found["between"]',
            ),
        ),
    ),
    Bug(
        "no_stays_though_its_customer_answered_it",
        "the letter of a no promises that a person reads what is said to it, and nobody does",
        ("tests/requests/test_answers.py::test_person_looks_at_an_answer_to_a_no_whatever_becomes_of_what_else_it_names",),
        (
            (
                "worker/cases/requests/placing.py",
                "[one for one in taking if one.a_no], about",
                "[one for one in taking if one.a_no and other is None], about",
            ),
        ),
    ),
    Bug(
        "answer_ends_with_the_duplicate_that_it_is_put_to",
        "an order that a customer adds to a word about a duplicate is never refunded, nor declined",
        ("tests/requests/test_answers.py::test_answer_about_a_duplicate_that_names_another_order_is_a_request_about_that",),
        (
            (
                "worker/cases/requests/answered.py",
                "    return other if asks else None",
                "    return other if asks and to_a_no else None",
            ),
        ),
    ),
    Bug(
        "old_mail_keeps_the_window_of_a_later_purchase_open",
        "an order bought long after a vague mail, and asked for long after that, is not declined as too late",
        ("tests/requests/test_requests.py::test_later_purchase_was_asked_about_by_the_answer_that_names_it_in_whatever_way",),
        (("worker/cases/requests/facts.py", "    return next(named, received_at)\n", "    return received_at\n"),),
    ),
    Bug(
        "mail_that_came_too_soon_is_nobodys_for_ever",
        "a request that overtook the account's own event is never answered",
        ("tests/requests/test_requests.py::test_mail_that_comes_before_its_account_is_matched_within_minutes",),
        (("worker/cases/requests/judge.py", "        if found.account_id is None or ", "        if True or "),),
    ),
    Bug(
        "who_was_charged_twice_gets_both_back",
        "a mail about a duplicate that went back by itself refunds the first charge too, at one approval",
        ("tests/requests/test_requests.py::test_charge_that_stays_valid_is_not_proposed_for_money_beside_its_duplicate",),
        (("policy/rules/__init__.py", "    requests.requested_was_charged_again,\n", ""),),
    ),
    Bug(
        "claim_takes_more_than_it_may",
        "on a small table one process claims every re-run and asks for one; nothing at all is booked at Creem",
        ("tests/store/test_claims.py",),
        (
            (
                "worker/store/bulk.py",
                'return select(chosen.with_for_update(skip_locked=True).cte("chosen"))',
                "return chosen.with_for_update(skip_locked=True)",
            ),
        ),
    ),
    Bug(
        "mark_rises_unseen",
        "a disk that is full for half an hour under the claim journal stops all money until a person looks",
        ("tests/restore/test_stop.py",),
        (
            (
                "worker/cases/money/epoch.py",
                "if (remembered.highest or 0) < mark:",
                "if remembered.highest is None:",
            ),
        ),
    ),
    Bug(
        "what_others_armed_since_taken_for_a_restore",
        "two calls of another process while one waits for a connection stop all money until a person looks",
        ("tests/restore/test_stop.py::test_calls_that_others_arm_after_the_witnesses_were_asked_are_no_restore",),
        (
            ("worker/cases/money/epoch.py", "if vouched(remembered) or", "if vouched(replace(remembered, stood=mark)) or"),
            ("worker/cases/money/epoch.py", "import dataclass\n", "import dataclass, replace\n"),
        ),
    ),
    Bug(
        "files_dropped_beside_a_commit_in_doubt",
        "a mail is in the books, and what the customer sent with it is lost for good",
        ("tests/requests/test_maildir.py::test_mail_whose_commit_stands_only_after_its_answer_was_lost_keeps_its_files",),
        (("worker/cases/requests/mailroom.py", "            uncommitted = False\n", "            uncommitted = True\n"),),
    ),
    Bug(
        "word_heard_in_the_middle_of_a_read_is_lost",
        "money that has gone back, as Creem told, stands as unknown for a day more",
        ("tests/money/test_races.py::test_word_of_the_refund_that_comes_while_its_charge_is_read_calls_the_claim_back",),
        (("worker/cases/money/prove.py", "    if charge_due_at is not None:\n", "    if False:\n"),),
    ),
    # what cannot be done is held against nobody, and keeps nobody waiting
    Bug(
        "missing_right_counts_as_failed_attempt",
        "half a minute of a missing grant after an upgrade makes dead letters of all events",
        ("tests/deploy/test_roles.py",),
        (("worker/store/faults.py", "    if state == NOT_ALLOWED:", "    if False:"),),
    ),
    Bug(
        "missing_right_calls_a_person",
        "a grant that is missing for a while calls a person to every claim",
        ("tests/deploy/test_roles.py",),
        (
            (
                "worker/cases/money/pay.py",
                "        except (Misconfigured, OutOfTime):\n            raise\n        except OfNewerRelease as error:\n            # its turn",
                "        except OfNewerRelease as error:\n            # its turn",
            ),
        ),
    ),
    Bug(
        "old_primary_kept",
        "after a failover a process talks for ever to the server that only reads",
        ("tests/threats/test_libraries.py",),
        (
            (
                "worker/store/engine.py",
                "            connection.invalidate()\n            raise _Broken(error) from error\n",
                "            raise _Broken(error) from error\n",
            ),
        ),
    ),
    Bug(
        "hanging_maildir_takes_processes",
        "a Maildir on a network disk that hangs holds every task process, and no credits come back",
        ("tests/requests/test_maildir.py::test_maildir_that_does_not_answer_holds_nobody_up_and_is_gone_on_with_once_it_does",),
        (("worker/cases/requests/maildir.py", "            self.patience.look(self._touch)\n", "            self._touch()\n"),),
    ),
    Bug(
        "written_where_no_writes_are_taken",
        "a database that is set to take no writes, to be moved, goes on being written: events of that time are in no books that stay",
        ("tests/store/test_session.py",),
        (("worker/store/session.py", "    if session is not None and session.read_only is not None:\n", "    if False:\n"),),
    ),
    Bug(
        "schedule_fills_redis",
        "with no worker for a queue the schedule fills the Redis that holds the events",
        ("tests/house/test_celeryconfig.py",),
        (("worker/schedule.py", "        if waiting < MOST:\n", "        if True:\n"),),
    ),
    Bug(
        "old_redis_kept",
        "after a failover a process sends for ever to the Redis that only reads",
        ("tests/intake/test_stream.py",),
        (("worker/intake/stream.py", ", redis.TimeoutError, redis.exceptions.ReadOnlyError)", ", redis.TimeoutError)"),),
    ),
    Bug(
        "commits_that_a_crash_takes_along",
        "where an administrator set synchronous_commit off, a killed server loses events that were acknowledged",
        ("tests/store/test_session.py",),
        (("worker/store/session.py", '    "synchronous_commit": "on",\n', ""),),
    ),
    Bug(
        "name_of_the_journal_not_on_disk",
        "a power cut takes the claim journal away with the lines that nobody else remembers",
        ("tests/house/test_disk.py",),
        (
            (
                "worker/disk.py",
                "    # also where the file was there: whoever made it may have died before this\n    sync_folder(file.parent)\n",
                "",
            ),
        ),
    ),
    Bug(
        "evidence_named_before_it_is_written",
        "a power cut leaves the name of a customer's file, and nothing in it",
        ("tests/house/test_disk.py",),
        (
            (
                "worker/disk.py",
                "            os.fsync(descriptor)\n        finally:\n            os.close(descriptor)\n        os.replace",
                "        finally:\n            os.close(descriptor)\n        os.replace",
            ),
        ),
    ),
    Bug(
        "reconcile_sees_the_first_two_hundred",
        "failed jobs behind two hundred of which nothing is known are never made whole",
        ("tests/money/test_reconcile.py",),
        (
            (
                "worker/cases/reconcile/reconcile.py",
                "tx.all(failed_jobs_without_case(since))",
                'tx.all(failed_jobs_without_case(since).order_by("row").limit(CHUNK))',
            ),
        ),
    ),
    Bug(
        "part_of_reconcile_ends_all",
        "one part that fails, and neither refunds nor disputes that were missed are found",
        ("tests/money/test_reconcile.py",),
        (("worker/cases/reconcile/reconcile.py", "except (LockedOut, BrokenOff, Unread) as error:", "except () as error:"),),
    ),
    Bug(
        "end_of_the_tasks_time_is_the_claims_fault",
        "a task that is ended behind its call to Creem calls a person about money that has gone back as it should",
        ("tests/money/test_procedure.py::test_call_in_whose_middle_the_task_was_ended_is_proved_by_itself_and_calls_nobody",),
        (("worker/cases/money/pay.py", "        except (Misconfigured, OutOfTime):", "        except Misconfigured:"),),
    ),
    Bug(
        "end_of_the_tasks_time_is_one_part_that_failed",
        "reconcile goes on when its time is over, is killed with all that it had found, and nobody hears of that",
        ("tests/money/test_reconcile.py::test_task_that_is_ended_tells_what_it_found_and_begins_nothing_more",),
        (("worker/cases/reconcile/reconcile.py", "    except OutOfTime as error:", "    except () as error:"),),
    ),
    Bug(
        "end_of_the_tasks_time_is_held_against_the_row",
        "a database that stands still for as long as a task may take has events and cases counted as failed",
        ("tests/store/test_engine.py",),
        (("worker/store/engine.py", "        if connection.invalidated or not is_asking(connection):", "        if True:"),),
    ),
    Bug(
        "reconcile_that_was_not_whole_counts",
        "nobody hears of a reconcile that never comes to its end",
        ("tests/money/test_reconcile.py",),
        (
            (
                "worker/cases/reconcile/reconcile.py",
                "        if len(went) == len(parts) and all(went):\n",
                "        if any(went):\n",
            ),
        ),
    ),
    Bug(
        "stranger_ends_the_comparison",
        "one customer whom Creem does not know keeps all others from being compared, for ever",
        ("tests/money/test_reconcile.py",),
        (("worker/cases/reconcile/customers.py", "MOST_IN_VAIN = 3", "MOST_IN_VAIN = 1"),),
    ),
    Bug(
        "refused_customer_stays_first",
        "three customers whom Creem refuses end every reconcile, and nobody else's missed refunds and disputes are found",
        ("tests/money/test_reconcile.py::test_those_whom_creem_refuses_go_behind_the_others",),
        (
            (
                "worker/cases/reconcile/customers.py",
                "            self.store.write(lambda tx: _take_turn(tx, customer_id, self.clock.now()))\n",
                "",
            ),
        ),
    ),
    Bug(
        "refund_that_is_never_read_is_nobodys",
        "Creem tells of a refund and refuses to show the charge: it is held to be paid for ever, and nobody hears of it",
        ("tests/money/test_reconcile.py::test_refund_that_creem_told_of_and_does_not_show_for_a_day_is_a_persons",),
        (("worker/cases/reconcile/reconcile.py", "                *told_and_not_read(tx, self.clock.now()),\n", ""),),
    ),
    Bug(
        "held_account_ends_the_comparison",
        "while somebody holds one account, no customer after it is compared",
        ("tests/money/test_reconcile.py::test_account_that_somebody_holds_is_walked_around",),
        (
            (
                "worker/cases/reconcile/customers.py",
                "        except LockedOut as error:\n",
                "        except ZeroDivisionError as error:\n",
            ),
        ),
    ),
    Bug(
        "short_list_shows_nothing",
        "a dispute whose webhook was missed is never learned of, for Creem counts one transaction more than it lists",
        ("tests/money/test_reconcile.py",),
        (("worker/cases/reconcile/customers.py", "seen, since = short.seen, None", "seen, since = [], None"),),
    ),
    Bug(
        "charge_in_the_way",
        "a charge that cannot be booked is read on and on, and no other is",
        ("tests/money/test_told.py::test_charge_that_cannot_be_booked_keeps_no_other_waiting",),
        (
            (
                "worker/cases/money/pay.py",
                '            return self._leave(transaction_id, STUCK, "stuck")',
                "            raise",
            ),
        ),
    ),
    Bug(
        "mails_in_the_way",
        "fifty mails that nobody can take keep all later ones out",
        ("tests/requests/test_maildir.py::test_mails_that_nobody_can_take_keep_none_behind_them",),
        (
            (
                "worker/cases/requests/maildir.py",
                "aged.append((file.name in self.in_vain, ",
                "aged.append((False, ",
            ),
        ),
    ),
    Bug(
        "link_in_the_maildir_is_followed",
        "whoever may write into the Maildir has the worker's own secrets copied into a request",
        ("tests/requests/test_maildir.py",),
        (
            (
                "worker/cases/requests/maildir.py",
                "os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK",
                "os.O_RDONLY | os.O_NONBLOCK",
            ),
        ),
    ),
    Bug(
        "letters_in_the_way",
        "an account that somebody holds keeps the letters of all others",
        ("tests/requests/test_notices.py::test_account_that_somebody_holds_keeps_no_letter_of_another",),
        (
            (
                "worker/cases/effects/notifier.py",
                "                if not self.store.write(partial(_walk_around, mailer=mailer, now=now)):\n                    raise\n                continue",
                "                raise",
            ),
        ),
    ),
    # sessions of the database: what is kept in them is ours alone
    Bug(
        "pooled_sessions_keep_statements",
        "through a pooler one client runs what another prepared under the same name",
        ("tests/store/test_session.py",),
        (("worker/store/session.py", "        session.prepare_threshold = None", "        pass"),),
    ),
    Bug(
        "pooled_sessions_keep_settings",
        "limits of ours end what other clients of the pooler do",
        ("tests/store/test_session.py",),
        (
            (
                "worker/store/session.py",
                "pg_backend_pid() <> %s) is not null",
                "%s < 0) is not null",
            ),
        ),
    ),
    Bug(
        "pooled_transactions_have_no_limits",
        "a lock that is never let go holds a process for ever; moments are read in the server's time zone",
        ("tests/store/test_session.py",),
        (("worker/store/session.py", "    if is_pooled(connection):", "    if False:"),),
    ),
    Bug(
        "isolation_left_to_the_server",
        "where the server's default is another, what was committed while a lock was waited for is not seen",
        ("tests/store/test_session.py",),
        # either of them is enough; the second is for a standby, to which a session says it before anybody asks anything
        (
            ("worker/store/engine.py", '        isolation_level="READ COMMITTED",\n', ""),
            ("worker/store/session.py", "    session.isolation_level = driver.IsolationLevel.READ_COMMITTED\n", ""),
        ),
    ),
    Bug(
        "nothing_written_as_a_word",
        "where the server was told so, what is not known is stored as the word NULL",
        ("tests/store/test_session.py",),
        (("worker/store/session.py", '    "array_nulls": "on",\n', ""),),
    ),
    Bug(
        "text_of_one_script_only",
        "a mail in another script keeps failing and ends with the dead letters",
        ("tests/store/test_session.py",),
        (("worker/store/schema.py", '    if encoding != "UTF8":', "    if not encoding:"),),
    ),
    # what a review of every clause and two strangers' trials found
    Bug(
        "bare_approval_sends_money",
        "`approve` alone sends the money of a whole purchase where the policy said credits, or no",
        ("tests/review/test_review.py::test_approve_alone_sends_no_money_where_the_policy_said_something_else",),
        (("worker/cases/review/choices.py", "case.state is CaseState.WAITING or said_otherwise", "False"),),
    ),
    Bug(
        "kept_charge_sent_back_beside_its_duplicate",
        "a request that was judged before its charge was charged again sends the one that stays back too",
        (
            "tests/review/test_review.py::test_charge_that_stays_valid_since_its_request_was_judged_is_not_sent_back_by_a_bare_approval",
        ),
        (("worker/cases/review/choices.py", "only_by_name=bool(scene.charged_again) or (", "only_by_name=("),),
    ),
    Bug(
        "approved_by_the_price",
        "with tax in it one person sends more than one may",
        ("tests/review/test_review.py::test_second_person_is_asked_by_what_goes_back_and_not_by_the_price",),
        (
            (
                "worker/cases/review/choices.py",
                "scene.charge.facts, scene.charge.facts.amount\n",
                "scene.charge.facts, scene.charge.facts.price or scene.charge.facts.amount\n",
            ),
        ),
    ),
    Bug(
        "limit_by_the_price",
        "more money leaves in an hour than the terms allow",
        ("tests/money/test_procedure.py::test_more_money_than_the_terms_allow_stops_until_a_person_releases_it",),
        (
            (
                "worker/cases/money/arm.py",
                "leaves = payment.amount if seen is None or seen.amount_paid is None else seen.amount_paid",
                "leaves = payment.amount",
            ),
            ("worker/cases/money/limits.py", "func.sum(func.coalesce(p.charged, p.amount))", "func.sum(p.amount)"),
        ),
    ),
    Bug(
        "some_layers_deny_a_failure",
        "a job that failed after some of its layers is not made good where nobody said how many there should be",
        ("tests/policy/test_decisions.py",),
        (("policy/faults.py", "output.expected_for(facts.layers_expected) > 0 and output", "output"),),
    ),
    Bug(
        "count_of_layers_denies_bad_output",
        "a job whose output is bad is not made good because all of its layers are there",
        ("tests/policy/test_decisions.py",),
        (("policy/terms.py", " or code in self.content_codes", ""),),
    ),
    Bug(
        "job_cancelled_in_the_queue_is_declined",
        "whoever cancels a job before it starts is told no, and keeps the debit",
        ("tests/policy/test_decisions.py",),
        (("policy/rules/refusal.py", "fault.report.stage not in terms.waiting_stages", "True"),),
    ),
    Bug(
        "money_of_one_purchase_settles_a_job_of_two",
        "whoever asks about a job that two purchases paid for is told that nothing more is owed once the money of one has gone back",
        ("tests/requests/test_requests.py::test_job_that_two_purchases_paid_for_is_not_settled_by_the_money_of_one",),
        (("policy/rules/requests.py", "facts.job.paid_elsewhere > 0", "facts.job.paid_elsewhere < 0"),),
    ),
    Bug(
        "dispute_of_the_older_purchase_passed_over",
        "whoever asks about a job that two purchases paid for is told no while the bank has the charge of the older one",
        ("tests/requests/test_requests.py::test_job_whose_older_purchase_is_disputed_waits_for_the_bank",),
        (
            (
                "worker/cases/requests/facts.py",
                "for other in others if other.facts.disputed",
                "for other in others if charge is None",
            ),
        ),
    ),
    Bug(
        "window_of_the_older_purchase_of_a_job",
        "whoever names the older of two orders that paid for a job is declined by its window, and who names none is not",
        (
            "tests/requests/test_requests.py"
            "::test_window_of_a_job_that_two_purchases_paid_for_is_that_of_the_newer_whichever_is_named",
        ),
        (("policy/rules/requests.py", "else max(elsewhere, facts.purchase.paid_at)", "else facts.purchase.paid_at"),),
    ),
    Bug(
        "credits_are_owed_beside_the_money",
        "credits are proposed for a job whose purchase was paid back in money",
        (
            "tests/requests/test_requests.py::test_credits_of_a_failed_job_are_not_owed_once_the_money_of_their_purchase_went_back",
        ),
        (("worker/cases/requests/facts.py", " if share.purchase_id not in gone]", "]"),),
    ),
    Bug(
        "request_keeps_its_first_figures",
        "a person decides on a request by what was owed on the day the mail came",
        ("tests/requests/test_requests.py::test_request_with_a_person_keeps_up_with_its_jobs_and_is_told_of_once",),
        (
            (
                "worker/cases/requests/judge.py",
                "    return kept == (target, decision.rule, decision.terms, decision.reason, decision.credits)\n",
                "    return kept[:3] == (target, decision.rule, decision.terms)\n",
            ),
        ),
    ),
    Bug(
        "job_that_is_run_again_is_no_use",
        "the money of a pass is proposed while its job is being run again",
        ("tests/requests/test_requests.py::test_pass_under_which_a_job_runs_or_some_output_was_taken_is_not_unused",),
        (("worker/cases/requests/facts.py", 'job.status == "running" or job.job_id in again', 'job.status == "running"'),),
    ),
    Bug(
        "pass_that_went_back_still_runs_jobs",
        "a job is run again at no charge though its pass was paid back",
        ("tests/requests/test_requests.py::test_job_under_a_pass_is_run_again_only_while_the_pass_stands",),
        (("worker/cases/assess/judge.py", '"pass_given_back": its_pass.gone', '"pass_given_back": False'),),
    ),
    Bug(
        "answer_about_a_job_by_another_edition",
        "a customer is told no by an edition that says yes",
        ("tests/requests/test_requests.py::test_answer_about_a_job_that_was_judged_cites_the_edition_of_that",),
        (("policy/judgement.py", "terms=verdict.terms or terms.edition", "terms=terms.edition"),),
    ),
    Bug(
        "bank_is_not_named",
        "whom the bank gave the money back reads that an approved refund was sent through Creem",
        ("tests/requests/test_told.py::test_whoever_waits_for_an_answer_hears_how_the_case_ended",),
        (("worker/cases/money/facts.py", "lost_at_bank=row.lost", "lost_at_bank=False"),),
    ),
    Bug(
        "job_under_a_pass_has_no_window",
        "the money of a pass is a person's to give for a mail that comes two months late",
        ("tests/requests/test_requests.py::test_window_of_a_job_under_a_pass_is_that_of_the_pass",),
        (("worker/cases/requests/facts.py", " if found else _pass_over(tx, job_id)", " if found else None"),),
    ),
    Bug(
        "failed_job_answers_for_the_money_of_its_pass",
        "who asks for the money of a pass that delivered nothing is told that nothing is owed",
        ("tests/policy/test_requests.py::test_request_decision_is_the_one_in_the_table",),
        (("policy/rules/requests.py", " or (_is_pass(facts) and facts.purchase_named)", ""),),
    ),
    Bug(
        "answer_to_a_jobs_own_no_gets_the_same_no",
        "a letter promises that a person reads the answer, and the worker declines it by itself",
        ("tests/requests/test_told.py::test_mail_after_a_letter_about_the_jobs_own_case_is_read_by_a_person",),
        (("worker/cases/requests/facts.py", " or (request.job_id is not None and _told_of_own(tx, request))", ""),),
    ),
    Bug(
        "own_input_is_our_fault",
        "a customer whose image could not be read gets credits after the window",
        ("tests/requests/test_requests.py::test_job_that_failed_by_its_own_input_is_no_proven_fault_of_the_purchase",),
        (("worker/cases/requests/facts.py", "failed = [job for job in failed if job.job_id not in no_fault]", "pass"),),
    ),
    Bug(
        "expectation_told_late_changes_nothing",
        "an output that turns out to be short is never made good",
        ("tests/cases/test_assess.py::test_short_success_is_incomplete_output_whenever_it_is_told_what_was_expected",),
        (
            (
                "worker/cases/assess/fold.py",
                "        known.status = _status(known) if known.reports else known.status\n        book.touched.add(known.job_id)\n",
                "",
            ),
        ),
    ),
    Bug(
        "history_of_the_product_passed_over",
        "a fault that only the product's history tells of is never made good",
        ("tests/cases/test_assess.py::test_fault_that_only_the_history_of_the_product_tells_of_is_not_passed_over",),
        (("worker/cases/assess/fold.py", "return fails(report, job) and not any(", "return False and not any("),),
    ),
    Bug(
        "mail_hides_a_dispute",
        "a decision meant for a dispute is taken about a stranger's mail",
        ("tests/review/test_review.py::test_mail_about_a_disputed_order_hides_no_dispute_and_takes_no_decision_meant_for_it",),
        (
            (
                "worker/cases/documents/document.py",
                "c.closed_at.is_not(None), c.kind == CaseKind.REQUEST.value, first_come",
                "c.closed_at.is_not(None)",
            ),
        ),
    ),
    Bug(
        "undone_drain_gives_every_queue",
        "processes without the claim journal pay",
        ("tests/scenarios/test_commands.py::test_undone_drain_gives_each_worker_the_queues_that_it_had_and_no_other",),
        (
            (
                "worker/cli/drain.py",
                '    told = _tell(app, "add_consumer", drained)',
                '    told = _tell(app, "add_consumer", {worker: [queue.name for queue in app.conf.task_queues] for worker in drained})',
            ),
        ),
    ),
    Bug(
        "drain_takes_two_of_one_name_for_one",
        "processes without the claim journal pay",
        ("tests/scenarios/test_commands.py::test_drain_touches_no_queue_where_two_processes_have_one_name",),
        (("worker/cli/drain.py", "if shared := shared_names(stats):", "if shared := shared_names([]):"),),
    ),
    Bug(
        "restore_check_content_with_nobody",
        "a database that was set back is said to know all while Redis is away",
        ("tests/restore/test_stop.py::test_check_without_anybody_to_ask_says_so_and_is_not_well",),
        (("worker/cases/money/restore.py", "or missing or self.unasked", "or missing"),),
    ),
    Bug(
        "promise_unwatched_while_the_pipeline_hangs",
        "nobody is warned of a promise that is broken",
        ("tests/cases/test_assess.py::test_promise_is_watched_while_every_call_outside_ends_the_sweep",),
        (
            (
                "worker/cases/sweep.py",
                "        warned = self._watch_promises()\n        # last what asks others, who may be slow or away: the rest needs the database alone\n        announced, asked = self._perform_due()\n",
                "        announced, asked = self._perform_due()\n        warned = self._watch_promises()\n",
            ),
        ),
    ),
    Bug(
        "customer_told_late_is_not_learnt",
        "a double charge is kept for ever where the history left the customer out",
        ("tests/money/test_told.py::test_double_charge_whose_customer_or_product_is_told_of_later_is_found",),
        (
            (
                "worker/cases/assess/bought.py",
                "    later |= {name: row[name] for name in _LEARNT_ONCE",
                "    {name: row[name] for name in _LEARNT_ONCE",
            ),
        ),
    ),
    Bug(
        "charge_for_no_known_product_is_not_found",
        "credits of a charge that is disputed can be spent where the history left the product out",
        ("tests/money/test_told.py::test_dispute_that_is_told_of_before_the_purchase_is_kept",),
        (("worker/cases/money/facts.py", 'func.coalesce(p.product_id, "")', "p.product_id"),),
    ),
    Bug(
        "charges_of_other_periods_are_counted_as_the_same",
        "a person reads of more charges for the same than there are, and a no is taken up again for one that is none",
        ("tests/policy/test_charges.py",),
        (("policy/duplicates.py", "charge.amount, charge.price, _period(charge)", "charge.amount, charge.price"),),
    ),
    Bug(
        "lot_stays_open_when_it_is_spent",
        "a second job is paid from credits that the first one took",
        ("tests/cases/test_ledger.py",),
        (("worker/credits/lots.py", "emptied = len(shares) - bool(left)", "emptied = len(shares) - 1"),),
    ),
    Bug(
        "customer_changes_with_what_is_told_later",
        "a charge is compared with those of somebody else",
        ("tests/money/test_told.py::test_customer_that_is_known_is_not_changed_by_another_that_is_told_later",),
        (("worker/cases/assess/bought.py", "if stands[name] is None and row[name] is not None}", "if row[name] is not None}"),),
    ),
    Bug(
        "pass_is_always_untouched",
        "a pass that was used leaves by itself as a duplicate",
        ("tests/money/test_told.py::test_pass_under_which_jobs_ran_does_not_go_back_by_itself",),
        (("worker/cases/money/duplicate.py", ", jobs=jobs_under(work.tx, charge))", ")"),),
    ),
    Bug(
        "pass_is_used_while_its_claim_waits",
        "a pass under which jobs ran since leaves by itself",
        ("tests/money/test_told.py::test_pass_under_which_jobs_ran_does_not_go_back_by_itself",),
        (("worker/cases/money/approved.py", " or _used_since(intent)\n", "\n"),),
    ),
    Bug(
        "order_is_bound_to_what_was_declined",
        "refunds of the charge that was paid are lost, and a double charge of it stays",
        ("tests/money/test_told.py::test_order_is_known_by_the_transaction_that_was_paid_and_not_by_one_that_was_declined",),
        (
            (
                "worker/cases/reconcile/customers.py",
                "    if [each for each in held if each not in taken] != [seen.id]:\n",
                "    if False:\n",
            ),
        ),
    ),
    Bug(
        "order_is_bound_to_any_amount",
        "a purchase is known by a charge that is not its own",
        ("tests/money/test_told.py::test_order_whose_transaction_is_not_certain_is_put_to_a_person_and_bound_to_none",),
        (("worker/cases/reconcile/customers.py", " and may_be(rows[0], seen) else None", " else None"),),
    ),
    Bug(
        "webhook_put_off_holds_nobody_back",
        "a charge that another hand gave back, of which Creem told us, is given back once more",
        ("tests/money/test_arm.py::test_webhook_put_off_that_may_be_about_the_claim_is_waited_for",),
        (
            (
                "worker/cases/money/unheard.py",
                "    return next((_said(row) for row in rows if",
                "    return None and next((_said(row) for row in rows if",
            ),
        ),
    ),
    Bug(
        "webhook_of_nobody_holds_nobody_back",
        "what nobody can place may be about the very charge, and its money leaves",
        ("tests/money/test_arm.py::test_webhook_put_off_that_may_be_about_the_claim_is_waited_for",),
        (("worker/cases/money/unheard.py", "in {None, payment.account_id} or said", "in {payment.account_id} or said"),),
    ),
    Bug(
        "webhook_in_hand_is_taken_for_one_put_off",
        "money leaves beside what Creem is telling us at this moment",
        ("tests/money/test_arm.py::test_webhook_of_anybody_that_nobody_looked_at_yet_is_waited_for",),
        (
            (
                "worker/store/inbox.py",
                "and_(inbox.c.due_at > now, or_(inbox.c.last_error.is_not(None), released))",
                "inbox.c.attempts > 0",
            ),
        ),
    ),
    Bug(
        "webhook_of_one_customer_stops_everybody",
        "one webhook that cannot be handled keeps the money of all customers",
        ("tests/money/test_arm.py::test_webhook_put_off_that_is_about_somebody_elses_charge_is_not_waited_for",),
        (("worker/cases/money/unheard.py", " if _may_be_about(payment, hooks[row.id].said, places[row.id])", ""),),
    ),
    Bug(
        "vanished_server_is_waited_for",
        "a Postgres that dies without a word holds intake and commits up for a quarter of an hour",
        ("tests/store/test_engine.py::test_line_that_is_dead_is_noticed_by_the_system_itself",),
        (("worker/store/engine.py", '    "tcp_user_timeout": 20_000,\n', ""),),
    ),
    Bug(
        "address_cannot_change_the_line",
        "whoever needs longer times for the line to Postgres sets them in vain",
        ("tests/store/test_engine.py::test_what_the_address_says_of_the_line_stands",),
        (
            (
                "worker/store/engine.py",
                " for name, value in LINE.items() if name not in parsed.query",
                " for name, value in LINE.items()",
            ),
        ),
    ),
    Bug(
        "every_process_reaches_the_world",
        "whoever takes over the console carries away what the database tells",
        ("tests/deploy/test_network.py::test_process_reaches_whom_its_work_needs_and_nobody_else",),
        (
            (
                "deploy/kubernetes/network.yml",
                "podSelector: {matchLabels: {app: refunds, part: money}}",
                "podSelector: {matchLabels: {app: refunds}}",
            ),
        ),
    ),
    Bug(
        "web_may_do_all_that_a_worker_may",
        "whoever takes over the one process that outsiders reach takes events off the stream and announces refunds",
        ("tests/deploy/test_acl.py::test_user_may_not",),
        (
            (
                "deploy/redis/users.acl",
                "user web on >choose-a-third &*.celeryev* -@all",
                "user web on >choose-a-third ~* &* -@all +@all",
            ),
        ),
    ),
    Bug(
        "signature_is_compared_letter_by_letter",
        "who forges webhooks finds the signature one letter after another, by the time the answer takes",
        ("tests/creem/test_webhooks.py::test_signature_is_weighed_alike_whatever_is_wrong_with_it",),
        (("worker/creem/webhooks.py", "hmac.compare_digest(made, header)", "made == header"),),
    ),
    Bug(
        "settings_read_the_environment_themselves",
        "an empty REFUNDS_JOURNAL_DIR or REFUNDS_MAIL_DIR is the working directory: claims are kept, and files taken for mails, there",
        ("tests/house/test_environ.py::test_what_is_empty_or_unknown_in_the_environment_of_the_process_reaches_no_setting",),
        (("worker/settings.py", "return (init_settings,)", "return (init_settings, env_settings)"),),
    ),
    Bug(
        "blanks_are_part_of_a_name",
        "one blank too many in REFUNDS_STREAM, and every event waits on a stream that nobody reads",
        ("tests/house/test_environ.py::test_blanks_around_a_name_or_folder_are_refused_and_not_taken_for_part_of_it",),
        (("worker/settings.py", "value != value.strip()", "not value"),),
    ),
    Bug(
        "what_gives_no_answer_is_ready",
        "a database that stands still counts as ready, and nobody is sent for",
        ("tests/web/test_standing_still.py::test_readiness_says_so_in_seconds_and_then_at_once",),
        (("worker/web/app.py", "return error.strerror", "return None"),),
    ),
    # the audit: what was altered is named
    Bug(
        "case_moved_by_hand_is_not_found",
        "whoever empties the queue of people by SQL leaves books that hold, and customers who are silently not paid",
        ("tests/cases/test_audit_corruptions.py",),
        (
            (
                "worker/cases/audit/records.py",
                '    ("cases_stand_where_history_moved_them", _cases_stand_where_history_moved_them),\n',
                "",
            ),
        ),
    ),
    Bug(
        "case_that_never_moved_is_final_by_hand",
        "a case that waits for a person since it was opened is closed by SQL, and the audit sees nothing",
        ("tests/cases/test_audit_corruptions.py",),
        (
            (
                "worker/cases/audit/records.py",
                "        .where(or_(ended, and_(to != c.state",
                "        .where(or_(and_(to != c.state",
            ),
        ),
    ),
    Bug(
        "decision_written_over_is_not_found",
        "whoever writes another outcome or rule on a case leaves a decision that its facts and its history do not explain",
        ("tests/cases/test_audit_corruptions.py",),
        (("worker/cases/audit/records.py", '    ("decisions_are_as_history_tells", _decisions_are_as_history_tells),\n', ""),),
    ),
    Bug(
        "call_taken_off_the_record_is_not_found",
        "a call that moved money is deleted or called refused, and another may follow it",
        ("tests/cases/test_audit_corruptions.py",),
        (("worker/cases/audit/records.py", '    ("calls_are_as_history_tells", _calls_are_as_history_tells),\n', ""),),
    ),
    Bug(
        "answer_of_a_call_is_whatever_its_row_says",
        "a call that may have moved money is called refused, and the claim may be taken back and made anew",
        ("tests/cases/test_audit_corruptions.py",),
        (
            (
                "worker/cases/audit/records.py",
                'exists().where(*call, t.outcome == h.detail["outcome"].as_string())',
                "exists().where(*call)",
            ),
        ),
    ),
    Bug(
        "event_said_to_be_handled_is_lost",
        "whoever empties the inbox by one update has failed jobs that nobody judged, and customers who are silently not paid",
        ("tests/cases/test_audit_corruptions.py",),
        (
            (
                "worker/cases/audit/documents.py",
                '    ("handled_events_are_in_their_jobs", _handled_events_are_in_their_jobs),\n',
                "",
            ),
        ),
    ),
    Bug(
        "document_written_over_with_its_hash_is_not_found",
        "what the pipeline or the product said is written over or deleted, and nothing says otherwise any more",
        ("tests/cases/test_chain.py",),
        (
            (
                "worker/cases/chain/links.py",
                '    inbox: ("id", "source", "event_id", "type", "account_id", "job_id", "sha256"),\n',
                "",
            ),
        ),
    ),
    Bug(
        "put_off_for_ever_is_not_overdue",
        "a row that a wrong clock wrote is due in years: its customer is not paid, and the audit is silent",
        ("tests/cases/test_audit_corruptions.py",),
        (("worker/cases/audit/times.py", "at > after(span), *which", "at < after(span), at > after(span)"),),
    ),
    Bug(
        "money_approved_and_claimed_by_nobody_is_on_its_way",
        "the claim of a refund that a person approved is taken off the books, and its customer waits for ever",
        ("tests/cases/test_audit_corruptions.py",),
        (("worker/cases/audit/money.py", "and_(in_flight, not_(open_claim))", "and_(by_itself, in_flight, not_(open_claim))"),),
    ),
    Bug(
        "who_proposed_is_whatever_the_row_says",
        "one person writes another name on their own proposal, and agrees to it",
        ("tests/cases/test_audit_corruptions.py",),
        (("worker/cases/audit/people.py", "or_(~proposed, and_(", "or_(and_("),),
    ),
    Bug(
        "traceback_shows_what_its_code_held",
        "keys and what customers wrote stand in the log of whoever runs it on a terminal",
        ("tests/threats/test_leaks.py::test_traceback_shows_nothing_that_its_code_held",),
        (("worker/observe.py", "exception_formatter=structlog.dev.plain_traceback, ", ""),),
    ),
    Bug(
        "declared_length_of_a_form_is_not_looked_at",
        "a form that says it is large is read all the same",
        ("tests/web/console/test_forms.py::test_form_that_is_too_large_is_refused_before_it_is_read",),
        (("worker/web/body.py", "int(declared[:20]) > most:", "False:"),),
    ),
    Bug(
        "delivery_waits_for_its_hint",
        "a Redis that stands still has Creem wait for every answer until it gives up, though the delivery is stored",
        ("tests/web/test_standing_still.py::test_deliveries_are_answered_at_once_while_redis_stands_still",),
        (
            (
                "worker/web/app.py",
                "            answer.background = BackgroundTask(self._hint, [row_id])",
                "            await run_in_threadpool(self._hint, [row_id])",
            ),
        ),
    ),
    Bug(
        "time_is_waited_for_without_end",
        "a database that stands still takes the figures along, and nobody is sent for",
        ("tests/web/test_standing_still.py::test_figures_by_the_time_of_the_database_say_so_in_seconds",),
        (("worker/runtime.py", "patience.look(lambda: runtime.store.read(database_time))", "runtime.store.read(database_time)"),),
    ),
    Bug(
        "who_takes_no_mails_wants_their_folder",
        "with requests by mail every pod is told of their folder: intake and schedule, which have none, do not start, and no event comes in",
        ("tests/deploy/test_pods.py::test_what_kubernetes_starts_keeps_the_promise",),
        (
            (
                "worker/app.py",
                "    _ = first.bench\n",
                "    _ = first.bench\n    _ = first.maildir is not None and first.maildir.check()\n",
            ),
        ),
    ),
    Bug(
        "case_woken_before_its_time_stays_due",
        "a case that credits come back to, too few, is looked at by every sweep for days, and many of them keep all others waiting",
        ("tests/cases/test_covered.py::test_job_that_credits_come_back_to_and_are_too_few_waits_on_to_its_end",),
        (("worker/cases/assess/judge.py", "        remind(case, now, until - now)\n        return\n", "        return\n"),),
    ),
    Bug(
        "edition_that_decided_may_be_missing",
        "a process with another folder of terms judges what failed under the edition that it lacks by the one before it",
        ("tests/cases/test_editions.py::test_nobody_decides_without_an_edition_that_decided_something",),
        (("worker/cases/editions/editions.py", "        if edition not in here and", "        if False and"),),
    ),
    Bug(
        "commands_decide_by_any_terms",
        "an import, or a person at a shell, decides by an edition that one person put there and two have to agree to",
        ("tests/scenarios/test_commands.py::test_no_command_decides_by_terms_that_no_process_would_decide_by",),
        (("worker/cli/output.py", "Runtime.start(settings()).judging()", "Runtime.start(settings()).ready()"),),
    ),
    Bug(
        "limit_of_money_is_of_the_old_edition",
        "limits were raised, and the first charge of before stops all money for a person, again and again",
        ("tests/money/test_limits.py::test_how_much_leaves_in_an_hour_is_said_by_the_edition_of_that_hour",),
        (("worker/cases/money/arm.py", "bench.terms_at(with_.now)", "bench.terms_at(intent.case.failed_at)"),),
    ),
    Bug(
        "any_time_of_the_database_is_believed",
        "a minute in which the database's clock is a year ahead deletes files of open requests, drops letters, and declines as too late what was asked in time",
        ("tests/house/test_clock.py::test_clock_of_the_database_that_jumps_by_days_is_not_gone_by",),
        (("worker/clock.py", "any(abs(there - time) <= MOST_APART for time in borne_out)", "borne_out"),),
    ),
    Bug(
        "what_another_edition_judged_is_not_seen",
        "one process of many goes on without the edition in force, and nobody hears that its customers are judged by the one before",
        ("tests/cases/test_editions.py::test_what_another_edition_judged_than_was_in_force_is_named",),
        (("worker/cases/editions/editions.py", "c.terms != terms.edition,", "c.terms == None,"),),
    ),
    Bug(
        "first_payment_without_its_transaction_is_another",
        "a subscription's first payment grants twice where the history names no transaction, and its refund is offered to a person",
        ("tests/money/test_nameless.py",),
        (("worker/cases/assess/bought.py", " or _paid_before(book, said)\n", "\n"),),
    ),
    Bug(
        "month_of_an_order_is_its_first_payment",
        "a renewal is taken for the first month, whose history names no transaction: its credits are not granted",
        ("tests/money/test_nameless.py",),
        (("worker/cases/assess/bought.py", "len(orders) == 1 and apart < SHORTEST_PERIOD and ", "len(orders) == 1 and "),),
    ),
    Bug(
        "claim_is_spent_beside_a_charge_that_cannot_be_read",
        "whoever was charged twice is paid by nobody's call: the one claim ended because the earlier charge named no transaction",
        ("tests/money/test_nameless.py",),
        (("worker/cases/money/duplicate.py", " or _first_is_nameless(first)", ""),),
    ),
    Bug(
        "call_that_is_begun_stays_one_of_which_nothing_left",
        "set back to before a call, the process that made it takes it for one that it never sent, and pays twice",
        ("tests/restore/test_undone.py",),
        (("worker/cases/money/pay.py", "        self.witnesses.begins_call(self._key(turn))\n", ""),),
    ),
    Bug(
        "arming_that_was_undone_may_have_paid",
        "a call of which no byte left is unknown: its customer waits a day, for a person",
        ("tests/restore/test_undone.py",),
        (("worker/cases/money/arm.py", "if unknown and set(unknown) <= {*ours} else payment", "if False else payment"),),
    ),
    Bug(
        "any_call_without_an_answer_was_never_sent",
        "a call that another process made, and died over, is made again",
        ("tests/restore/test_undone.py::test_another_call_of_the_charge_is_none_that_was_never_sent",),
        (
            (
                "worker/cases/money/pay.py",
                "or payment.state != PaymentState.SENDING.value or armed not in ours:",
                "or payment.state != PaymentState.SENDING.value:",
            ),
        ),
    ),
    Bug(
        "disk_of_the_journal_is_waited_for_without_end",
        "a network disk that hangs holds every refund, and an account with each, and nothing says why",
        ("tests/restore/test_journal.py::test_disk_that_does_not_answer_is_away_within_seconds_and_back_when_it_does",),
        (("worker/cases/money/journal.py", "self._disk.look(self._take_in_all)", "self._take_in_all()"),),
    ),
    Bug(
        "requeued_rerun_stays_due_until_its_deadline",
        "as many re-running cases as a batch has, put back by a person, keep all others that are due waiting for an hour",
        ("tests/cases/test_poison.py::test_requeue_of_a_case_that_goes_on_waiting_for_its_rerun_costs_one_look",),
        (
            (
                "worker/cases/assess/carry_out.py",
                "if again_at is not None:",
                "if target is CaseState.REVIEW and again_at is not None:",
            ),
        ),
    ),
    Bug(
        "files_of_every_case_go_with_those_of_one",
        "what customers of open cases handed in is deleted when another's case has been decided",
        ("tests/requests/test_evidence.py::test_files_of_a_decided_case_go_and_those_of_another_stay",),
        (
            (
                "worker/cases/requests/evidence.py",
                'where(tx.among(evidence.c.evidence_id, ids), evidence.c.state == "kept")',
                'where(evidence.c.state == "kept")',
            ),
        ),
    ),
    Bug(
        "refused_rerun_refuses_all_that_were_asked",
        "one order that the pipeline refuses gives back the credits of jobs that are re-running, which then deliver",
        ("tests/cases/test_assess.py::test_answer_about_one_rerun_is_none_about_another",),
        (
            (
                "worker/cases/effects/effects.py",
                "asked = (reruns.c.job_id == effect.job_id, reruns.c.state",
                "asked = (reruns.c.job_id.is_not(None), reruns.c.state",
            ),
        ),
    ),
    Bug(
        "credits_that_are_held_are_told_of_with_anothers",
        "a customer reads that credits are back on the account which are frozen, and void soon after",
        ("tests/requests/test_told.py::test_credits_that_can_be_spent_again_are_told_of_to_nobody_whose_purchase_is_still_held",),
        (
            (
                "worker/cases/money/close.py",
                "back = frozen.where(p.purchase_id == purchase_id, p.kind",
                "back = frozen.where(p.purchase_id.is_not(None), p.kind",
            ),
        ),
    ),
    Bug(
        "case_that_is_set_aside_takes_others_along",
        "every case that stands as a poisonous one does is handed to a person with its error",
        ("tests/cases/test_poison.py::test_case_that_is_set_aside_takes_none_along_that_stands_as_it_does",),
        (
            (
                "worker/cases/assess/waker.py",
                "update(cases).where(cases.c.case_id == case_id, cases.c.state",
                "update(cases).where(cases.c.case_id.is_not(None), cases.c.state",
            ),
        ),
    ),
    Bug(
        "calls_of_every_claim_moved_nothing",
        "what a claim learns from the journal says of another's call without an answer that it moved nothing: it is paid twice",
        ("tests/store/test_claims.py::test_calls_that_a_claim_learns_of_are_none_of_anothers",),
        (
            (
                "worker/cases/money/remember.py",
                "earlier = (a.payment_id == payment.payment_id, a.attempt",
                "earlier = (a.payment_id.is_not(None), a.attempt",
            ),
        ),
    ),
    Bug(
        "every_claim_that_ended_is_opened_again",
        "one call that the journal alone knows opens the claims of all other customers",
        ("tests/store/test_claims.py::test_claim_that_is_opened_again_over_a_call_opens_no_other",),
        (
            (
                "worker/cases/money/remember.py",
                "update(payments).where(payments.c.payment_id == payment.payment_id).values(again)",
                "update(payments).values(again)",
            ),
        ),
    ),
    Bug(
        "end_of_one_subscription_is_that_of_all",
        "a customer cancels, and every renewal of every other counts as cancelled before it",
        ("tests/requests/test_renewals.py::test_end_of_one_subscription_is_that_of_no_other_nor_of_what_others_bought",),
        (("worker/cases/money/ends.py", "update(subscriptions).where(one).values", "update(subscriptions).values"),),
    ),
    Bug(
        "refund_that_succeeded_settles_all_that_were_told_of",
        "what went back of one charge says of others, whose refund is pending, that their money is back",
        ("tests/money/test_told.py::test_what_is_told_of_one_charge_is_nothing_about_another",),
        (
            (
                "worker/cases/money/charges.py",
                "where(creem_refunds.c.refund_id == one.refund_id, unsettled)",
                "where(unsettled)",
            ),
        ),
    ),
    Bug(
        "dispute_of_any_charge_is_an_earlier_one_of_this",
        "credits are held again over a dispute that was won, because another customer has one",
        ("tests/review/test_disputes_over.py::test_reads_and_late_words_of_a_dispute_that_was_won_hold_nothing_again",),
        (
            (
                "worker/cases/money/charges.py",
                "named = exists().where(d.transaction_id == one.transaction_id, d.dispute_id",
                "named = exists().where(d.transaction_id.is_not(None), d.dispute_id",
            ),
        ),
    ),
    Bug(
        "answer_is_kept_with_every_call_that_waits_for_one",
        "a call of another claim, of which nothing is known, has the answer of this one, and this one has none",
        ("tests/money/test_races.py::test_answer_is_kept_with_its_own_call_beside_one_that_has_none_yet",),
        (
            (
                "worker/cases/money/record.py",
                "            payment_attempts.c.payment_id == turn.payment_id,\n            payment_attempts.c.attempt",
                "            payment_attempts.c.attempt",
            ),
        ),
    ),
    Bug(
        "suspension_of_one_account_is_that_of_all",
        "two people suspend one customer, and every customer of the product is locked out",
        ("tests/review/test_review.py::test_suspension_needs_a_second_different_person",),
        (
            (
                "worker/cases/review/act.py",
                "update(accounts).where(accounts.c.account_id == account_id).values",
                "update(accounts).values",
            ),
        ),
    ),
    Bug(
        "order_that_is_named_for_one_mail_is_that_of_all",
        "a person names the order that one mail means, and every other customer's request is about it",
        ("tests/review/test_named_by_a_person.py::test_order_that_a_person_names_is_what_the_mail_is_judged_by",),
        (("worker/cases/review/naming.py", "update(requests).where(about).values", "update(requests).values"),),
    ),
    Bug(
        "mails_of_all_cases_are_judged_alone_with_one",
        "where one charge is no duplicate after all, the mails and files of all customers become that one request",
        ("tests/requests/test_told.py::test_mail_that_asks_for_more_than_the_case_it_was_put_to_is_judged_by_itself",),
        (
            (
                "worker/cases/requests/alone.py",
                "update(table).where(table.c.case_id == standing.case_id).values",
                "update(table).values",
            ),
        ),
    ),
    Bug(
        "files_of_all_mails_go_with_the_rest_of_one",
        "what other customers handed in stands with the case of what one mail asked for besides",
        ("tests/requests/test_rest.py::test_rest_of_one_mail_takes_nothing_of_anothers_along",),
        (
            (
                "worker/cases/requests/rest.py",
                "files = evidence.c.request_id == mail.request_id, evidence",
                "files = evidence.c.request_id.is_not(None), evidence",
            ),
        ),
    ),
    Bug(
        "one_copy_vouches_for_every_mail_that_waits",
        "whoever writes in another's name is believed as soon as anybody's own mailbox has been vouched for",
        ("tests/requests/test_requests.py::test_copy_that_is_vouched_for_gives_its_word_for_no_other_mail_that_waits_for_one",),
        (
            (
                "worker/cases/requests/placing.py",
                "update(requests).where(first).values(confirmed_at",
                "update(requests).values(confirmed_at",
            ),
        ),
    ),
    Bug(
        "commit_that_failed_stays_on_its_connection",
        "after one commit that fails, on a full disk of SQLite, a process can begin nothing on that connection any more",
        ("tests/store/test_engine.py::test_commit_that_fails_leaves_nothing_begun_on_its_connection",),
        (
            (
                "worker/store/engine.py",
                "                if not keep:\n                    transaction.rollback()\n",
                "                transaction.commit() if keep else transaction.rollback()\n",
            ),
        ),
    ),
    Bug(
        "book_that_moved_leaves_the_old_database_open",
        "two books that both pay: a process that was not stopped gives the same money back from the old one",
        ("tests/moving/test_move.py::test_whoever_dies_at_any_commit_leaves_one_book_that_can_be_gone_on_with_and_never_two",),
        (("worker/cases/move.py", 'close(source, move, f"the book was moved on', 'str(f"the book was moved on'),),
    ),
    Bug(
        "copy_is_open_before_the_old_database_is_closed",
        "whoever is started on the copy of a move that was broken off pays what the old book pays",
        ("tests/moving/test_move.py::test_whoever_dies_at_any_commit_leaves_one_book_that_can_be_gone_on_with_and_never_two",),
        (
            (
                "worker/cases/move.py",
                'close(target, move, f"the book of {redacted(self.source.url)} is on',
                'str(f"the book of {redacted(self.source.url)} is on',
            ),
        ),
    ),
    Bug(
        "closed_database_only_says_that_it_is",
        "a process that looks once a minute acknowledges events into a book that nobody reads, and pays from it",
        ("tests/moving/test_move.py::test_closed_database_takes_no_write_from_anybody",),
        (
            (
                "worker/store/closed.py",
                "for statement in _CLOSING_POSTGRES if tx.postgres else _CLOSING_SQLITE:",
                "for statement in _CLOSING_POSTGRES[:0]:",
            ),
            (
                "worker/store/closed.py",
                "for statement in _OPENING_POSTGRES if tx.postgres else _OPENING_SQLITE:",
                "for statement in _OPENING_POSTGRES[:0]:",
            ),
        ),
    ),
    Bug(
        "book_is_copied_while_others_write_into_it",
        "an event that was acknowledged behind the copy is in neither book",
        ("tests/moving/test_move.py::test_nobody_writes_into_either_while_the_book_is_copied",),
        (("worker/store/copying.py", "tx.connection.execute(text(_LOCK))", "text(_LOCK)"),),
    ),
    Bug(
        "what_was_copied_is_not_compared",
        "a target that changes or drops rows as they come holds another record of what was paid, and the old one is closed",
        ("tests/moving/test_move.py::test_target_that_makes_other_rows_of_what_it_is_given_is_refused",),
        (("worker/store/copying.py", "if found != copied[table.name]:", "if False:"),),
    ),
    Bug(
        "numbers_of_a_moved_book_begin_again",
        "no event is taken in after the move: each gets the number of a row that came",
        ("tests/moving/test_move.py::test_new_rows_have_numbers_behind_those_that_came",),
        (("worker/store/copying.py", "if number is not None:", "if False:"),),
    ),
    Bug(
        "file_from_before_the_move_stands_as_high_as_the_book",
        "a copy of the old file pays beside the new database: no witness knows that it is behind",
        ("tests/moving/test_move.py::test_file_that_was_put_back_from_before_the_move_pays_nothing",),
        (("worker/cases/move.py", "if epoch.mark_of(target):", "if False:"),),
    ),
    Bug(
        "intake_of_a_closed_database_keeps_events_in_hand",
        "one that nobody stopped reads what comes and tries it again for ever: no event reaches the database that the book is in",
        ("tests/intake/test_consumer.py::test_consumer_that_can_keep_nothing_leaves_the_stream_to_others_until_it_can",),
        (("worker/intake/consumer.py", "                if unfit:\n", "                if False:\n"),),
    ),
    Bug(
        "witnesses_hear_nothing_of_a_move",
        "where whoever armed the last call died before telling them, money stops as after a restore: customers wait for a person",
        ("tests/moving/test_move.py::test_witnesses_that_were_not_told_of_the_last_call_bear_the_moved_book_out",),
        (("worker/cases/move.py", "        self._tell()\n", ""),),
    ),
    Bug(
        "database_that_is_opened_again_pays_at_once",
        "what the other database sent since the move is sent once more",
        (
            "tests/moving/test_move.py::test_closed_database_is_opened_again_for_whoever_lost_the_other_and_money_waits_for_a_person",
        ),
        (("worker/cases/move.py", "epoch.stop(tx, f", "(lambda *_: None)(tx, f"),),
    ),
    Bug(
        "book_that_does_not_hold_is_moved",
        "what was wrong in the old book stands in the new one, and nothing is left to look it up in",
        ("tests/moving/test_move.py::test_book_that_cannot_be_moved_whole_stays_where_it_is_and_open",),
        (("worker/cases/move.py", "if not audit.ok:", "if False:"),),
    ),
    Bug(
        "move_into_a_database_in_use",
        "two books run into one, and cases of both are paid by whichever rows come first",
        ("tests/moving/test_move.py::test_target_that_is_not_empty_not_upgraded_or_the_same_is_refused",),
        (("worker/cases/move.py", "    if holds:\n", "    if False:\n"),),
    ),
    Bug(
        "lift_after_a_restore_ends_every_stop",
        "who lifts the stop for a restore lets money go that a colleague had stopped, or a limit",
        ("tests/restore/test_stop.py::test_what_is_lifted_is_the_stop_for_a_restore_and_no_other",),
        (("worker/cases/money/restore.py", "update(breakers).where(breakers.c.name == limits.RESTORE)", "update(breakers)"),),
    ),
    Bug(
        "right_password_ends_every_wait",
        "whoever may sign in can try the passwords of all others without end",
        ("tests/web/console/test_sign_in.py::test_right_password_of_one_name_ends_the_wait_of_no_other",),
        (("worker/operators/credentials.py", "delete(sign_ins).where(sign_ins.c.name.in_(keys))", "delete(sign_ins)"),),
    ),
    Bug(
        "passwords_tried_at_once_are_all_looked_at",
        "whoever sends many guesses in one moment has all of them tried, and counted as one",
        ("tests/web/console/test_at_once.py::test_of_wrong_passwords_at_once_one_is_looked_at",),
        (("worker/operators/credentials.py", ".order_by(sign_ins.c.name).with_for_update()", ".order_by(sign_ins.c.name)"),),
    ),
    Bug(
        "credits_at_creem_go_to_whoever_bought_first",
        "where the customer of a purchase is learnt late, another customer's account at Creem is given its credits",
        ("tests/credits/test_at_creem.py::test_entry_of_a_purchase_whose_customer_is_learnt_later_goes_to_that_customer",),
        (
            (
                "worker/credits/at_creem.py",
                "bought_by = select(purchases.c.customer_id).where(purchases.c.purchase_id == e.purchase_id)",
                "bought_by = select(purchases.c.customer_id)",
            ),
        ),
    ),
    Bug(
        "mail_goes_on_with_that_of_another_account",
        "whoever writes on top of somebody else's mail, or after it, is put to that case, and has its place in the queue",
        ("tests/requests/test_threads.py::test_mail_goes_on_with_none_of_another_account",),
        (
            (
                "worker/cases/requests/joins.py",
                "theirs = cases.c.account_id == about.account_id, requests.c.confirmed_at",
                "theirs = cases.c.account_id.is_not(None), requests.c.confirmed_at",
            ),
        ),
    ),
    Bug(
        "stream_that_cannot_be_read_agrees",
        "an event that was lost between stream and books is looked for nowhere, and the command says that both sides agree",
        ("tests/scenarios/test_commands.py::test_reconcile_and_recover_do_not_agree_with_a_stream_that_they_could_not_read",),
        (
            (
                "worker/cli/money.py",
                'raise Unread("the stream", f"{one_line(error)}; --books-only leaves it out") from error',
                'output.say_wrong(f"the stream could not be compared: {one_line(error)}; --books-only leaves it out")',
            ),
        ),
    ),
    Bug(
        "word_that_is_anybodys_order_tells_whose_the_mail_is",
        "a stranger who writes of their order, please, has the customer whose order is called so asked about it",
        ("tests/requests/test_requests.py::test_id_of_letters_alone_counts_where_it_is_one_of_the_account_that_writes",),
        (
            (
                "worker/cases/requests/identify.py",
                "if len(word) >= SHORTEST and marked(word))})",
                "if len(word) >= SHORTEST)})",
            ),
        ),
    ),
    Bug(
        "what_a_killed_worker_started_goes_on",
        "who starts a worker in `observe` after one that was killed still has processes that give credits and send money",
        ("tests/scenarios/test_main_job.py::test_what_a_worker_started_ends_with_it_however_it_ends",),
        (("worker/cli/supervise.py", "[*bound, *self.command], start", "self.command, start"),),
    ),
    Bug(
        "worker_runs_what_lies_in_its_folder",
        "started in the folder of a product or of another release, it runs that one's modules with our settings and key, or nothing",
        ("tests/scenarios/test_host.py::test_worker_started_in_the_folder_of_another_program_runs_its_own_modules",),
        (("worker/cli/supervise.py", 'found = [] if _looks_here() else ["-P"]', "found = list[str]()"),),
    ),
    Bug(
        "tasks_go_to_the_broker_of_another_program",
        "where the host has another Celery's broker in its environment, what the intake sends lies where nobody takes it",
        ("tests/scenarios/test_host.py::test_command_of_celery_sends_to_our_redis_whatever_broker_its_environment_names",),
        (("worker/broker.py", "for name in BEFORE_ANY_SETTING:", "for name in ():"),),
    ),
    Bug(
        "log_that_nobody_reads_holds_up_all_work",
        "where a log collector stands still, no event is taken in, no webhook answered, and SIGTERM ends nobody",
        ("tests/house/test_outlet.py::test_process_whose_log_nobody_reads_goes_on",),
        (("worker/observe.py", "self._outlet = outlet_of(stream.fileno())", "outlet_of(stream.fileno())"),),
    ),
    Bug(
        "file_that_takes_no_writes_is_well",
        "status, doctor and /readyz say that all is well while no event is taken in, for the file is another user's or its disk read-only",
        ("tests/store/test_engine.py::test_file_that_takes_no_writes_is_said_and_not_taken_for_a_database_that_is_well",),
        (("worker/store/schema.py", "return takes_no_writes(tx.connection.engine.url)", "return None"),),
    ),
    Bug(
        "time_stands_still_while_the_host_sleeps",
        "an intake whose host slept for days makes dead letters of what came meanwhile, and writes down times that are long over",
        ("tests/house/test_clock.py::test_time_of_all_processes_goes_on_while_the_host_is_suspended",),
        (
            (
                "worker/clock.py",
                "host: Clock, timer: Callable[[], float] = elapsed)",
                "host: Clock, timer: Callable[[], float] = time.monotonic)",
            ),
        ),
    ),
    Bug(
        "plan_of_a_requeue_hides_what_it_begins",
        "whoever puts a case back is shown that nothing happens outside, and money leaves",
        ("tests/money/test_procedure.py::test_plan_of_a_requeue_says_what_money_would_go_back",),
        (("worker/cases/requeue.py", "(*outside, *begun))", "tuple(outside))"),),
    ),
    Bug(
        "receipt_deletes_any_file_of_the_host",
        "a row of receipts that was put in by hand has a file deleted that is none of ours, or shown to an operator",
        ("tests/requests/test_evidence.py::test_receipt_that_names_a_file_of_the_host_touches_none_and_keeps_no_other",),
        (
            (
                "worker/cases/requests/files.py",
                "        if not (_WHOLE.fullmatch(name) or _HALF.fullmatch(name)):\n",
                "        if False:\n",
            ),
        ),
    ),
    Bug(
        "call_in_hand_is_broken_off",
        "each restart by systemd, which tells all processes at once, may leave a refund of which nobody knows whether it left",
        ("tests/scenarios/test_money.py::test_call_is_answered_though_every_process_of_the_service_is_told_to_end_at_once",),
        (("worker/app.py", "_end_the_task)\n        _end_between_tasks()\n", "_end_the_task)\n"),),
    ),
    Bug(
        "process_that_is_told_to_end_takes_the_next_task",
        "whoever ends one process of a busy pool has a refund broken off after ninety seconds, of which nobody knows whether it left",
        ("tests/scenarios/test_money.py::test_process_that_is_told_to_end_by_itself_takes_no_other_task",),
        (("worker/app.py", "    signals.task_prerun.connect(begin_no_other, weak=False)\n", ""),),
    ),
    Bug(
        "one_look_at_a_server_that_hangs_is_kept_for_minutes",
        "half a minute without an answer pages two people for four minutes more, in which no figure says who waits",
        (
            "tests/web/test_metrics.py::test_long_look_is_kept_for_twenty_times_as_long_and_one_that_found_a_part_silent_for_less_than_its_alert_waits",
        ),
        (("worker/web/metrics.py", "min(keep, SILENT_SECONDS)", "keep"),),
    ),
    Bug(
        "fork_that_is_refused_ends_the_worker",
        "where the host has no memory or no process left for a moment, everything that runs ends, and by hand nobody starts it again",
        (
            "tests/house/test_supervise.py::test_process_that_cannot_be_started_just_now_ends_no_other_and_is_tried_again_ever_later",
        ),
        (
            (
                "worker/cli/supervise.py",
                "            except OSError as error:\n                # no memory",
                "            except ValueError as error:\n                # no memory",
            ),
        ),
    ),
    Bug(
        "maildir_whose_disk_is_gone_is_empty",
        "customers write, nobody takes it in while their promise runs, and no line, no figure and no alert says so",
        ("tests/requests/test_maildir.py::test_maildir_whose_disk_is_not_mounted_any_more_is_away_and_not_empty",),
        (("worker/cases/requests/maildir.py", '        if not os.path.lexists(self.folder / "new"):\n', "        if False:\n"),),
    ),
    Bug(
        "letters_that_are_all_refused_count_for_nothing",
        "the mail server takes no letter from us any more: every customer who was declined or is asked back hears nothing, and no alert comes",
        ("tests/requests/test_notices.py::test_letters_that_end_untold_one_after_the_other_are_counted_until_one_is_taken",),
        (
            (
                "worker/cases/effects/notifier.py",
                "if receipt.outcome is Posted.SENT:\n                answered",
                "if True:\n                answered",
            ),
        ),
    ),
    Bug(
        "celery_ends_where_it_cannot_speak",
        "on a disk of logs that is full no task process and no schedule can be started again, and nothing is decided",
        ("tests/scenarios/test_no_word.py::test_processes_of_celery_start_work_and_end_where_no_word_can_be_written",),
        (("worker/app.py", "    _speak_patiently()\n    _refuse", "    _refuse"),),
    ),
)
