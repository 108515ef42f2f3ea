"""Which of these processes run again.  Arguments: their numbers.

Prints a JSON object: `moving`, those that are neither stopped nor gone.
"""

import json
import sys

import job_states

if __name__ == "__main__":
    moving = [
        int(word) for word in sys.argv[1:] if job_states.state(int(word)) not in ("stopped", "")
    ]
    print(json.dumps({"moving": moving}))
