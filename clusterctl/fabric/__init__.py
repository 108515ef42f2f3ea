"""What hangs where, and is it cabled as it should be: facts of switches and cables -> findings.

survey, walk   asking and reading a subnet       found, tree   sources -> rails, leaves, spines
plan, cabling, links   how it should be, and what differs      verdict, folder   told and kept
"""
