"""Pictures for people who would rather look than read. Needs the extra `plots`."""

from pathlib import Path

from worker.cases.editions.replay import Replay

COLOURS = {"more": "#2a6fb0", "less": "#c2562d"}


def draw_replay(found: Replay, file: Path) -> None:
    """Writes a PNG: for each clause and change of outcome the number of cases, and beside it the credits."""
    from matplotlib.figure import Figure

    rows = found.rows()[::-1]
    names = [f"{row['clause']}\n{row['before']} → {row['after']}" for row in rows] or ["no case changes"]
    counts, credits = [row["cases"] for row in rows] or [0], [row["credits"] for row in rows] or [0]
    figure = Figure(figsize=(11, 1.8 + 0.6 * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    places = range(len(names))
    left.barh(places, counts, color="#5b7a9d", height=0.6)
    right.barh(places, credits, color=[COLOURS["more" if one >= 0 else "less"] for one in credits], height=0.6)
    left.set_yticks(places, names, fontsize=9)
    left.set_xlabel("cases")
    right.set_xlabel("credits owed more (blue) or less (red)")
    for axes, values in ((left, counts), (right, credits)):
        axes.spines[["top", "right"]].set_visible(False)
        axes.axvline(0, color="#999999", linewidth=0.8)
        axes.margins(x=0.15)
        for place, value in zip(places, values, strict=True):
            text = f" {value:+,} " if axes is right else f" {value:,} "
            axes.annotate(text, (value, place), va="center", ha="right" if value < 0 else "left", fontsize=9)
    figure.suptitle(f"{found.changed:,} of {found.asked:,} cases change under terms {found.terms}", fontsize=12)
    figure.savefig(file, dpi=130)
