"""One HTML file out of a run, a bundle and the JSON reports about them, for people who decide by looking.

The room reads JSON alone: it imports the contract, jinja2 and matplotlib, neither torch nor anything that trains or
runs a model, so that a report is made wherever its sources lie.
"""
