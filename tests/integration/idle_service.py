"""The smallest service: the frame and nothing in it."""

from runtime.service import start

if __name__ == "__main__":
    service = start("idle")
    service.install_signals()
    service.stop.wait()
