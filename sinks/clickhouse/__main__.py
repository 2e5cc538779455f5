"""`python -m sinks.clickhouse`: md.* topics into ClickHouse, at least once, and once under FINAL.

The loop reads records into a batch and flushes it when it is full or old: one insert per table, then dead letters, then
the commit. Nothing is committed before ClickHouse has acknowledged it. While ClickHouse is away the same batch is tried
again for ever; reading pauses meanwhile, so that memory is bounded and the group membership stays.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

from confluent_kafka import Message

from marketdata.errors import BadData, ForeignLogError, StoreError, UnparsableFrame
from marketdata.topics import MD_DEAD_LETTER
from runtime.service import Service
from sinks.clickhouse import metrics
from sinks.clickhouse.batch import Batch
from sinks.clickhouse.dead_letters import DeadLetterProducer
from sinks.clickhouse.migrate import migrate
from sinks.clickhouse.rows import Row, dead_letter, expired, record_of, split
from sinks.clickhouse.table import Table
from sinks.clickhouse.tables import TABLES
from sinks.clickhouse.writer import Refused, Writer, new_token
from sinks.consumer import Partition, SinkConsumer
from sinks.process import Backoff, Liveness, run_sink

GROUP = "sink-clickhouse"
READ_MAX = 2_000
"""Records taken from the client at a time, between looks at the clock."""
READ_WAIT_S_MAX = 0.2
ALIVE_INTERVAL_S = 0.2
POLL_INTERVAL_S_MAX = 5.0
"""A flush that takes longer looks after the group membership between its inserts."""
STALLED_S = 60.0
"""On top of what one insert may take."""

log = logging.getLogger("sinks.clickhouse")


class Abandoned(Exception):
    """The batch must not be committed: told to stop, or its partitions were taken away. It is read again."""


class ClickHouseSink:
    def __init__(self, service: Service) -> None:
        self.service = service
        self.settings = service.config.sinks.clickhouse
        self.writer = Writer(service.config)
        self.dead_letters = DeadLetterProducer(service.config)
        self.consumer = SinkConsumer(service.config, GROUP, [table.topic for table in TABLES])
        self.batch = Batch()
        self.generation = 0
        self.expected: dict[Partition, int] = {}
        """Next offset of each partition, to notice records that Kafka had deleted before we read them."""
        self.uncommitted: dict[Partition, int] = {}
        self.trouble: str | None = None
        self.liveness = Liveness(STALLED_S + self.settings.insert_timeout_s)
        self.next_poll_s = 0.0
        """Monotonic time after which Kafka has to see us again, however slow ClickHouse is."""
        service.health.live["loop"] = self.liveness.check
        service.health.ready["clickhouse"] = lambda: self.trouble
        service.health.ready["kafka"] = lambda: self.consumer.trouble

    def run(self) -> None:
        try:
            while not self.service.stop.is_set():
                self.liveness.tick()
                self._read()
                if self._due():
                    self._flush_or_abandon()
            self._flush_or_abandon(stopping=True)
        finally:
            self.consumer.close()
            self.writer.close()

    # --- reading -----------------------------------------------------------------------------------

    def _read(self) -> None:
        self.consumer.resume()
        self.next_poll_s = time.monotonic() + POLL_INTERVAL_S_MAX
        wait_s = min(READ_WAIT_S_MAX, self.settings.flush_interval_s)
        bytes_max = max(1, self.settings.batch_bytes_max - self.batch.size_bytes)
        messages = self.consumer.consume(READ_MAX, bytes_max, wait_s)
        if self.consumer.generation != self.generation:
            self._start_over()
            try:
                self._patiently(self._check_log)
            except Abandoned:
                return  # stopping, or assigned anew: nothing of these messages is kept
        now_s = time.monotonic()
        fates: Counter[tuple[str, str]] = Counter()
        for message in messages:
            fates[self.consumer.topics[message.topic()].name, self._accept(message, now_s)] += 1
        for (topic, fate), count in fates.items():
            metrics.RECORDS.labels(topic, fate).inc(count)
        metrics.BUFFERED.set(self.batch.records)

    def _start_over(self) -> None:
        """The assignment changed: what was gathered is read again by whoever owns it now."""
        self.generation = self.consumer.generation
        self.batch = Batch()
        self.expected.clear()
        self.uncommitted.clear()
        metrics.LAG.clear()  # of partitions that another process has now

    def _check_log(self) -> None:
        """Raises ForeignLogError when a table holds offsets that the log we read does not have."""
        partitions = self.consumer.fresh
        kept = self.consumer.ends(partitions)
        ends = {p: high for p, (_, high) in kept.items()}
        for table in TABLES:
            feeding = {p: end for p, end in ends.items() if self.consumer.topics[p[0]] is table.topic}
            for (name, partition), highest in self.writer.beyond(table, feeding).items():
                raise ForeignLogError(
                    f"table {table.log} holds offset {highest} of {name}/{partition}, but that partition ends at "
                    f"{ends[name, partition]}: the tables were filled from another Kafka. Use another "
                    "environment.database, or drop the old one, or bring the old Kafka back."
                )
        self.expected = self.consumer.committed(partitions)
        for at, (first, _) in kept.items():
            self._note_skipped(at, first)
        self.consumer.take_fresh()

    def _note_skipped(self, partition: Partition, offset: int) -> None:
        """Records between the expected offset and this one were deleted by Kafka before we read them."""
        expected = self.expected.get(partition, offset)
        topic = self.consumer.topics[partition[0]]
        if offset > expected and topic.cleanup == "delete":
            metrics.SKIPPED.labels(topic.name).inc(offset - expected)
            missed = {"topic": partition[0], "partition": partition[1], "from": expected, "to": offset - 1}
            log.warning("records were deleted before they were read", extra={"data": missed})
            self.expected[partition] = offset

    def _accept(self, message: Message, now_s: float) -> str:
        """Put a record into the batch; says what became of it."""
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        payload = message.value() or b""
        plain = self.consumer.topics[topic]
        self._note_skipped((topic, partition), offset)
        self.expected[topic, partition] = offset + 1
        self.batch.saw(topic, partition, offset, len(payload), now_s)
        row = Row(None, topic, partition, offset, message.timestamp()[1], message.key() or b"", payload)
        try:
            found = record_of(plain.name, payload)
        except UnparsableFrame as exc:
            self._refuse(row, exc)
            return "unparsable"
        if found is None:
            return "no_row"
        table, record = found
        self.batch.add(table, row._replace(record=record))
        return "row"

    def _refuse(self, row: Row, bad: BadData) -> None:
        plain = self.consumer.topics[row.topic]
        metrics.DEAD_LETTERS.labels(bad.code).inc()
        where = {"topic": row.topic, "partition": row.partition, "offset": row.offset, "reason": str(bad)}
        if plain is MD_DEAD_LETTER:
            # a dead letter about a dead letter would come back to us for ever
            log.error("a dead letter cannot be stored", extra={"data": where})
            return
        log.warning("record cannot be stored", extra={"data": where})
        self.batch.refused.append((row.key, row.timestamp_ms, dead_letter(row, plain.name, bad)))

    # --- writing -----------------------------------------------------------------------------------

    def _due(self) -> bool:
        batch = self.batch
        return bool(batch.records) and (
            batch.records >= self.settings.batch_rows_max
            or batch.size_bytes >= self.settings.batch_bytes_max
            or time.monotonic() - batch.begun_s >= self.settings.flush_interval_s
        )

    def _flush_or_abandon(self, stopping: bool = False) -> None:
        if not self.batch.records and not self.uncommitted:
            return
        try:
            self._flush(stopping)
        except Abandoned as exc:
            log.info("batch given up, it will be read again", extra={"data": {"why": str(exc)}})

    def _flush(self, stopping: bool) -> None:
        begun_s = time.monotonic()
        for table, rows in self.batch.rows.values():
            good, columns, bad = split(table, rows)
            for row, why in bad:
                self._refuse(row, why)
            if good:
                gone = expired(table, columns, time.time()) if self.service.config.clickhouse.ttl else 0
                if gone:
                    metrics.EXPIRED.labels(table.name).inc(gone)
                    log.warning(
                        "rows older than their table keeps", extra={"data": {"table": table.name, "rows": gone}}
                    )
                self._insert(table, good, columns, stopping)
        self._patiently(lambda: self.dead_letters.send(self.batch.refused, self._stay_alive), stopping)
        self.uncommitted |= self.batch.next_offsets
        self.batch = Batch()
        if self.consumer.commit(self.uncommitted):
            self.uncommitted = {}
        for (topic, partition), lag in self.consumer.lag(self.expected).items():
            metrics.LAG.labels(topic, partition).set(lag)
        metrics.FLUSH_SECONDS.observe(time.monotonic() - begun_s)
        metrics.BUFFERED.set(0)

    def _insert(self, table: Table, rows: Sequence[Row], columns: list[list[object]], stopping: bool) -> None:
        """Insert until acknowledged; what ClickHouse refuses for its content is found by halving."""
        self.liveness.tick()
        if not stopping and time.monotonic() >= self.next_poll_s and not self._stay_alive(0):
            raise Abandoned(self._why_not())
        token = new_token()
        try:
            self._patiently(lambda: self.writer.insert(table, columns, token), stopping)
        except Refused as exc:
            if len(rows) == 1:
                self._refuse(rows[0], exc)
                return
            half = len(rows) // 2
            self._insert(table, rows[:half], [c[:half] for c in columns], stopping)
            self._insert(table, rows[half:], [c[half:] for c in columns], stopping)
            return
        metrics.INSERTS.labels(table.name).inc()
        metrics.ROWS.labels(table.name).inc(len(rows))

    # --- patience ----------------------------------------------------------------------------------

    def _patiently(self, action: Callable[[], None], stopping: bool = False) -> None:
        """Try until it works. Raises Abandoned when told to stop or when the assignment changes meanwhile."""
        backoff = Backoff()
        while True:
            try:
                action()
            except ForeignLogError:
                raise
            except StoreError as exc:
                if self.trouble is None:
                    log.warning("trying again until it works", extra={"data": {"error": str(exc)}})
                self.trouble = str(exc)
                metrics.RETRIES.inc()
                if stopping:
                    raise Abandoned(f"stopping, and {exc}") from None
                self._wait(backoff.next_s())
            else:
                if self.trouble is not None:
                    log.info("works again")
                self.trouble = None
                return

    def _wait(self, delay_s: float) -> None:
        until_s = time.monotonic() + delay_s
        while time.monotonic() < until_s:
            if not self._stay_alive():
                raise Abandoned(self._why_not())

    def _why_not(self) -> str:
        return "stopping" if self.service.stop.is_set() else "the assignment changed"

    def _stay_alive(self, wait_s: float = ALIVE_INTERVAL_S) -> bool:
        """False when the batch is to be given up."""
        self.liveness.tick()
        self.consumer.keep_alive(wait_s)
        self.next_poll_s = time.monotonic() + POLL_INTERVAL_S_MAX
        return not self.service.stop.is_set() and self.consumer.generation == self.generation


def bring_schema_up_to_date(service: Service) -> bool:
    """Waits for ClickHouse as long as it takes. False when told to stop. Raises ConfigError."""
    backoff = Backoff()
    while service.config.sinks.clickhouse.migrate:
        try:
            versions = migrate(service.config)
        except StoreError as exc:
            log.warning("waiting for ClickHouse", extra={"data": {"error": str(exc)}})
            if service.stop.wait(backoff.next_s()):
                return False
        else:
            if versions:
                log.info("schema brought up to date", extra={"data": {"versions": versions}})
            break
    return True


def run(service: Service) -> None:
    if bring_schema_up_to_date(service):
        ClickHouseSink(service).run()


if __name__ == "__main__":
    sys.exit(run_sink("sinks.clickhouse", run))
