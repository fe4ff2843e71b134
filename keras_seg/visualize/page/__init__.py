"""The report: one HTML page of scores, charts and pictures.

`files/` has its template, style and script, and the chart library that is put into it:
Chart.js and its chart of type "matrix", as their packages have them, with licences.
"""
