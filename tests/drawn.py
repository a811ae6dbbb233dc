"""How many examples are drawn: few and always the same at each commit, 2,000 others every night."""

from hypothesis import HealthCheck, settings

NIGHT = "night"
settings.register_profile(NIGHT, deadline=None, max_examples=2_000)


def drawn(examples: int, *unworried: HealthCheck) -> settings:
    """So many examples, always the same ones; with `--hypothesis-profile=night` as many as that says, new ones each time."""
    if settings.get_current_profile_name() == NIGHT:
        return settings(settings.get_profile(NIGHT), suppress_health_check=unworried)
    return settings(max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=unworried)
