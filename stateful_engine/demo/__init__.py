"""What the demo host (`wsgi.py`) serves signals from: candles, indicators, one strategy, and traffic to look at.

Nothing of it is needed to use the engine; it stands in for the signal code of a real host.
"""
