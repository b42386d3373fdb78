//! `GET /api/openapi.json`: an OpenAPI 3.1 document of the API, generated from the table of methods and the types of their
//! requests and answers.

use bytes::Bytes;
use chatcamp_protocol::ApiCode;
use http::{HeaderValue, Method as Verb, Response, header::ALLOW, request::Parts};
use http_body_util::Full;
use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    Api, BODY_LIMIT, KEY_LIMIT,
    answer::{Refusal, Refused, RequestId},
    methods::{self, Method},
    path_of,
};

const PATH: &str = "/api/openapi.json";
const FORM: &str = "application/x-www-form-urlencoded";

/// Answers a request for the document, which needs no key and contains no secret. Returns `None` for other requests.
pub(super) fn answer(api: &Api, head: &Parts, id: &RequestId) -> Option<Response<Full<Bytes>>> {
    if path_of(head.uri.path()) != PATH {
        return None;
    }
    if head.method == Verb::GET || head.method == Verb::HEAD {
        return Some(id.render(200, document(api)));
    }
    let refusal = Refusal::new(ApiCode::MethodNotAllowed, "the document is there to be read: GET");
    let mut response = refusal.answer(id).render();
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    Some(response)
}

fn document(api: &Api) -> Bytes {
    api.document.get_or_init(|| build(&api.server_url).to_string().into()).clone()
}

fn build(server_url: &str) -> Value {
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
        let request = (method.request)(&mut requests);
        let answer = (method.answer)(&mut answers);
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
            "description": "For the backend of an app. Keep API keys on servers, never in web pages.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{ "url": server_url }],
        // Callers of version 1.0 name the app too.
        "security": [{ "key": [] }, { "key": [], "app": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": { "type": "apiKey", "in": "header", "name": "x-api-key",
                    "description": "An API key of the app." },
                "app": { "type": "apiKey", "in": "header", "name": "x-app-id",
                    "description": "The id of the app: optional, but it must match the API key." },
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
            "required": method.refuses.contains(&ApiCode::MissingField),
            "content": content,
        },
        "responses": responses(method, answer, refusal),
    })
}

/// Returns the schema of a request as a form: objects are JSON text, and no field is null.
///
/// Returns `None` for a request with lists: they are JSON text too, which OpenAPI cannot express.
fn form(request: &Schema, requests: &SchemaGenerator) -> Option<Value> {
    let name = request.as_value()["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    let mut schema = requests.definitions().get(name?)?.clone();
    let mut encoding = Map::new();
    for (name, field) in schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
        if field.get("items").is_some() {
            return None;
        }
        forbid_null(field);
        if !is_plain_text(field) {
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

/// Returns whether a value of this kind can be sent as plain text.
fn is_plain_text(field: &Value) -> bool {
    let among =
        |kinds: &Value| kinds.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "string"));
    let kinds = &field["type"];
    kinds == "string"
        || among(kinds)
        || field["enum"].as_array().is_some_and(|values| values.iter().any(Value::is_string))
        || field["anyOf"].as_array().is_some_and(|kinds| kinds.iter().any(is_plain_text))
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Identifies this request: for 24 hours, a repeated request with the same key and body gets the answer to \
            the first one.",
        "schema": { "type": "string", "pattern": format!("^[!-~]{{1,{KEY_LIMIT}}}$") },
    })
}

fn responses(method: &Method, answer: &Schema, refusal: &Schema) -> Value {
    let request_id =
        json!({ "description": "Identifies the request.", "required": true, "schema": { "type": "string" } });
    let list = |description| json!({ "description": description, "schema": { "type": "string" } });
    let mut headers = json!({
        "x-request-id": request_id,
        "ratelimit-policy": list("The rate of calls with this API key: `q` at once, renewed within `w` seconds."),
        "ratelimit": list("How many calls with this API key are allowed at once now, `r`, and after how many seconds all are, `t`."),
    });
    if method.takes_key {
        headers["idempotency-replayed"] = json!({
            "description": "This is the answer to the first request with the idempotency key.",
            "schema": { "type": "string", "const": "true" },
        });
    }
    let mut responses = json!({ "200": {
        "description": "The request succeeded.",
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
        if same_status.iter().any(|code| code.is_retryable()) {
            headers["retry-after"] =
                json!({ "description": "Seconds to wait before a retry.", "schema": { "type": "integer" } });
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
