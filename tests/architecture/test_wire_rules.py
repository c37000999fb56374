"""Every rule of the wire has a test on each side it concerns; here is which.

The rules are numbered in docs/glossary.md: M1 to M16 about framing, K1 to K3 about targets and
Host, L9 about trailers. A row is the side, the test, and a word by which its case is found where
one test holds the cases of many rules.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

FRAMED = "e2e/wire/test_framing.py::test_what_is_well_framed_is_answered_and_so_is_the_next"
AMBIGUOUS = (
    "e2e/wire/test_framing.py"
    "::test_what_can_be_read_in_two_ways_is_refused_and_nothing_behind_it_is_read"
)
REFUSED = (
    "contract/test_upstream_answers.py"
    "::test_what_is_no_answer_or_more_than_one_is_refused_and_its_connection_closed_m12_m13"
)
BROWSER = (
    "e2e/wire/test_hostile_upstreams.py"
    "::test_a_browser_gets_the_answer_or_sees_that_it_is_none_f20_f21"
)
HOSTS = "attack/test_host_header.py"
TURNS = "e2e/wire/test_turns.py"
FRAMING = "contract/test_upstream_framing.py"
ANSWERS = "support/answer_cases.py"

Row = tuple[str, str, str]  # side, test, and what its case is found by: "" or FILE#WORD

RULES: dict[str, tuple[Row, ...]] = {
    "M1": (
        ("in", AMBIGUOUS, "e2e/wire/test_framing.py#length, then coding m1"),
        ("out", REFUSED, f"{ANSWERS}#M1 to M4"),
    ),
    "M2": (
        ("in", AMBIGUOUS, "e2e/wire/test_framing.py#two lengths"),
        ("in", "attack/test_hop_by_hop.py::test_a_length_that_is_no_length_is_refused_m2", ""),
        ("out", REFUSED, f"{ANSWERS}#lengths that two readers take for two numbers"),
    ),
    "M3": (
        ("in", AMBIGUOUS, "e2e/wire/test_framing.py#identity, chunked"),
        ("out", REFUSED, f"{ANSWERS}#pigeons"),
    ),
    "M4": (
        ("in", AMBIGUOUS, "e2e/wire/test_framing.py#coding in HTTP/1.0 m4"),
        ("out", REFUSED, f'{ANSWERS}#OLD + b"transfer-encoding: identity'),
    ),
    "M5": (
        ("in", AMBIGUOUS, "e2e/wire/test_framing.py#fold m5"),
        ("out", REFUSED, f"{ANSWERS}#folds, names and values (M5"),
    ),
    "M6": (
        ("in", AMBIGUOUS, "e2e/wire/test_framing.py#colon m6"),
        ("out", REFUSED, f"{ANSWERS}#content-length : 2"),
    ),
    "M7": (
        ("in", AMBIGUOUS, "e2e/wire/test_framing.py#bare CR m7"),
        ("out", REFUSED, f"{ANSWERS}#line ends and lines"),
    ),
    "M8": (
        (
            "in",
            "e2e/wire/test_framing.py::test_a_body_that_breaks_off_is_never_whole_upstream_m8",
            "",
        ),
        ("in", "e2e/wire/test_framing.py::test_chunk_extensions_have_a_bound_m8", ""),
        ("out", REFUSED, f"{ANSWERS}#M8: where a chunk ends"),
        (
            "out",
            "unit/adapters/test_answer_reader.py::test_extensions_and_trailers_have_an_end_m8",
            "",
        ),
    ),
    "M9": (
        ("in", "e2e/wire/test_answers.py::test_the_framing_of_an_answer_is_ours_m9", ""),
        ("in", "e2e/wire/test_framing.py::test_a_refusal_to_head_has_no_body_m9", ""),
        ("out", "contract/test_upstream_answers.py::test_an_answer_to_head_is_its_head_m9", ""),
        ("out", f"{FRAMING}::test_without_a_body_the_next_request_follows_at_once_m9", ""),
    ),
    "M10": (
        ("out", "contract/test_upstream.py::test_an_interim_answer_is_not_the_answer_m10", ""),
        (
            "out",
            "contract/test_upstream_deadlines.py::test_interim_answers_do_not_prolong_it_m10",
            "",
        ),
        ("out", BROWSER, f"{ANSWERS}#interim answers (RFC 9110 section 15.2)"),
    ),
    "M11": (
        (
            "in",
            f"{TURNS}::test_100_is_sent_when_the_application_asks_for_the_body_and_not_before_m11",
            "",
        ),
        (
            "in",
            f"{TURNS}::test_a_refusal_from_the_head_alone_has_no_100_and_reads_no_body_m11_m16",
            "",
        ),
    ),
    "M12": (
        (
            "in",
            (
                "e2e/wire/test_answers.py"
                "::test_a_body_that_is_not_what_was_announced_never_looks_whole_m12"
            ),
            "",
        ),
        (
            "out",
            "contract/test_upstream_answers.py::test_an_answer_cut_short_never_looks_whole_m12",
            "",
        ),
        ("out", f"{FRAMING}::test_only_an_end_in_order_ends_a_body_without_length_m12", ""),
        ("out", BROWSER, f"{ANSWERS}#The connection ends in the middle (M12)"),
    ),
    "M13": (
        ("in", "flow/test_outages.py::test_an_api_outage_is_named_and_the_session_stays_m13", ""),
        ("out", REFUSED, ""),
        ("out", "contract/test_upstream.py::test_nobody_there_is_said_so_m13", ""),
    ),
    "M14": (
        (
            "in",
            "e2e/test_wire.py::test_a_browser_that_leaves_takes_the_upstream_exchange_with_it_m14",
            "",
        ),
        ("in", f"{TURNS}::test_a_client_that_leaves_takes_all_its_requests_along_m14", ""),
        (
            "out",
            (
                "contract/test_upstream_streaming.py"
                "::test_a_slow_browser_slows_the_upstream_down_f23_m14"
            ),
            "",
        ),
        (
            "out",
            (
                "contract/test_upstream_streaming.py"
                "::test_a_slow_upstream_slows_the_browser_down_f23_m14"
            ),
            "",
        ),
    ),
    "M15": (
        (
            "in",
            "e2e/wire/test_against_nginx_in_detail.py::test_bodies_arrive_as_through_nginx_f26_m15",
            "",
        ),
        ("out", f"{FRAMING}::test_a_body_is_framed_whatever_the_method_m15", ""),
        ("out", f"{FRAMING}::test_a_body_of_another_length_is_no_request_and_no_desync_m15", ""),
    ),
    "M16": (
        (
            "in",
            f"{TURNS}::test_after_an_early_answer_to_a_large_upload_the_connection_is_closed_m16",
            "",
        ),
        (
            "in",
            (
                f"{TURNS}"
                "::test_a_small_body_that_nobody_wanted_is_passed_over_and_the_next_request_read_m16"
            ),
            "",
        ),
        (
            "out",
            (
                "contract/test_upstream_streaming.py"
                "::test_an_early_refusal_is_delivered_and_the_upload_stopped_m16"
            ),
            "",
        ),
    ),
    "K1": (
        ("in", f"{HOSTS}::test_the_authority_of_an_absolute_target_counts_k1", ""),
        ("in", FRAMED, "e2e/wire/test_framing.py#absolute-form k1"),
        ("in", AMBIGUOUS, "e2e/wire/test_framing.py#userinfo k1"),
    ),
    "K2": (("in", AMBIGUOUS, "e2e/wire/test_framing.py#two hosts k2"),),
    "K3": (
        ("in", f"{HOSTS}::test_only_our_own_host_is_answered", ""),
        ("in", FRAMED, "e2e/wire/test_framing.py#strange host k3"),
    ),
    "L9": (
        ("in", FRAMED, "e2e/wire/test_framing.py#trailers l9"),
        ("in", "e2e/wire/test_framing.py::test_endless_trailers_have_a_bound_l9", ""),
        (
            "out",
            (
                "unit/adapters/test_answer_reader.py"
                "::test_fields_keep_order_and_repeats_and_no_trailer_becomes_one_l8_l9"
            ),
            "",
        ),
        ("out", BROWSER, f"{ANSWERS}#trailers (section 7.1.2)"),
    ),
}

# Where the other side has nothing to do with it.
ONE_SIDED = {
    "M10": "a client sends no interim answers",
    "M11": "the gateway asks an upstream for no 100",
    "K1": "the gateway writes origin-form only",
    "K2": "the gateway writes one Host",
    "K3": "an upstream has no Host to answer to",
}


@cache
def functions_of(name: str) -> frozenset[str]:
    tree = ast.parse((TESTS / name).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, functions))


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_its_tests(rule: str) -> None:
    for _, test, case in RULES[rule]:
        file, _, function = test.partition("::")
        assert function in functions_of(file), test
        if case:
            where, _, word = case.partition("#")
            assert word in (TESTS / where).read_text(), case


def test_no_rule_of_the_wire_and_no_side_of_it_is_left_out() -> None:
    assert set(RULES) == {
        *(f"M{number}" for number in range(1, 17)),
        *("K1", "K2", "K3", "L9"),
    }
    for rule, rows in RULES.items():
        sides = {side for side, _, _ in rows}
        assert len(sides) == (1 if rule in ONE_SIDED else 2), rule
