"""What changes the world; nothing else may.

policy   which findings act, as a playbook says it          whom      findings -> who should go
breaker  who must stay, whatever was found                  agenda    what happens, step by step
slurm, kubernetes, hook   the hands                         journal   what was done, for ever
proof    burns after a repair                               deed      the nouns of all that

notify   what a message about a run says                    notify_file   who gets it
notify_send, chat_bots   how it goes out                    notify_log    what became of it
"""
