"""Does the public validator of FOCUS find in an export only what it is known to be wrong about?

The version of focus-validator on PyPI knows FOCUS up to 1.0, in a draft: it asks for columns that the published specification has
under other names, and for columns that only commitments, resources and regions need. Whatever else it finds is a fault of the export.
"""

import os
import re
import sqlite3
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import gateway

# What the validator is wrong about, and why.
KNOWN = {
    # Renamed before 1.0 was published: ProviderName, PublisherName, InvoiceIssuerName, ChargeCategory.
    "Provider_Required",
    "Publisher_Required",
    "InvoiceIssuer_Required",
    "SkuPriceId_Nullable",
    # Only of providers that sell commitments, resources, or services in regions.
    "CommitmentDiscountCategory_Required",
    "CommitmentDiscountId_Required",
    "CommitmentDiscountName_Required",
    "CommitmentDiscountStatus_Required",
    "CommitmentDiscountType_Required",
    "RegionId_Required",
    "RegionName_Required",
    "ResourceID_Required",
    "ResourceName_Required",
    "ResourceType_Required",
    # A whole number is a decimal one; the validator looks at the type that pandas chose for the column.
    "ConsumedQuantity_IsDecimal",
    "PricingQuantity_IsDecimal",
    # Its list of currencies is not in the package.
    "BillingCurrency_IsCurrencyCode",
}

HOURS = 3


def age(data: Path) -> None:
    """Moves what a ledger holds some hours into the past: only that can be exported."""
    by = HOURS * 3_600_000
    for path in (data / "ledger").glob("*.db"):
        with sqlite3.connect(path) as file:
            for (old,) in file.execute("SELECT call_id FROM calls").fetchall():
                new = (int.from_bytes(old[:6], "big") - by).to_bytes(6, "big") + old[6:]
                for table in ("settled_calls", "settled_attempts", "skips", "corrections"):
                    file.execute(f"UPDATE {table} SET call_id = ? WHERE call_id = ?", (new, old))
            for table in ("settled_calls", "settled_attempts"):
                file.execute(f"UPDATE {table} SET started_us = started_us - ?", (by * 1_000,))


class Focus(unittest.TestCase):
    def test_the_public_validator_finds_nothing_that_is_not_known(self) -> None:
        validator = os.environ.get("FOCUS_VALIDATOR")
        if validator is None:
            self.skipTest(os.environ.get("NO_FOCUS", "focus-validator is not installed"))
        if time.gmtime().tm_hour < HOURS:
            self.skipTest("in the first hours of a day its calls would belong to the day before")
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data"
            config = Path(folder) / "modelway.toml"
            config.write_text(
                f"""
                [auth]
                anonymous = "local"
                [[accounts]]
                id = "local"
                kind = "caller"
                [ledger]
                path = "{data}"
                [providers.sim]
                simulated = true
                wire_format = "openai_chat"
                [models."sim/m"]
                price = {{ input = 2.5, output = 10 }}
                [models."sim/n"]
                [scenarios.priced]
                targets = ["sim/m"]
                [scenarios.unpriced]
                targets = ["sim/n"]
                """
            )
            binary = os.environ["MODELWAY"]
            with gateway.running("--config", config) as address:
                for scenario in ("priced", "unpriced"):
                    call = [binary, "call", scenario, "Hello", "--address", address]
                    subprocess.run(call, check=True, capture_output=True)
            age(data)
            csv = Path(folder) / "usage.csv"
            export = [binary, "export", "--data", data, "--since", f"{HOURS + 1}h", "--single-attempts"]
            csv.write_bytes(subprocess.run(export, check=True, capture_output=True).stdout)
            self.assertGreater(len(csv.read_text().splitlines()), 2)
            command = [validator, "--data-file", csv, "--validate-version", "1.0", "--column-namespace", "x_"]
            said = subprocess.run(command, capture_output=True, text=True, cwd=folder).stdout
        found = set(re.findall(r"^(\w+) failed:$", said, re.MULTILINE))
        print("the validator names", len(found), "checks, all of them known")
        self.assertEqual(found - KNOWN, set(), said)


if __name__ == "__main__":
    unittest.main()
