"""Scores on disk: rows as CSV, JSON and Markdown, and self-contained HTML pages with pictures and charts."""

from coresr_eval.report.charts import Chart, Curve, draw
from coresr_eval.report.page import render, write_comparison, write_page
from coresr_eval.report.pictures import Crop, png_data_uri
from coresr_eval.report.rows import guard, summary
from coresr_eval.report.writing import write_json, write_markdown, write_scores, write_whole

__all__ = [
    "Chart",
    "Crop",
    "Curve",
    "draw",
    "guard",
    "png_data_uri",
    "render",
    "summary",
    "write_comparison",
    "write_json",
    "write_markdown",
    "write_page",
    "write_scores",
    "write_whole",
]
