"""Every recording run leaves topics and tables; only the last few runs are kept."""

from __future__ import annotations

import re
import shutil

from clickhouse_driver import Client
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.local.resolve import Plan
from deploy.local.screen import Screen

TOPIC = re.compile(r"^(?:changelog__)?(rec-[a-z0-9-]+-\d+)\.")
STATE_FOLDERS = ("state", "spill", "simulator")


def drop_old_recordings(plan: Plan, screen: Screen) -> None:
    """Drops the oldest recording environments beyond `local.recordings_kept`, the one about to begin included.

    They are known by ClickHouse's databases (the age is that of the metadata) and by Kafka's topics, so that a run of
    which only one side exists goes too.
    """
    ch = plan.config.clickhouse
    admin = AdminClient({"bootstrap.servers": plan.config.kafka.bootstrap_servers, "log_level": 0})
    topics = [t for t in admin.list_topics(timeout=10).topics if TOPIC.match(t)]
    names = {match[1] for t in topics if (match := TOPIC.match(t))}
    state = plan.data_dir / "state"
    age = {n: (state / n).stat().st_mtime if (state / n).is_dir() else 0.0 for n in names}
    old = sorted(names - {plan.config.environment.name}, key=lambda n: (age[n], n))
    old = old[: max(0, len(old) - plan.config.local.recordings_kept + 1)]
    if not old:
        return
    gone = [t for t in topics if (match := TOPIC.match(t)) and match[1] in old]
    for future in admin.delete_topics(gone, operation_timeout=30).values():
        try:
            future.result(timeout=40)
        except KafkaException as exc:
            screen.say(f"cannot delete a topic of an old recording: {exc}")
    client = Client(ch.host, port=ch.port, user=ch.admin_user, password=ch.admin_password.get_secret_value())
    try:
        for name in old:
            client.execute(f"DROP DATABASE IF EXISTS `md_{name.replace('-', '_')}`")
            for folder in STATE_FOLDERS:
                shutil.rmtree(plan.data_dir / folder / name, ignore_errors=True)
            screen.say(f"dropped the recording run {name} (local.recordings_kept)")
    finally:
        client.disconnect()
