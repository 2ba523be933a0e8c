"""A bundle over a table of any size, in constant memory: forecasts written beside the times that they were made at."""

from toolkit.scoring.score import ScoreRequest, ScoreSummary, score_table

__all__ = ["ScoreRequest", "ScoreSummary", "score_table"]
