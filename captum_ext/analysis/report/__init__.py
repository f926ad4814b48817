"""The report of a study: one HTML file, to be read in a browser, sent by mail, printed."""

from captum_ext.analysis.report.page import render, write_report

__all__ = ["render", "write_report"]
