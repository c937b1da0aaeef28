"""What the gate decided: who met whom, over how many days, and which was better."""

import numpy as np

from lsntp.config import Domain
from lsntp.report.html import NumberTable
from lsntp.report.scores import fixed
from lsntp.training.decisions import Decision, decisions_of

MAX_JUDGEMENTS = 20
"""In the table, the newest."""
NONE = "–"


def judgements(domain: Domain) -> NumberTable | None:
    """The newest judgements, newest first; None before there is one.

    RMSE is area-weighted, K, the mean over leads; the difference is candidate minus champion.
    """
    decided = decisions_of(domain)[::-1]
    if not decided:
        return None
    caption = "RMSE by area, K, mean over leads; candidate minus champion with its 95 % interval"
    if len(decided) > MAX_JUDGEMENTS:
        caption += f"; {len(decided) - MAX_JUDGEMENTS} older judgements are not listed"
    return NumberTable(
        caption,
        [
            "Candidate",
            "Verdict",
            "Its RMSE",
            "Champion’s",
            "Difference",
            "Days",
            "Champion to beat",
        ],
        [_row(decision) for decision in decided[:MAX_JUDGEMENTS]],
        words=2,
    )


def _row(decision: Decision) -> list[str]:
    return [
        decision.candidate,
        f"{decision.verdict} {decision.decided_at:%Y-%m-%d}",
        _mean(decision.candidate_rmse_k),
        _mean(decision.champion_rmse_k),
        _difference(decision),
        str(decision.days) if decision.days else NONE,
        decision.champion or NONE,
    ]


def _mean(rmse: tuple[float, ...]) -> str:
    return fixed(float(np.mean(rmse)), 3) if rmse else NONE


def _difference(decision: Decision) -> str:
    if decision.difference_k is None or decision.interval_k is None:
        return NONE
    middle, low, high = (
        fixed(value, 3, sign=True) for value in (decision.difference_k, *decision.interval_k)
    )
    return f"{middle} [{low}, {high}]"
