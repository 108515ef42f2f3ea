"""A burn-in that outlives its controller.

decisions  what every node is told next          lead    one conversation a node a tick
asks, heard   what a node is asked, what its answers mean      supervision   the words of that
journal, journal_lines, course, burnt   what a node wrote, learned as it comes
watched, sampled, sampled_losses, series   what its samples say
gate, early, stressors, silences, boards   what speaks against it before the end
rolling, leaving   who joins, who leaves a campaign that goes on
folder, told       what is on disk                verdict   all of it -> a Run
"""
