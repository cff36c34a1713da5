"""The two files beside a terminal: what is on disk counts, a torn end is dropped, a damaged middle is not trusted."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradesentry.core.broker.base_broker import Accepted, NotSent, Refused, Unknown
from tradesentry.core.broker.mt5_logs import KEEP_NS, CommandKey, EventLog, LineFile, OutcomeLog
from tradesentry.core.domain.errors import BrokerError, BrokerProtocolError
from tradesentry.core.domain.events import EventKind

NOW = 1_700_000_000_000_000_000
KEY = CommandKey("ts1-aabyaaaaaaaab", "place", 1)


class Files:
    """Logs in one folder; opening one again closes it first, as a restart does."""

    def __init__(self, folder):
        self.folder = folder
        self._opened = {}

    def outcomes(self, now_ns=NOW):
        self.close("outcomes")
        log = self._opened["outcomes"] = OutcomeLog(self.folder / "outcomes.jsonl", now_ns=now_ns)
        return log

    def events(self, log_id="log-1", account="1", baseline=dict):
        self.close("events")
        path = self.folder / "events.jsonl"
        log = EventLog(path, account=account, now_ns=NOW, new_log_id=lambda: log_id, baseline=baseline)
        self._opened["events"] = log
        return log

    def close(self, *names):
        for name in names or ("outcomes", "events"):
            log = self._opened.pop(name, None)
            if log is not None:
                log.close()


@pytest.fixture
def files(tmp_path):
    """Return the logs of a folder of its own."""
    opened = Files(tmp_path)
    yield opened
    opened.close()


def test_a_command_without_an_outcome_is_unknown_after_a_restart(files):
    log = files.outcomes()
    log.sending(KEY, {"volume": 0.1}, epoch=3, at_ns=NOW)

    log = files.outcomes()

    assert log.outcome(KEY) == Unknown("no_outcome", NOW)
    assert log.open_placements(KEY.client_order_id) == [KEY]
    assert log.epoch == 3


@pytest.mark.parametrize(
    ("outcome", "is_open"),
    [(Accepted(None), True), (Unknown("timeout", NOW), True), (Refused("REJECT", "no"), False)],
)
def test_an_outcome_is_known_after_a_restart(files, outcome, is_open):
    log = files.outcomes()
    log.sending(KEY, {}, epoch=1, at_ns=NOW)
    log.ended(KEY, outcome, at_ns=NOW + 1)

    log = files.outcomes()

    assert log.outcome(KEY) == outcome
    assert bool(log.open_placements(KEY.client_order_id)) is is_open


def test_a_command_that_was_stopped_before_its_first_byte_may_be_sent_again(files):
    log = files.outcomes()
    log.sending(KEY, {}, epoch=1, at_ns=NOW)
    log.ended(KEY, NotSent("deadline"), at_ns=NOW)

    assert log.outcome(KEY) is None
    assert log.open_placements(KEY.client_order_id) == []


def test_old_commands_are_forgotten_and_the_epoch_is_not(files):
    log = files.outcomes()
    log.sending(KEY, {}, epoch=9, at_ns=NOW)
    size = (files.folder / "outcomes.jsonl").stat().st_size

    log = files.outcomes(NOW + KEEP_NS + 1)

    assert log.outcome(KEY) is None
    assert log.epoch == 9
    assert (files.folder / "outcomes.jsonl").stat().st_size < size
    assert files.outcomes().epoch == 9


def test_a_log_that_runs_for_months_forgets_by_itself(files):
    log = files.outcomes()
    log.sending(KEY, {}, epoch=1, at_ns=NOW)
    young = CommandKey("young", "place", 1)
    log.sending(young, {}, epoch=1, at_ns=NOW + KEEP_NS // 2)
    log.ended(young, Accepted(None), at_ns=NOW + KEEP_NS // 2)

    log.sending(CommandKey("new", "place", 1), {}, epoch=1, at_ns=NOW + KEEP_NS + 1)

    assert log.outcome(KEY) is None
    log = files.outcomes(NOW + KEEP_NS + 2)
    assert log.outcome(young) == Accepted(None)
    assert isinstance(log.outcome(CommandKey("new", "place", 1)), Unknown)


@settings(deadline=None, max_examples=40)
@given(cut=st.integers(1, 60))
def test_a_torn_last_line_never_happened(tmp_path_factory, cut):
    files = Files(tmp_path_factory.mktemp("log"))
    log = files.outcomes()
    log.sending(KEY, {}, epoch=1, at_ns=NOW)
    other = CommandKey("other", "cancel", 1)
    log.sending(other, {}, epoch=2, at_ns=NOW)
    files.close()
    path = files.folder / "outcomes.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])

    log = files.outcomes()
    log.sending(other, {}, epoch=4, at_ns=NOW)
    log = files.outcomes()

    assert isinstance(log.outcome(KEY), Unknown)
    assert (log.epoch, isinstance(log.outcome(other), Unknown)) == (4, True)
    files.close()


def test_a_damaged_outcome_log_sends_nothing_until_somebody_has_looked(files):
    log = files.outcomes()
    for attempt in (1, 2, 3):
        log.sending(CommandKey("id", "place", attempt), {}, epoch=1, at_ns=NOW)
    files.close()
    path = files.folder / "outcomes.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"attempt":2', b'"attempt":7'))

    with pytest.raises(BrokerProtocolError, match="commands could be sent twice"):
        files.outcomes()


def test_a_log_belongs_to_one_process(files):
    files.outcomes()

    with pytest.raises(BrokerError, match="in use by another process"):
        Files(files.folder).outcomes()

    files.close()
    assert files.outcomes().epoch == 0


def add(log, n):
    return log.add([(EventKind.OTHER, NOW + i, {"n": i}) for i in range(n)], now_ns=NOW)


def test_events_are_numbered_without_a_gap_through_restarts(files):
    log = files.events()
    add(log, 3)
    log = files.events(log_id="log-2")
    add(log, 2)

    page = log.page(1)

    assert log.log_id == "log-1"
    assert [event.seq for event in page.events] == [2, 3, 4, 5]
    assert page.is_complete
    assert not log.page(0, limit=2).is_complete


def test_a_lost_file_is_another_log(files):
    log = files.events()
    add(log, 3)
    files.close()
    (files.folder / "events.jsonl").unlink()

    log = files.events(log_id="log-2", baseline=lambda: {"deals": [7]})

    assert (log.log_id, log.last_seq, log.is_new, log.baseline) == ("log-2", 0, True, {"deals": [7]})


def test_a_damaged_file_is_another_log(files):
    log = files.events()
    add(log, 3)
    files.close()
    path = files.folder / "events.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"n":1', b'"n":9'))

    log = files.events(log_id="log-2")
    add(log, 1)

    assert (log.log_id, log.last_seq) == ("log-2", 1)
    assert files.events(log_id="log-3").log_id == "log-2"


def test_the_events_of_another_account_are_not_continued(files):
    files.events()

    with pytest.raises(BrokerError, match="a folder of its own"):
        files.events(account="2")


def test_a_write_that_fails_leaves_a_whole_file(files, monkeypatch):
    """A full disk in the middle of a line: the rows before it stay readable and later ones follow them."""
    file = LineFile(files.folder / "rows.jsonl")
    file.append({"n": 1})

    def fail(_number):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        with pytest.raises(OSError, match="No space"):
            file.append({"n": 2})
    file.append({"n": 3})
    file.close()

    lines = (files.folder / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["row"]["n"] for line in lines] == [1, 3]
