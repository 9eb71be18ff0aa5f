"""Reports: what runs have written, as one page that people read."""

from mmssl.reports.gather import gather
from mmssl.reports.page import write_report
from mmssl.reports.runs import Entry, Method, Run, entries
from mmssl.reports.scores import Scores, find_scores

__all__ = ['Entry', 'Method', 'Run', 'Scores', 'entries', 'find_scores', 'gather', 'write_report']
