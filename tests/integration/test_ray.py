"""Two nodes of a real Ray cluster on this machine give what a loop of single runs gives, bit for bit.

Slow: starting a cluster takes longer than the work. `pytest -m slow tests/integration/test_ray.py`.
"""

import pytest

from tests.support.studies import bits
from tradesentry.backtest import executor as executors
from tradesentry.backtest.executor import chunks_of, new_job, new_runner, play_chunk
from tradesentry.backtest.resolve import checked_settings, resolve_run
from tradesentry.backtest.studies.stage import WHOLE, Stages
from tradesentry.backtest.studies.variants import grid_variants
from tradesentry.core.domain.errors import TradeSentryError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
ray = pytest.importorskip("ray", reason="the extra [ray] is not installed")
GRID = {"or_minutes": (15, 30, 60), "target": (1.0, 2.0, None), "entry_mode": ("close", "stop")}
MEMORY = 150_000_000


@pytest.fixture(scope="module")
def address():
    """Address of a cluster of two nodes, one processor each, that ends with the tests."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": MEMORY}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.add_node(**node)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture(scope="module")
def work():
    """Stages and jobs of 18 variants on two markets, one of which converts."""
    settings = checked_settings({"from_": "2022-01-03", "to": "2022-04-01", "limits": "off"})
    run = resolve_run("breakout", config={"symbols": ["EURUSD", "USDJPY"]}, settings=settings)
    stages, jobs = Stages("breakout", run), []
    for variant in grid_variants("breakout", run.config, GRID)[0]:
        key, stage = stages.of(variant.config)
        jobs.append(new_job(key, stage, variant, WHOLE))
    return stages, jobs


def test_a_cluster_gives_what_a_loop_gives(address, work):
    stages, jobs = work
    alone = play_chunk(stages.all(), jobs)

    found = {}
    with new_runner("ray", ray_address=address) as runner:
        n_nodes = sum(node["Alive"] for node in ray.nodes())
        workers = runner.workers
        for done in runner.run(stages.all(), chunks_of(jobs, chunk_bars=30_000)):
            found |= done

    assert (n_nodes, workers) == (2, 2)
    assert {d: bits(o) for d, o in found.items()} == {d: bits(o) for d, o in alone.items()}


def test_a_node_with_other_code_is_refused(address, work, monkeypatch):
    stages, jobs = work
    monkeypatch.setattr(executors, "code_digest", lambda strategy: "another version")

    with (
        new_runner("ray", ray_address=address) as runner,
        pytest.raises(TradeSentryError, match="runs other code"),
    ):
        list(runner.run(stages.all(), chunks_of(jobs[:2])))
