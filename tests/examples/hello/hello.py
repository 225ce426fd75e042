"""Prints its arguments as JSON, and leaves them in $MRUNNER_OUTPUT/hello.json."""

import json
import os
import sys

text = json.dumps(sys.argv[1:])
print(text)
with open(os.path.join(os.environ.get("MRUNNER_OUTPUT", "."), "hello.json"), "w") as file:
    file.write(text + "\n")
