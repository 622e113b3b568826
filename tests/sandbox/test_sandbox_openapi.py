"""The sandbox's OpenAPI document against the published contract, and the sandbox against it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from avatarkit.sandbox import Sandbox
from avatarkit.sandbox.personas.lifecycle import LABELS
from avatarkit.sandbox.web import control
from support.sandbox_client import ADA, FILES, URLS, call

CONTRACT = Path(__file__).parents[1] / "contract" / "create-custom-avatar.txt"
DOCUMENT = Path(control.__file__).with_name("openapi.json")
TYPES = {"string", "string | null", "string[]", "enum<string>"}
SECTIONS = {"Authorizations": "headers", "Body": "body", "Response": "response"}

# What the document says beyond the contract: of each field, and a field of the vendor's pages.
BEYOND_CONTRACT = ("description", "format", "minLength", "gdown_url")

Fields = dict[str, dict[str, Any]]

document = json.loads(DOCUMENT.read_text("utf-8"))


def parse(text: str) -> dict[str, Fields]:
    """Return the fields of the contract by section and name, as JSON schemas with ``required``.

    The text is what a page leaves when it is copied: ``required`` sticks to the description or,
    where there is none, to the name of the next field.
    """
    lines: list[str] = []
    for line in text.splitlines():
        glued = re.match(r"(?:header)?required", line)
        lines += ["required", line[glued.end() :]] if glued else [line]
    found: dict[str, Fields] = {name: {} for name in SECTIONS.values()}
    section, field = found["headers"], {}
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if line in SECTIONS:
            section = found[SECTIONS[line]]
        elif following in TYPES and re.fullmatch(r"[A-Za-z][\w-]*", line):
            field = section[line] = {"type": following, "required": False}
        elif line == "required":
            field["required"] = True
        elif line == "Maximum length:":
            field["maxLength"] = int(following)
        elif line == "Available options:":
            options = [following]
            for option in lines[number + 2 :]:
                if not option.startswith(", "):
                    break
                options.append(option.removeprefix(", "))
            field["enum"] = options
    return found


def as_schema(field: dict[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI calls a field of the contract, without its description."""
    schema: dict[str, Any] = {
        "string": {"type": "string"},
        "enum<string>": {"type": "string"},
        "string | null": {"type": ["string", "null"]},
        "string[]": {"type": "array", "items": {"type": "string"}},
    }[field["type"]]
    return schema | {key: field[key] for key in ("enum", "maxLength") if key in field}


def within_contract(value: Any) -> Any:
    """Return a part of a schema without what the contract does not say."""
    if not isinstance(value, dict):
        return value
    return {k: within_contract(v) for k, v in value.items() if k not in BEYOND_CONTRACT}


def described(name: str) -> tuple[dict[str, Any], set[str]]:
    """Return the properties of that schema without their descriptions, and which are required."""
    schemas = document["components"]["schemas"]
    bare = {}
    for field, each in schemas[name]["properties"].items():
        if field in BEYOND_CONTRACT:
            continue
        bare[field] = within_contract(
            schemas[each["$ref"].rpartition("/")[2]] if "$ref" in each else each
        )
    return bare, set(schemas[name]["required"])


@pytest.fixture(scope="module")
def contract() -> dict[str, Fields]:
    """Return the contract, read from its text."""
    return parse(CONTRACT.read_text("utf-8"))


@pytest.fixture(scope="module")
def api() -> Iterator[Sandbox]:
    """Yield a sandbox with room for everything that is generated."""
    with Sandbox(max_personas=100_000, speed=86_400) as sandbox:
        yield sandbox


