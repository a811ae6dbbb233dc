"""The profile counts work and waiting for the database, and nothing of a process that stands still."""

from bench.profiling import parts

STOOD_STILL = (
    "main (x.py:1);asynloop (celery/worker/loops.py:130);_epoll.poll (kombu/utils/eventio.py:83) 92",
    "main (x.py:1);Service.start (celery/beat.py:1069) 47",
    "main (x.py:1);supervise (worker/cli/supervise.py:65);Condition.wait (threading.py:324) 41",
)


def test_a_stack_counts_where_the_work_was_asked_for_and_standing_still_counts_nowhere() -> None:
    judged = "main (x.py:1);drain (worker/cases/assess/drain.py:9);judge (worker/cases/assess/judge.py:3);loads (json.py:1) 7"
    asked = "main (x.py:1);write (worker/cases/book/write.py:2);wait (psycopg/waiting.py:8) 3"
    assert parts(["\n".join([judged, asked]), "\n".join(STOOD_STILL)]) == {
        "judge: policy, facts, documents": 7,
        "write: cases, history, postings, effects, waiting for Postgres": 3,
    }
