"""spec/vectors/statement.json."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.statement import StatementChain, decode_signed_statement, encode_statement, node_digits
from tests.vectors.vector_files import load_cases, outcome


@pytest.mark.parametrize("case", load_cases("statement"))
def test_statement(case: dict[str, Any]) -> None:
    raws = [bytes.fromhex(raw) for raw in case["input"]["statements"]]
    expect, chain = outcome(lambda: StatementChain.from_raw_list(raws))
    assert expect == case["expect"]
    if expect == "ok":
        assert (chain.node_id.hex(), node_digits(chain.node_id)) == (case["node"], case["digits"])
        assert [item.raw for item in chain.statements] == [raws[index] for index in case["in_force"]]
        assert [item.raw for item in chain.superseded] == [raws[index] for index in case["cancelled"]]
        assert [key.hex() for key in chain.log_keys()] == case["log_keys"]
        assert [key.hex() for key in chain.trusted_log_keys()] == case["trusted_log_keys"]
        for signed in map(decode_signed_statement, raws):
            assert encode_statement(signed.statement) == signed.statement_bytes
    else:
        # The defect is in the last one: what comes before it is taken.
        assert len(raws) == 1 or outcome(lambda: StatementChain.from_raw_list(raws[:-1]))[0] == "ok"
