//! The requests: a table in `docs/PROTOCOL.md` and types in `chatcamp.d.ts`, from the types in `request` and their
//! documentation.

use std::{collections::BTreeMap, fmt::Write as _};

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value};

use super::{PROTOCOL, WEB_TYPES, assert_generated};
use crate::{
    AccessToken, UserId,
    request::{self, *},
};

/// A request as the documents describe it.
struct Described {
    t: &'static str,
    request: Schema,
    response: Schema,
}

macro_rules! described {
    ($($request:ident)+) => {
        fn described(requests: &mut SchemaGenerator, responses: &mut SchemaGenerator) -> Vec<Described> {
            vec![$(Described {
                t: $request::TYPE,
                request: $request::json_schema(requests),
                response: <$request as Request>::Response::json_schema(responses),
            }),+]
        }
    };
}

request::for_every_request!(described);

/// Types that are strings on the wire.
macro_rules! text {
    ($($name:ident)+) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string" })
            }
        }
    )+};
}

text!(UserId AccessToken);

/// Every request, and the objects that they have in common by name.
fn all() -> (Vec<Described>, BTreeMap<String, Value>) {
    let settings = SchemaSettings::draft2020_12();
    let mut requests = settings.clone().for_deserialize().into_generator();
    let mut responses = settings.for_serialize().into_generator();
    let mut all = described(&mut requests, &mut responses);
    let filters = requests.take_definitions(true);
    for described in &mut all {
        inline(&mut described.request, &filters);
    }
    let objects = responses.take_definitions(true).into_iter().filter(|(name, _)| name != "Profile");
    (all, objects.collect())
}

/// Gives a request that is transparent the fields of the struct that it consists of.
fn inline(request: &mut Schema, definitions: &Map<String, Value>) {
    let Some(Value::String(path)) = request.remove("$ref") else { return };
    let properties = definitions[path.rsplit('/').next().unwrap()]["properties"].clone();
    request.insert("properties".into(), properties);
}

/// The fields of an object: name, schema, and whether it is always there. The id comes first, optional fields last.
fn fields(schema: &Value) -> Vec<(&str, &Value, bool)> {
    let is_required = |name: &str| {
        schema["required"].as_array().is_some_and(|required| required.iter().any(|required| required == name))
    };
    let properties = schema["properties"].as_object().into_iter().flatten();
    let mut fields: Vec<_> =
        properties.map(|(name, field)| (name.as_str(), field, is_required(name))).collect();
    fields.sort_by_key(|&(name, _, is_required)| (name != "id", !is_required));
    fields
}

/// The documentation in one line, without links.
fn description(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace("[`", "`").replace("`]", "`")
}

/// The type of a value in TypeScript. What may be `null` is described as what may be absent.
fn kind(schema: &Value) -> String {
    if let Some(path) = schema["$ref"].as_str() {
        return path.rsplit('/').next().unwrap().to_owned();
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    for alternatives in ["anyOf", "oneOf", "enum"] {
        if let Some(kinds) = schema[alternatives].as_array() {
            let as_kind = |value: &Value| if value.is_object() { kind(value) } else { value.to_string() };
            let kinds: Vec<_> = kinds.iter().map(as_kind).filter(|kind| kind != "null").collect();
            return kinds.join(" | ");
        }
    }
    let of_type = |name: &str| match name {
        "integer" => "number".to_owned(),
        "array" => format!("{}[]", kind(&schema["items"])),
        "object" => "Record<string, unknown>".to_owned(),
        other => other.to_owned(),
    };
    match &schema["type"] {
        Value::String(name) => of_type(name),
        Value::Array(names) => {
            let names = names.iter().filter_map(Value::as_str).filter(|&name| name != "null");
            names.map(of_type).collect::<Vec<_>>().join(" | ")
        }
        other => panic!("a type without a name: {other}"),
    }
}

/// The names of the fields, and of the objects in them.
fn row(schema: &Value, objects: &BTreeMap<String, Value>) -> String {
    let cells = fields(schema).into_iter().map(|(name, field, is_required)| {
        let mark = if is_required { "" } else { "?" };
        let kind = kind(field);
        if objects.keys().any(|object| kind.contains(object)) {
            format!("`{name}{mark}`: `{}`", kind.replace(" | ", "` or `"))
        } else {
            format!("`{name}{mark}`")
        }
    });
    cells.collect::<Vec<_>>().join(", ")
}

#[test]
fn every_request_is_documented() {
    let (requests, objects) = all();
    let mut table = "| type | body | acknowledgement | does |\n|---|---|---|---|\n".to_owned();
    for Described { t, request, response } in &requests {
        let (request, response) = (request.as_value(), response.as_value());
        let (body, ack) = (row(request, &objects), row(response, &objects));
        writeln!(table, "| `{t}` | {body} | {ack} | {} |", description(request)).unwrap();
    }
    assert_generated(PROTOCOL, "requests", &table);

    let mut table = "| object | fields | is |\n|---|---|---|\n".to_owned();
    for (name, object) in &objects {
        writeln!(table, "| `{name}` | {} | {} |", row(object, &objects), description(object)).unwrap();
    }
    assert_generated(PROTOCOL, "objects", &table);
}

/// Writes the fields of an object, each with its documentation.
fn write_fields(text: &mut String, indent: &str, schema: &Value) {
    for (name, field, is_required) in fields(schema) {
        let mark = if is_required { "" } else { "?" };
        writeln!(text, "{indent}/** {} */\n{indent}{name}{mark}: {};", description(field), kind(field))
            .unwrap();
    }
}

fn write_object(text: &mut String, name: &str, schema: &Value) {
    if fields(schema).is_empty() {
        writeln!(text, "    {name}: Record<string, never>;").unwrap();
        return;
    }
    writeln!(text, "    {name}: {{").unwrap();
    write_fields(text, "      ", schema);
    writeln!(text, "    }};").unwrap();
}

#[test]
fn the_web_client_has_the_types_of_every_request() {
    let (requests, objects) = all();
    let mut text = String::new();
    for (name, object) in &objects {
        writeln!(text, "/** {} */\nexport interface {name} {{", description(object)).unwrap();
        write_fields(&mut text, "  ", object);
        writeln!(text, "}}\n").unwrap();
    }
    text.push_str(
        "/** The body of every request and of its response, by type. */\nexport interface Requests {\n",
    );
    for Described { t, request, response } in &requests {
        writeln!(text, "  /** {} */\n  \"{t}\": {{", description(request.as_value())).unwrap();
        write_object(&mut text, "request", request.as_value());
        write_object(&mut text, "response", response.as_value());
        writeln!(text, "  }};").unwrap();
    }
    text.push_str("}\n");
    assert_generated(WEB_TYPES, "requests", &text);
}
