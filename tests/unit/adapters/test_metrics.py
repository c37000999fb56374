"""What is only looked up when metrics are asked for: connections, channels, lost lines."""

from collections.abc import Iterable

from gateway.adapters.http1_upstream.pool import PoolState
from gateway.adapters.log_writer import Lost
from gateway.adapters.metrics import Metrics, Sources, SupervisorMetrics

ONE = "http://one:8080"
TWO = "https://two"


def samples(metrics: Metrics | SupervisorMetrics, name: str) -> dict[str, float]:
    """The samples of a metric by their labels, as written."""
    found = {}
    for line in metrics.text().decode().splitlines():
        series, _, value = line.rpartition(" ")
        if series.startswith(name + "{"):
            found[series.removeprefix(name).strip("{}")] = float(value)
    return found


def over(*pools: PoolState) -> Metrics:
    return Metrics("1", (), Sources(pools=lambda: pools))


def test_connections_are_told_per_server_and_state() -> None:
    metrics = over(
        PoolState(ONE, busy=3, idle=2, waiting=7, is_out=False),
        PoolState(TWO, busy=0, idle=1, waiting=0, is_out=True),
    )
    assert samples(metrics, "gateway_upstream_connections") == {
        f'state="in_use",upstream="{ONE}"': 3,
        f'state="idle",upstream="{ONE}"': 2,
        f'state="in_use",upstream="{TWO}"': 0,
        f'state="idle",upstream="{TWO}"': 1,
    }
    assert samples(metrics, "gateway_upstream_waiting") == {
        f'upstream="{ONE}"': 7,
        f'upstream="{TWO}"': 0,
    }
    assert samples(metrics, "gateway_upstream_ejected") == {
        f'upstream="{ONE}"': 0,
        f'upstream="{TWO}"': 1,
    }


def test_a_server_that_several_routes_name_has_one_sample() -> None:
    """Two samples with the same labels are refused by Prometheus, with all the others."""
    metrics = over(
        PoolState(ONE, busy=3, idle=2, waiting=1, is_out=True),
        PoolState(ONE, busy=4, idle=0, waiting=1, is_out=False),
    )
    assert samples(metrics, "gateway_upstream_connections") == {
        f'state="in_use",upstream="{ONE}"': 7,
        f'state="idle",upstream="{ONE}"': 2,
    }
    assert samples(metrics, "gateway_upstream_waiting") == {f'upstream="{ONE}"': 2}
    assert samples(metrics, "gateway_upstream_ejected") == {f'upstream="{ONE}"': 1}
    text = metrics.text().decode()
    series = [line.rpartition(" ")[0] for line in text.splitlines() if line.startswith("gateway_u")]
    assert len(series) == len(set(series)) == 4


def test_nobody_is_asked_before_metrics_are() -> None:
    asked: list[str] = []

    def pools() -> Iterable[PoolState]:
        asked.append("pools")
        return ()

    def channels() -> dict[str, int]:
        asked.append("channels")
        return {"websocket": 4}

    metrics = Metrics("1", (), Sources(pools, channels, Lost))
    for _ in range(100):
        metrics.observe(200, 0.1)
    before = len(asked)  # a registry asks once when it is told of a source
    assert samples(metrics, "gateway_open_channels") == {'kind="websocket"': 4}
    assert len(asked) == before + 2
    assert before <= 2


def test_lost_lines_are_counted_in_every_process() -> None:
    wanted = {'log="audit"': 5, 'log="other"': 2}
    worker = Metrics("1", (), Sources(lost=lambda: Lost(5, 2)))
    for metrics in (worker, SupervisorMetrics(lambda: Lost(5, 2))):
        assert samples(metrics, "gateway_log_lines_lost_total") == wanted
