# SPDX-License-Identifier: Apache-2.0
"""The agent's ESP and AH in a pipe (tests/lab/esp_tool.c)."""
import json
import os
import subprocess
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOLS = [os.path.join(ROOT, "build", variant, "tests/lab/esp_tool") for variant in ("release", "san")]


def path():
    """None: not built."""
    return next((path for path in TOOLS if os.access(path, os.X_OK)), None)


class Pipe:
    def __init__(self):
        self.process = subprocess.Popen([path()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **request):
        return self.ask_all([request])[0]

    def ask_all(self, requests):
        """Many at once: the requests are written while the answers come."""
        text = "".join(json.dumps(request) + "\n" for request in requests)
        writer = threading.Thread(target=self._write, args=(text,))
        writer.start()
        lines = [self.process.stdout.readline() for _ in requests]
        writer.join()
        assert all(lines), "esp_tool is gone"
        return [json.loads(line) for line in lines]

    def _write(self, text):
        try:
            self.process.stdin.write(text)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # the reader tells

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(10) == 0
