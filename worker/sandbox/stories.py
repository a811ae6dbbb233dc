"""The table of stories, in the order of a summary. A new story is one function and one row."""

from collections.abc import Callable
from dataclasses import dataclass

from worker.sandbox import circumstances, mishaps
from worker.sandbox.telling import Role, Telling


@dataclass(frozen=True, slots=True)
class Story:
    """A row of the table. `weight` is how often it is told compared with the others."""

    tell: Callable[[Telling], None]
    role: Role = Role.BUYER
    weight: int = 1

    @property
    def name(self) -> str:
        """Its name, for tests and tables."""
        return self.tell.__name__

    @property
    def line(self) -> str:
        """The story in one line for a person."""
        return (self.tell.__doc__ or self.name).splitlines()[0]


STORIES: tuple[Story, ...] = (
    Story(mishaps.all_layers_arrived, weight=12),
    Story(mishaps.arrived_and_edited, weight=2),
    Story(mishaps.server_error, weight=3),
    Story(mishaps.gpu_ran_out, weight=4),
    Story(mishaps.crashed_then_delivered, weight=3),
    Story(mishaps.pipeline_away_at_first),
    Story(mishaps.timed_out_twice, weight=2),
    Story(mishaps.rerun_refused),
    Story(mishaps.rerun_never_answered),
    Story(mishaps.rerun_delivered_partly),
    Story(mishaps.layers_missing, weight=3),
    Story(mishaps.missing_without_a_word),
    Story(mishaps.success_with_a_hole),
    Story(mishaps.failed_in_output, weight=2),
    Story(mishaps.bad_input, weight=4),
    Story(mishaps.unsafe_content),
    Story(mishaps.cancelled),
    Story(mishaps.unknown_code),
    Story(circumstances.pass_job_rerun, Role.PASS_HOLDER),
    Story(circumstances.pass_job_lost, Role.PASS_HOLDER),
    Story(circumstances.free_job_lost, Role.NEWCOMER),
    Story(circumstances.suspended_account, Role.SUSPENDED),
    Story(circumstances.deleted_account, Role.DELETED),
    Story(circumstances.input_expired),
    Story(circumstances.two_purchases, Role.TWO_LOTS),
    Story(circumstances.failure_came_first),
    Story(circumstances.failed_twice_said),
    Story(circumstances.failed_three_attempts),
    Story(circumstances.delivered_five_times),
    Story(circumstances.conflicting_event),
    Story(circumstances.late_success),
    Story(circumstances.imported_while_running),
    Story(circumstances.imported_as_delivered),
    Story(circumstances.imported_as_failed),
)
