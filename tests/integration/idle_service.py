"""The smallest service: the frame and nothing in it."""

from runtime.service import start

if __name__ == "__main__":
    service = start("idle")
    service.health.ready["idle"] = lambda: None
    service.install_signals()
    service.health.ready["always"] = lambda: None
    service.stop.wait()
