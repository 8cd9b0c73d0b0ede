"""What is shown of a run: tables, summaries, forecasts and live displays, folded from records.

Reads what the journal keeps and decides nothing. Open `results` first.
"""
