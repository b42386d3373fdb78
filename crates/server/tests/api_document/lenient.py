"""A check in place of negative_data_rejection, for a server that accepts more than the schemas of the document state.

The description of the document names the lenient forms. A request that is valid once they are read may succeed; any other invalid
request must be refused.
"""

import json

import jsonschema_rs
import schemathesis
from schemathesis.specs.openapi.checks import negative_data_rejection

FLAGS = {1: True, 0: False, "1": True, "0": False, "true": True, "false": False}


@schemathesis.hook
def filter_case(context, case):
    # The schema of a free object cannot say that no text in it contains NUL.
    metadata = case.body.get("metadata") if isinstance(case.body, dict) else None
    return r"\u0000" not in json.dumps(metadata)


@schemathesis.check
def invalid_data_is_refused_unless_it_is_lenient(ctx, response, case):
    if is_lenient(case):
        return None
    return negative_data_rejection(ctx, response, case)


def is_lenient(case):
    """Returns whether the body is invalid by its schema, and valid once its lenient forms are read."""
    if not isinstance(case.body, dict):
        return False
    document = case.operation.schema.raw_schema
    operation = document["paths"][case.operation.path]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    read = {name: read_field(document, schema, name, value) for name, value in case.body.items() if value is not None}

    def is_valid(body):
        return jsonschema_rs.is_valid({**schema, "components": document["components"]}, body)

    return is_valid(read) and not is_valid(case.body)


def read_field(document, schema, name, value):
    fields = resolve(document, schema)
    for choice in [fields, *fields.get("oneOf", [])]:
        if name in choice.get("properties", {}):
            return read_value(document, choice["properties"][name], value)
    return value


def read_value(document, schema, value):
    """Returns the value in the type that the schema states, or unchanged if it is not a lenient form of it."""
    schema = resolve(document, schema)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    match schema.get("type"):
        case "string" if is_number and value == int(value):
            return str(int(value))
        case "integer" if isinstance(value, str) and value.isascii() and value.isdigit():
            return int(value)
        case "boolean" if is_number or isinstance(value, str):
            return FLAGS.get(value, value)
        case "array" if isinstance(value, list):
            return [read_value(document, schema["items"], item) for item in value]
    return value


def resolve(document, schema):
    if "$ref" not in schema:
        return schema
    return document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
