//! `GET /api/openapi.json`: an OpenAPI 3.1 document of the API, generated from the table of methods and the types of their
//! requests and answers.

use std::mem;

use bytes::Bytes;
use chatcamp_protocol::ApiCode;
use http::{HeaderValue, Method as Verb, Response, header::ALLOW, request::Parts};
use http_body_util::Full;
use schemars::{Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Map, Value, json};

use super::{
    Api, BODY_LIMIT, KEY_LIMIT,
    answer::{Refusal, Refused, RequestId},
    methods::{self, Method},
    path_of,
};

const PATH: &str = "/api/openapi.json";
const DESCRIPTION: &str = "\
For the backend of an app. Keep API keys on servers, never in web pages.

The schemas of requests state the type that a client should send. No field of a request or response is null: a field without a value \
is absent.

The server also accepts what callers of the hosted service send: text as a whole number, a whole number as text, a boolean as 1, 0, \
`\"1\"`, `\"0\"`, `\"true\"` or `\"false\"`, null for an absent field, and the fields as `application/x-www-form-urlencoded`, in which \
objects, lists and the `data` of an event are JSON text.";

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
            settings.transforms.push(Box::new(RecursiveTransform(remove_null)));
        })
    };
    let mut requests = settings().for_deserialize().into_generator();
    let mut answers = settings().for_serialize().into_generator();
    let refusal = answers.subschema_for::<Refused<'_>>();
    let bodies: Vec<_> = methods::ALL
        .iter()
        .map(|method| (method, (method.request)(&mut requests), (method.answer)(&mut answers)))
        .collect();
    let mut schemas = requests.take_definitions(true);
    schemas.extend(answers.take_definitions(true));
    let mut paths = Map::new();
    for (method, request, answer) in bodies {
        let operation = operation(method, &request, &answer, &refusal);
        paths.insert(format!("/api/2.0/{}", method.name), json!({ "post": operation }));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "ChatCamp Platform API",
            "description": DESCRIPTION,
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

fn operation(method: &Method, request: &Schema, answer: &Schema, refusal: &Schema) -> Value {
    let example: Value = serde_json::from_str(method.example).expect("the examples are JSON");
    let (tag, _) = method.name.split_once('.').expect("methods have a family");
    json!({
        "operationId": method.name.replace('.', "_"),
        "summary": method.does,
        "tags": [tag],
        "parameters": if method.takes_key { json!([idempotency_key()]) } else { json!([]) },
        "requestBody": {
            "description": format!("At most {BODY_LIMIT} bytes. Unknown fields are ignored, and named in `ignored_fields` of the answer."),
            "required": method.refuses.contains(&ApiCode::MissingField),
            "content": { "application/json": { "schema": request, "example": example } },
        },
        "responses": responses(method, answer, refusal),
    })
}

/// Removes null from the types of an optional field: a response omits it, and a request should.
fn remove_null(schema: &mut Schema) {
    if let Some(kinds) = schema.get_mut("type").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind != "null");
        if let [kind] = &mut kinds[..] {
            let kind = kind.take();
            schema.insert("type".into(), kind);
        }
    }
    if let Some(kinds) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind["type"] != "null");
        if let [Value::Object(kind)] = &mut kinds[..] {
            let kind = mem::take(kind);
            schema.remove("anyOf");
            schema.ensure_object().extend(kind);
        }
    }
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
            "content": { "application/json": { "schema": refusal, "example": example } },
        });
    }
    responses
}
