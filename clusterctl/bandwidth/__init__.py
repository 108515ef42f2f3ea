"""Measuring paths between nodes in rounds; `localise` says which part is slow.

rails   which leaf and which addresses           paths     who sends to whom, what came of it
counters   what ports counted meanwhile          findings  what is said of nodes and parts
folder  what a run keeps                         measurements   the same as CSV
"""
