"""The services that are simulated: honest ones that move, and ones that answer oddly."""

from __future__ import annotations

from support.model import Profile

DENSE = ("no filter tells them apart",)
ODD = ("rows came where", "held a backup twice", "not sorted", "outside the times", "kept changing")
MOVING = ("changed too fast", "kept changing", "counts more rows", "show in no window")

MEANING = ("do not select on when backups", "show in no window", "do not bound the rows")

PROFILES = (
    # still
    Profile("still"),
    Profile("empty", rows=0, table_level=0),
    Profile("one page", rows=3, table_level=0),
    Profile("exactly a page", rows=5, table_level=5),
    Profile("only table level", rows=0, table_level=40),
    Profile("ties", ties=4),
    Profile("ties in unstable order", ties=4, is_order_unstable=True),
    Profile("end excluded", is_end_included=False, ties=3),
    Profile("begin excluded", is_begin_included=False, ties=3),
    Profile("both ends excluded", is_begin_included=False, is_end_included=False, ties=3),
    Profile("fractions of seconds", has_fractions=True, ties=4),
    Profile("fractions, end excluded", has_fractions=True, is_end_included=False, ties=4),
    Profile("one busy day", span_days=1, rows=90, ties=3),
    Profile("a dense second", dense=14, reasons=DENSE),
    Profile("a dense second, end excluded", dense=14, is_end_included=False, reasons=DENSE),
    Profile("a very dense second", dense=40, dense_instances=30, reasons=DENSE),
    Profile(
        "a second no filter splits", dense=20, dense_instances=1, reasons=DENSE, min_complete=0
    ),
    Profile("exactly a page in one second", dense=5, dense_instances=1),
    Profile("two busy seconds side by side", dense=8, dense_instances=1, dense_seconds=2),
    Profile("a dense second, offsets refused", dense=14, max_offset=3, reasons=DENSE),
    Profile(
        "rows without begin time, offsets refused",
        untimed=3,
        max_offset=3,
        reasons=("show in no window",),
        min_complete=0,
    ),
    Profile("rows without begin time", untimed=7),
    Profile("one row without begin time", untimed=1, rows=40),
    Profile("rows in the future", future=6),
    Profile("rows before 1970", ancient=3),
    Profile("windows of a year at most", max_window_s=366 * 86400, rows=30),
    Profile("windows of a quarter at most", max_window_s=92 * 86400, rows=20, span_days=200),
    Profile("the level is ignored", ignores_level=True, reasons=MOVING),
    # another meaning of the window than its begin times
    *(
        Profile(f"meaning: {meaning}", meaning=meaning, reasons=MEANING + ODD, min_complete=0)
        for meaning in ("inside", "end", "created", "zone", "day", "minute", "ignored")
    ),
    Profile(
        "meaning: created, seldom at once",
        meaning="created at times",
        reasons=MEANING,
        min_complete=0,
    ),
    Profile(
        "meaning: running in it", meaning="overlap", ties=3, reasons=MEANING + ODD, min_complete=0
    ),
    Profile(
        "meaning: whole days", meaning="whole days", rows=90, reasons=MEANING + ODD, min_complete=0
    ),
    Profile(
        "meaning: inside, while it moves",
        meaning="inside",
        insert=0.05,
        delete=0.05,
        late=0.02,
        reasons=MEANING + MOVING,
        min_complete=0,
    ),
    Profile("no backup qualifies", longest_s=2),
    Profile("few backups qualify", longest_s=3, insert=0.02, delete=0.02, reasons=MOVING),
    Profile("wide windows are cut to 30 days", cap_s=30 * 86400, rows=30, span_days=200),
    Profile(
        "wide windows are cut to 30 days before now",
        cap_s=30 * 86400,
        is_cap_from_now=True,
        span_days=200,
        reasons=MEANING,
        min_complete=0,
    ),
    # moving
    Profile("new rows on top", insert=0.2, reasons=MOVING, min_complete=0.7),
    Profile("new rows on top, now and then", insert=0.03),
    Profile(
        "new rows on top, in groups",
        insert=0.2,
        ties=4,
        is_order_unstable=True,
        reasons=MOVING + DENSE,
        min_complete=0.6,
    ),
    Profile("late rows anywhere", late=0.1, reasons=MOVING, min_complete=0.9),
    Profile("deletions anywhere", delete=0.1, reasons=MOVING, min_complete=0.9),
    # one row that comes and one that goes, in requests that follow each other, look like a replica
    # that lacks rows: 6 reads in 100 say so, and 10 that the list changed too fast
    Profile("a deletion and a late row", delete=0.1, late=0.1, reasons=MOVING, min_complete=0.8),
    Profile("a deletion and a late row at once", swap=0.1, reasons=MOVING),
    Profile("many deletions", delete=0.5, reasons=MOVING, min_complete=0.0),
    Profile("bulk retention", bulk=0.05, reasons=MOVING, min_complete=0.9),
    Profile("status changes", edit=0.5),
    Profile(
        "all at once, slowly",
        insert=0.02,
        late=0.01,
        delete=0.02,
        bulk=0.01,
        edit=0.1,
        ties=3,
        reasons=MOVING,
    ),
    Profile(
        "all at once",
        insert=0.1,
        late=0.05,
        delete=0.1,
        bulk=0.03,
        edit=0.2,
        ties=3,
        reasons=MOVING,
        min_complete=0.5,
    ),
    Profile(
        "moving, a dense second",
        dense=14,
        delete=0.02,
        insert=0.05,
        reasons=DENSE + MOVING,
        min_complete=0.9,
    ),
    Profile(
        "moving, rows without begin time",
        untimed=4,
        delete=0.03,
        insert=0.03,
        reasons=MOVING,
        min_complete=0.7,
    ),
    Profile("stale replicas", lag=0.2, insert=0.1, delete=0.05, reasons=MOVING, min_complete=0.5),
    # odd answers
    Profile("short pages", short=0.05, reasons=ODD),
    Profile("pages capped below the limit", page_cap=3, reasons=ODD),
    Profile("an id twice in an answer", double=0.05, reasons=ODD),
    Profile("wrong totals", wrong_total=0.05, reasons=ODD + MOVING, min_complete=0.5),
    Profile("totals always wrong", wrong_total=1.0, reasons=ODD + MOVING + DENSE, min_complete=0.0),
    Profile("empty answers", empty=0.01, reasons=ODD + MOVING, min_complete=0.9),
    Profile("unsorted answers", shuffled=0.1, reasons=ODD),
    Profile("never sorted", shuffled=1.0, reasons=ODD + DENSE, min_complete=0.0),
    Profile("rows outside the window", outside=0.05, reasons=ODD),
    Profile(
        "odd answers about a dense second",
        dense=14,
        is_end_included=False,
        short=0.02,
        double=0.02,
        wrong_total=0.02,
        empty=0.01,
        lag=0.02,
        reasons=ODD + MOVING + DENSE,
        min_complete=0.6,
    ),
    # faults
    Profile("429 by the minute", throttle=(40, 60.0), rows=200),
    Profile("429 with Retry-After", throttle=(30, 60.0), retry_after_s=1, rows=150),
    Profile("429 in five minutes", throttle=(100, 300.0), rows=300),
    Profile("tokens that expire", expire=0.002),
    Profile("server errors", fail=0.05),
    Profile("broken connections", reset=0.05),
    Profile("cut bodies", cut=0.05),
    Profile("HTML now and then", html=0.05),
    Profile(
        "everything",
        insert=0.05,
        delete=0.03,
        late=0.02,
        short=0.01,
        double=0.01,
        fail=0.02,
        reset=0.02,
        cut=0.02,
        ties=3,
        is_order_unstable=True,
        reasons=ODD + MOVING,
        min_complete=0.8,
    ),
)
