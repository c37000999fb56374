"""The metrics of several processes as one text."""

import re

from prometheus_client.parser import text_string_to_metric_families

from gateway.adapters.metrics import Metrics, SupervisorMetrics
from gateway.workers.exposition import merged

ONE = """\
# HELP a_total What is counted.
# TYPE a_total counter
a_total{code="x",path="{"} 1.0
a_total{code="y y",path="} 3"} 2.0
# HELP b A gauge.
# TYPE b gauge
b 3.0
"""
OTHER = """\
# HELP b A gauge.
# TYPE b gauge
b 4.0
# HELP c Without samples.
# TYPE c counter
"""


def test_samples_get_the_number_of_their_worker_and_families_stay_together() -> None:
    assert (
        merged("# HELP own Ours.\n# TYPE own gauge\nown 9.0\n", {0: ONE, 2: OTHER})
        == """\
# HELP own Ours.
# TYPE own gauge
own 9.0
# HELP a_total What is counted.
# TYPE a_total counter
a_total{worker="0",code="x",path="{"} 1.0
a_total{worker="0",code="y y",path="} 3"} 2.0
# HELP b A gauge.
# TYPE b gauge
b{worker="0"} 3.0
b{worker="2"} 4.0
# HELP c Without samples.
# TYPE c counter
"""
    )


def test_a_family_that_the_supervisor_has_as_well_is_one_family() -> None:
    text = merged(ONE, {1: ONE})
    assert text.count("# TYPE a_total counter") == 1
    assert 'a_total{code="x",path="{"} 1.0\n' in text
    assert 'a_total{worker="1",code="x",path="{"} 1.0\n' in text


def test_empty_braces_and_no_workers_are_fine() -> None:
    assert merged("", {}) == ""
    assert merged("", {3: "x{} 1.0\n"}) == 'x{worker="3"} 1.0\n'


def test_what_comes_out_can_be_read_by_prometheus_and_nothing_is_lost() -> None:
    workers = [Metrics("1.0", ("dangerously_x",)) for _ in range(3)]
    for number, worker in enumerate(workers):
        for _ in range(number + 1):
            worker.observe(200, 0.01)
        worker.outage("store.unavailable")
    supervisor = SupervisorMetrics()
    supervisor.restarts.inc()
    text = merged(
        supervisor.text().decode(),
        {number: worker.text().decode() for number, worker in enumerate(workers)},
    )
    families = {family.name: family for family in text_string_to_metric_families(text)}
    counted = {
        sample.labels["worker"]: sample.value
        for sample in families["gateway_requests"].samples
        if sample.name == "gateway_requests_total"
    }
    assert counted == {"0": 1.0, "1": 2.0, "2": 3.0}
    assert len(families["gateway_info"].samples) == 3
    names = re.findall(r"(?m)^# TYPE (\S+)", text)
    assert len(names) == len(set(names))