class TestContract:
    """Field by field."""

    def test_the_contract_is_read_whole(self, contract: dict[str, Fields]) -> None:
        """The parser finds every field of every section, so that nothing below passes unseen."""
        assert {name: len(fields) for name, fields in contract.items()} == {
            "headers": 2,
            "body": 8,
            "response": 15,
        }
        assert contract["body"]["gender"] == {
            "type": "enum<string>",
            "required": True,
            "enum": ["m", "f", "nb"],
        }
        assert len(contract["response"]["process_status"]["enum"]) == 9
        limits = {
            field: each["maxLength"]
            for field, each in contract["body"].items()
            if "maxLength" in each
        }
        assert limits == {
            "creator_name": 255,
            "video_scene": 255,
            "keywords": 255,
            "webhook_url": 200,
        }

    @pytest.mark.parametrize(
        ("section", "schema"),
        [("body", "PersonaCreate"), ("body", "PersonaUpload"), ("response", "CreatedPersona")],
    )
    def test_every_field_is_described_as_in_the_contract(
        self, contract: dict[str, Fields], section: str, schema: str
    ) -> None:
        """The same names, types, enumerations, lengths, nullability and required fields."""
        properties, required = described(schema)
        fields = contract[section]
        assert properties == {name: as_schema(field) for name, field in fields.items()}
        assert required == {name for name, field in fields.items() if field["required"]}

    def test_the_keys_are_described_as_in_the_contract(self, contract: dict[str, Fields]) -> None:
        """Both headers, on every call."""
        schemes = document["components"]["securitySchemes"]
        assert {(each["in"], each["name"]) for each in schemes.values()} == {
            ("header", name) for name in contract["headers"]
        }
        assert document["security"] == [{name: [] for name in schemes}]
        assert all(field["required"] for field in contract["headers"].values())

    def test_the_call_is_the_one_of_the_contract(self) -> None:
        """POST to the path of the contract, answered by 201 with JSON."""
        head = CONTRACT.read_text("utf-8").splitlines()
        at = head.index("POST")
        path = "".join(head[at + 1 : head.index("Authorizations")])
        call = document["paths"][path]["post"]
        assert "201 - application/json" in head
        assert call["responses"]["201"] == {"$ref": "#/components/responses/Created"}
        created = document["components"]["responses"]["Created"]
        assert set(created["content"]) == {"application/json"}

    @pytest.mark.parametrize("path", [FILES, URLS])
    def test_the_sandbox_answers_in_the_fields_of_the_contract(
        self, api: Sandbox, contract: dict[str, Fields], path: str
    ) -> None:
        """A create by each path has exactly these fields, each of its type."""
        answer = call(api, "POST", path, json=ADA)
        assert answer.status_code == 201
        shown = answer.json()
        assert set(shown) == set(contract["response"])
        for name, field in contract["response"].items():
            value = shown[name]
            if field["type"] == "string[]":
                assert isinstance(value, list)
            elif not (value is None and field["type"] == "string | null"):
                assert isinstance(value, str)
                assert value in field.get("enum", [value])


def test_the_document_is_served_as_it_is_kept(api: Sandbox) -> None:
    """Without a key, the file of the repository."""
    answer = httpx.get(f"{api.url}/_sandbox/openapi.json", trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.content == DOCUMENT.read_bytes()
    assert answer.json()["openapi"].startswith("3.1")


schema = schemathesis.openapi.from_dict(document)
CHECKS = cast(
    Any,
    [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
    ],
)


def validated(sandbox: Sandbox, case: schemathesis.Case) -> Any:
    """Return what the sandbox answers to that call, once it is checked against the document."""
    keys = {"X-API-ID": sandbox.api_id, "X-API-KEY": sandbox.api_key}
    return case.call_and_validate(base_url=sandbox.url, headers=keys, checks=CHECKS)


@pytest.mark.parametrize("label", LABELS)
def test_every_life_is_answered_as_described(label: str) -> None:
    """From its creation to its end a persona has the described shape by id, in list and page."""
    by_id = schema["/api/personas/{id}/"]
    body = {**ADA, "labels": [label]}
    with Sandbox(speed=1) as sandbox:
        create = schema["/api/personas_v2/"]["POST"]
        created = validated(sandbox, create.Case(body=body, media_type="application/json")).json()
        seen = set()
        for _ in range(15):
            shown = validated(sandbox, by_id["GET"].Case(path_parameters={"id": created["id"]}))
            seen.add(shown.json()["process_status"])
            listed = validated(sandbox, schema["/api/personas_v2/"]["GET"].Case())
            paged = validated(sandbox, schema["/api/personas/paginated/"]["GET"].Case())
            assert [each["id"] for each in listed.json()] == [created["id"]]
            assert [each["id"] for each in paged.json()["results"]] == [created["id"]]
            sandbox.advance(days=1)
        assert len(seen) >= 2
        gone = by_id["DELETE"].Case(path_parameters={"id": created["id"]})
        assert [validated(sandbox, gone).status_code for _ in range(2)] == [204, 404]


@pytest.mark.long
@schema.parametrize()
@settings(
    max_examples=20,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_whatever_is_sent_is_answered_as_described(case: schemathesis.Case, api: Sandbox) -> None:
    """Generated calls get no 5xx, only described statuses, and JSON of the described shapes."""
    validated(api, case)
