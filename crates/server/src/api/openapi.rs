//! `GET /api/openapi.json`: the API as an OpenAPI 3.1 document, made from the table of methods and from the types that
//! their handlers read and answer with.

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderValue, Method as Verb, Response, header::ALLOW, request::Parts};
use http_body_util::Full;
use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    BODY_LIMIT, KEY_LIMIT,
    answer::{Code, Refusal, Refused, RequestId},
    methods::{self, Method},
    path_of,
};

const PATH: &str = "/api/openapi.json";
const FORM: &str = "application/x-www-form-urlencoded";

/// The answer to a request for the document, which needs no key and holds no secret.
pub(super) fn answer(head: &Parts, id: &RequestId) -> Option<Response<Full<Bytes>>> {
    if path_of(head.uri.path()) != PATH {
        return None;
    }
    if head.method == Verb::GET || head.method == Verb::HEAD {
        return Some(id.render(200, document()));
    }
    let refusal = Refusal::new(Code::MethodNotAllowed, "the document is there to be read: GET");
    let mut response = refusal.answer(id).render();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    Some(response)
}

fn document() -> Bytes {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    DOCUMENT.get_or_init(|| build().to_string().into()).clone()
}

fn build() -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let mut requests = settings().for_deserialize().into_generator();
    let mut answers = settings().for_serialize().into_generator();
    let refusal = answers.subschema_for::<Refused<'_>>();
    let mut paths = Map::new();
    for method in methods::ALL {
        let (request, answer) = ((method.request)(&mut requests), (method.answer)(&mut answers));
        let form = form(&request, &requests);
        let operation = operation(method, &request, form, &answer, &refusal);
        paths.insert(format!("/api/2.0/{}", method.name), json!({ "post": operation }));
    }
    let mut schemas = requests.take_definitions(true);
    schemas.extend(answers.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "ChatCamp Platform API",
            "description": "What an app's backend asks of its ChatCamp server. Keys belong on servers, not in pages.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{ "url": "/" }],
        // Callers of the first version name the app too.
        "security": [{ "key": [] }, { "key": [], "app": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": { "type": "apiKey", "in": "header", "name": "x-api-key",
                    "description": "An API key, which speaks for its app." },
                "app": { "type": "apiKey", "in": "header", "name": "x-app-id",
                    "description": "The id of that app: not needed, but if it is given it must be right." },
            },
        },
    })
}

fn operation(
    method: &Method,
    request: &Schema,
    form: Option<Value>,
    answer: &Schema,
    refusal: &Schema,
) -> Value {
    let example: Value = serde_json::from_str(method.example).expect("the examples are JSON");
    let (tag, _) = method.name.split_once('.').expect("methods have a family");
    let mut content = json!({ "application/json": { "schema": request, "example": example } });
    if let Some(form) = form {
        content[FORM] = form;
    }
    json!({
        "operationId": method.name.replace('.', "_"),
        "summary": method.does,
        "tags": [tag],
        "parameters": if method.takes_key { json!([idempotency_key()]) } else { json!([]) },
        "requestBody": {
            "description": format!("At most {BODY_LIMIT} bytes. Unknown fields are ignored."),
            "required": method.refuses.contains(&Code::MissingField),
            "content": content,
        },
        "responses": responses(method, answer, refusal),
    })
}

/// The same fields in a form: an object is the text of JSON, and nothing is null.
///
/// None for requests with lists: that such a one is the text of JSON too is nothing that OpenAPI can say.
fn form(request: &Schema, requests: &SchemaGenerator) -> Option<Value> {
    let name = request.as_value()["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    let mut schema = requests.definitions().get(name?)?.clone();
    let mut encoding = Map::new();
    for (name, field) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        if field.get("items").is_some() {
            return None;
        }
        forbid_null(field);
        if !says_text(field) {
            encoding.insert(name.clone(), json!({ "contentType": "application/json" }));
        }
    }
    Some(json!({ "schema": schema, "encoding": encoding }))
}

fn forbid_null(field: &mut Value) {
    for keyword in ["type", "enum", "anyOf"] {
        if let Some(kinds) = field.get_mut(keyword).and_then(Value::as_array_mut) {
            kinds.retain(|kind| !kind.is_null() && kind != "null" && kind["type"] != "null");
        }
    }
}

/// Whether a value of the kind is text that stands for itself.
fn says_text(field: &Value) -> bool {
    let among =
        |kinds: &Value| kinds.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "string"));
    let kinds = &field["type"];
    kinds == "string"
        || among(kinds)
        || field["enum"].as_array().is_some_and(|values| values.iter().any(Value::is_string))
        || field["anyOf"].as_array().is_some_and(|kinds| kinds.iter().any(says_text))
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Names this request: for 24 hours whoever repeats it, with the same key and body, gets the answer of \
            the first one.",
        "schema": { "type": "string", "pattern": format!("^[!-~]{{1,{KEY_LIMIT}}}$") },
    })
}

fn responses(method: &Method, answer: &Schema, refusal: &Schema) -> Value {
    let request_id =
        json!({ "description": "Names the request.", "required": true, "schema": { "type": "string" } });
    let mut headers = json!({ "x-request-id": request_id });
    if method.takes_key {
        headers["idempotency-replayed"] = json!({
            "description": "This is the answer to the first request with the idempotency key.",
            "schema": { "type": "string", "const": "true" },
        });
    }
    let mut responses = json!({ "200": {
        "description": "It was done.",
        "headers": headers,
        "content": { "application/json": { "schema": answer } },
    }});
    for same_status in method.refusals().chunk_by(|a, b| a.status() == b.status()) {
        let codes: Vec<_> = same_status.iter().map(|code| code.as_str()).collect();
        let meanings: Vec<_> =
            same_status.iter().map(|c| format!("`{}`: {}", c.as_str(), c.meaning())).collect();
        let example = json!({
            "ok": false,
            "error": { "code": codes[0], "message": same_status[0].meaning() },
            "request_id": "5f0c6d1ab7e8493c02d41f6e",
        });
        let mut headers = headers.clone();
        if same_status.iter().any(|code| code.is_retried()) {
            headers["retry-after"] = json!({ "description": "In how many seconds to ask again.", "schema": { "type": "integer" } });
        }
        responses[same_status[0].status().to_string()] = json!({
            "description": meanings.join("\n\n"),
            "headers": headers,
            "content": { "application/json": {
                "schema": { "allOf": [
                    refusal,
                    { "properties": { "error": { "properties": { "code": { "enum": codes } } } } },
                ]},
                "example": example,
            }},
        });
    }
    responses
}
